//! Builds the eBPF objects and says what is in them.
//!
//! The objects go to `target/ebpf/` of the workspace, wherever cargo's own target directory is: there
//! the gateway's build script finds and embeds them.

mod object_file;
mod record;
mod reproduce;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{MetadataCommand, TargetKind};
use object::build::elf::{Builder, SectionData};
use xshell::{Shell, cmd};

use crate::process;
use crate::toolchain::{BPF_TARGET, CoreLibrary, Toolchain};

use object_file::Object;
use record::Record;

const PACKAGE: &str = "waggle-ebpf";

/// Where the objects go, below the workspace's root.
const OBJECTS_DIR: &str = "target/ebpf";

/// An object's name and its bytes.
type Built = (String, Vec<u8>);

/// What the objects are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Say how they differ from the committed record.
    Note,
    /// Fail where they differ from it in what must not.
    Compare,
    /// Write the record anew.
    Record,
}

/// Builds every object of the eBPF package, and puts each into `target/ebpf/` of the workspace.
///
/// # Errors
/// When the compiler or the linker fails, or an object does not parse.
pub(crate) fn build(sh: &Shell, toolchain: &Toolchain) -> Result<Vec<Object>> {
    let root = crate::root();
    build_here(sh, toolchain)?
        .into_iter()
        .map(|(name, bytes)| {
            let path = root.join(OBJECTS_DIR).join(name);
            write_if_changed(sh, &path, &bytes)?;
            Object::read(path, &bytes)
        })
        .collect()
}

/// Builds the objects and compares them with the committed record, or records them.
///
/// # Errors
/// Where they do not build, or differ from the record in what must not.
pub(crate) fn build_and_record(sh: &Shell, toolchain: &Toolchain, purpose: Purpose) -> Result<()> {
    let objects = build(sh, toolchain)?;
    objects.iter().for_each(|object| println!("{object}"));
    let root = crate::root();
    let built = Record::of(toolchain.to_string(), &objects, sources::read(&root)?);
    match purpose {
        Purpose::Record => record::update(&root, &built),
        Purpose::Note | Purpose::Compare => match record::compare(&root, &built) {
            Ok(notes) => {
                notes.iter().for_each(|note| println!("note: {note}"));
                Ok(())
            }
            Err(error) if purpose == Purpose::Note => {
                println!("note: {error:#}");
                Ok(())
            }
            Err(error) => Err(error),
        },
    }
}

/// Builds the objects from two folders, and fails unless they are the same bytes.
pub(crate) fn check_reproducible(sh: &Shell, toolchain: &Toolchain) -> Result<()> {
    reproduce::check(sh, toolchain, &build_here(sh, toolchain)?)
}

fn build_here(sh: &Shell, toolchain: &Toolchain) -> Result<Vec<Built>> {
    build_from(sh, toolchain, &crate::root(), &process::target_dir()?.join("ebpf-build"))
}

/// Builds the objects of the workspace at `root`, without what neither the loader nor the kernel reads.
fn build_from(sh: &Shell, toolchain: &Toolchain, root: &Path, build_dir: &Path) -> Result<Vec<Built>> {
    let mut metadata = MetadataCommand::new();
    metadata.manifest_path(root.join("Cargo.toml")).no_deps();
    let metadata = metadata.exec().context("cannot read the workspace")?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == PACKAGE)
        .with_context(|| format!("no package {PACKAGE} in the workspace"))?;
    compile(sh, toolchain, root, build_dir)?;
    let built_dir = build_dir.join(BPF_TARGET).join("release");
    let programs = package.targets.iter().filter(|target| target.kind.contains(&TargetKind::Bin));
    let slim = |name: &String| {
        let built = sh.read_binary_file(built_dir.join(name))?;
        let slim = without_debug_sections(&built).with_context(|| format!("cannot strip {name}"))?;
        Ok((name.clone(), slim))
    };
    programs.map(|target| slim(&target.name)).collect()
}

fn compile(sh: &Shell, toolchain: &Toolchain, root: &Path, build_dir: &Path) -> Result<()> {
    let compiler = &toolchain.compiler;
    let cargo = match &compiler.cargo {
        Some(cargo) => cargo.clone(),
        None => sh.var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
    };
    let core = match compiler.core {
        CoreLibrary::Prebuilt => None,
        CoreLibrary::Source => Some("-Zbuild-std=core"),
    };
    let _root = sh.push_dir(root);
    cmd!(sh, "{cargo} build --quiet --release --locked --package {PACKAGE} --bins")
        .args(["--target", BPF_TARGET])
        .arg("--target-dir")
        .arg(build_dir)
        .args(core)
        .env("RUSTC", &compiler.rustc)
        // The BPF target and build-std are unstable; this opens them on a stable compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(sh, toolchain, root).join("\x1f"))
        // BTF, which the verifier and the loader read, is made from full debug information.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        // bpf-linker optimises the whole program by itself.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .run()
        .with_context(|| {
            format!(
                "cannot build the eBPF programs (the LLVM of bpf-linker must be at least the \
                 compiler's, {})",
                compiler.llvm_major
            )
        })
}

/// Flags for the BPF target; paths are mapped, so that the same source gives the same bytes anywhere.
fn rustflags(sh: &Shell, toolchain: &Toolchain, root: &Path) -> Vec<String> {
    let cargo_home = sh
        .var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| sh.var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mapped = [
        Some((root.to_owned(), "/waggle")),
        cargo_home.map(|home| (home.join("registry/src"), "/registry")),
        Some((toolchain.compiler.sysroot.join("lib/rustlib/src/rust"), "/rust")),
    ];
    let mut flags = vec![
        format!("-Clinker={}", toolchain.linker.path.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
    ];
    flags.extend(
        mapped.into_iter().flatten().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())),
    );
    flags
}

/// The object without DWARF, which neither the loader nor the verifier reads; BTF stays.
fn without_debug_sections(elf: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(elf)?;
    for section in builder.sections.iter_mut() {
        let name = section.name.as_slice();
        if name.starts_with(b".debug_") || name.starts_with(b".rel.debug_") {
            section.delete = true;
        }
    }
    // LLVM keeps the names of sections and of symbols in one table; the writer wants two.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut slim = Vec::new();
    builder.write(&mut slim)?;
    Ok(slim)
}

/// An unchanged object keeps its time, so that the gateway is not built again for nothing.
fn write_if_changed(sh: &Shell, path: &Path, bytes: &[u8]) -> Result<()> {
    if sh.read_binary_file(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    sh.write_file(path, bytes)?;
    Ok(())
}
