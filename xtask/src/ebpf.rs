//! Builds the eBPF objects and says what is in them.
//!
//! The objects go to `target/ebpf/` of the workspace, wherever cargo's own target directory is: there
//! the gateway's build script finds and embeds them.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{MetadataCommand, TargetKind};
use object::build::elf::{Builder, SectionData};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use xshell::{Shell, cmd};

use crate::toolchain::{BPF_TARGET, CoreLibrary, Toolchain};

const PACKAGE: &str = "waggle-ebpf";

/// Where the objects go, below the workspace's root.
const OBJECTS_DIR: &str = "target/ebpf";

/// Bytes of one BPF instruction.
const INSTRUCTION_BYTES: u64 = 8;

/// One built object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) programs: Vec<Program>,
    /// Instructions in functions that the programs share.
    pub(crate) shared_instructions: u64,
    pub(crate) maps: Vec<String>,
}

/// One program of an object.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// The ELF section, which names the kind of hook.
    pub(crate) hook: String,
    pub(crate) instructions: u64,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} bytes", self.path.display(), self.bytes)?;
        for program in &self.programs {
            writeln!(
                f,
                "  program {:<20} {:<10} {:>6} instructions",
                program.name, program.hook, program.instructions
            )?;
        }
        writeln!(f, "  shared functions {:>29} instructions", self.shared_instructions)?;
        write!(f, "  maps {}", self.maps.join(", "))
    }
}

/// Builds every object of the eBPF package, and puts each into `target/ebpf/` of the workspace.
///
/// # Errors
/// When the compiler or the linker fails, or an object does not parse.
pub(crate) fn build(sh: &Shell, toolchain: &Toolchain) -> Result<Vec<Object>> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cannot read the workspace")?;
    let root = metadata.workspace_root.as_std_path();
    let build_dir = metadata.target_directory.join("ebpf-build");
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == PACKAGE)
        .with_context(|| format!("no package {PACKAGE} in the workspace"))?;

    compile(sh, toolchain, root, build_dir.as_std_path())?;

    let built_dir = build_dir.join(BPF_TARGET).join("release");
    package
        .targets
        .iter()
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| {
            let built = sh.read_binary_file(built_dir.join(&target.name))?;
            let slim =
                without_debug_sections(&built).with_context(|| format!("cannot strip {}", target.name))?;
            let path = root.join(OBJECTS_DIR).join(&target.name);
            write_if_changed(sh, &path, &slim)?;
            inspect(path, &slim)
        })
        .collect()
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
    cmd!(sh, "{cargo} build --quiet --release --package {PACKAGE} --bins")
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

fn inspect(path: PathBuf, elf: &[u8]) -> Result<Object> {
    let file = object::File::parse(elf).with_context(|| format!("{} is not an object", path.display()))?;
    let mut object = Object {
        bytes: elf.len() as u64,
        programs: Vec::new(),
        shared_instructions: 0,
        maps: Vec::new(),
        path,
    };
    for symbol in file.symbols() {
        let Some(section) = symbol.section_index() else {
            continue;
        };
        let section = file.section_by_index(section)?.name()?.to_owned();
        let name = symbol.name()?.to_owned();
        let instructions = symbol.size() / INSTRUCTION_BYTES;
        match (symbol.kind(), section.as_str()) {
            (SymbolKind::Text, ".text") => object.shared_instructions += instructions,
            (SymbolKind::Text, _) => object.programs.push(Program { name, hook: section, instructions }),
            (SymbolKind::Data, "maps") => object.maps.push(name),
            _ => {}
        }
    }
    object.maps.sort();
    ensure!(!object.programs.is_empty(), "{} holds no program", object.path.display());
    Ok(object)
}
