//! The eBPF toolchain: a compiler with `core` for the BPF target, and `bpf-linker`.
//!
//! Two kinds of compiler serve. A rustup toolchain with `rust-src` builds `core` from source. Debian's
//! `rustc-web` needs no rustup: its BPF library package holds `core` ready built, or its source package
//! is used. Whatever is found, the gateway builds and serves without it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// The release of `bpf-linker` that is known to link our programs.
const BPF_LINKER_VERSION: &str = "0.13.0";

/// The LLVM of Debian's `rustc-web`, where the compiler is not there yet to be asked.
const LLVM_MAJOR_DEFAULT: u32 = 22;

/// The BPF target of this machine's byte order.
pub(crate) const BPF_TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// A complete eBPF toolchain.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: Linker,
}

/// A compiler that can build for the BPF target.
#[derive(Debug)]
pub(crate) struct Compiler {
    /// Who provides it, in words.
    pub(crate) origin: String,
    pub(crate) rustc: PathBuf,
    pub(crate) sysroot: PathBuf,
    /// The cargo that came with it, if one did.
    pub(crate) cargo: Option<PathBuf>,
    pub(crate) release: String,
    pub(crate) llvm_major: u32,
    pub(crate) core: CoreLibrary,
}

/// Where the BPF target's `core` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoreLibrary {
    /// Ready built in the compiler's sysroot.
    Prebuilt,
    /// Built from the standard library's source in the sysroot.
    Source,
}

/// `bpf-linker`, which turns LLVM bitcode into one BPF object.
#[derive(Debug)]
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// What the machine lacks for building eBPF programs.
#[derive(Debug)]
pub(crate) struct Missing {
    compiler: bool,
    linker: bool,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = match self.compiler.core {
            CoreLibrary::Prebuilt => "prebuilt core",
            CoreLibrary::Source => "core from source",
        };
        write!(
            f,
            "{} {} ({core}, LLVM {}), bpf-linker {}",
            self.compiler.origin, self.compiler.release, self.compiler.llvm_major, self.linker.version
        )
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compiler = format!("a compiler with core for {BPF_TARGET}");
        match (self.compiler, self.linker) {
            (true, true) => write!(f, "no eBPF toolchain: neither {compiler} nor bpf-linker"),
            (true, false) => write!(f, "no eBPF toolchain: bpf-linker is here, but not {compiler}"),
            (false, _) => write!(f, "no eBPF toolchain: {compiler} is here, but not bpf-linker"),
        }
    }
}

impl std::error::Error for Missing {}

/// Looks for an eBPF toolchain: rustup nightlies with `rust-src` first, then the system's compiler, then
/// any other rustup toolchain with `rust-src`.
pub(crate) fn find(sh: &Shell) -> Result<Toolchain, Missing> {
    match (find_compiler(sh), find_linker(sh)) {
        (Some(compiler), Some(linker)) => Ok(Toolchain { compiler, linker }),
        (compiler, linker) => Err(Missing { compiler: compiler.is_none(), linker: linker.is_none() }),
    }
}

/// The commands that install an eBPF toolchain on a machine like this one, one a line.
pub(crate) fn install_commands(sh: &Shell) -> Vec<String> {
    if is_debian(sh) {
        let llvm = system_llvm_major(sh);
        return vec![
            "apt-get update".to_owned(),
            "apt-get install --yes --no-install-recommends rustc-web libstd-rust-web-dev-bpf  \
             # or rust-web-src in place of the second"
                .to_owned(),
            format!("apt-get install --yes --no-install-recommends llvm-{llvm}-dev"),
            linker_command(llvm),
        ];
    }
    vec![
        "rustup toolchain install nightly --component rust-src".to_owned(),
        "# LLVM with headers, at least as new as the nightly's (`rustc +nightly -vV`); then, for LLVM N:"
            .to_owned(),
        format!(
            "LLVM_PREFIX=$(llvm-config --prefix) cargo install bpf-linker \
             --version {BPF_LINKER_VERSION} --locked --no-default-features --features llvm-N"
        ),
    ]
}

/// Finds the toolchain, or installs it where that is possible: as root on Debian.
///
/// # Errors
/// When nothing can be installed here (the commands to run are in the message), or an installer fails.
pub(crate) fn install(sh: &Shell) -> Result<Toolchain> {
    let missing = match find(sh) {
        Ok(toolchain) => return Ok(toolchain),
        Err(missing) => missing,
    };
    if !is_debian(sh) || !is_root(sh) {
        bail!("{missing}; to install one, run:\n  {}", install_commands(sh).join("\n  "));
    }
    if missing.compiler {
        install_compiler(sh)?;
    }
    if missing.linker {
        let llvm = find_compiler(sh).map_or(LLVM_MAJOR_DEFAULT, |compiler| compiler.llvm_major);
        let package = format!("llvm-{llvm}-dev");
        apt_install(sh, &[&package])?;
        cmd!(sh, "cargo install bpf-linker --version {BPF_LINKER_VERSION} --locked")
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
            .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"))
            .run()
            .context("cannot install bpf-linker")?;
    }
    find(sh).context("the eBPF toolchain was installed, yet is not found")
}

fn install_compiler(sh: &Shell) -> Result<()> {
    cmd!(sh, "apt-get update").run()?;
    apt_install(sh, &["rustc-web", "libstd-rust-web-dev-bpf"])
        .or_else(|_| apt_install(sh, &["rustc-web", "rust-web-src"]))
}

fn apt_install(sh: &Shell, packages: &[&str]) -> Result<()> {
    cmd!(sh, "apt-get install --yes --no-install-recommends {packages...}")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
        .with_context(|| format!("cannot install {}", packages.join(" ")))
}

fn linker_command(llvm: u32) -> String {
    format!(
        "LLVM_PREFIX=/usr/lib/llvm-{llvm} cargo install bpf-linker --version {BPF_LINKER_VERSION} \
         --locked --no-default-features --features llvm-{llvm}"
    )
}

fn find_compiler(sh: &Shell) -> Option<Compiler> {
    let names = rustup_toolchains(sh);
    let (nightlies, others): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| name.starts_with("nightly"));
    let rustup = |name: String| {
        let sysroot =
            cmd!(sh, "rustup run {name} rustc --print sysroot").quiet().ignore_stderr().read().ok()?;
        let rustc = Path::new(&sysroot).join("bin/rustc");
        inspect(sh, format!("rustup {name}"), rustc)
    };
    nightlies
        .into_iter()
        .find_map(rustup)
        .or_else(|| inspect(sh, "system rustc".to_owned(), "/usr/bin/rustc".into()))
        .or_else(|| others.into_iter().find_map(rustup))
}

fn rustup_toolchains(sh: &Shell) -> Vec<String> {
    cmd!(sh, "rustup toolchain list")
        .quiet()
        .ignore_stderr()
        .read()
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn inspect(sh: &Shell, origin: String, rustc: PathBuf) -> Option<Compiler> {
    if !rustc.exists() {
        return None;
    }
    let verbose = cmd!(sh, "{rustc} -vV").quiet().ignore_stderr().read().ok()?;
    let sysroot = cmd!(sh, "{rustc} --print sysroot").quiet().read().ok()?;
    let sysroot = PathBuf::from(sysroot);
    let cargo = Some(rustc.with_file_name("cargo")).filter(|cargo| cargo.exists());
    Some(Compiler {
        origin,
        core: core_library(&sysroot)?,
        release: field(&verbose, "release: ")?.to_owned(),
        llvm_major: field(&verbose, "LLVM version: ")?.split('.').next()?.parse().ok()?,
        rustc,
        sysroot,
        cargo,
    })
}

fn core_library(sysroot: &Path) -> Option<CoreLibrary> {
    let rustlib = sysroot.join("lib/rustlib");
    let is_core = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    let prebuilt = std::fs::read_dir(rustlib.join(BPF_TARGET).join("lib"))
        .is_ok_and(|entries| entries.flatten().any(is_core));
    if prebuilt {
        return Some(CoreLibrary::Prebuilt);
    }
    let source = rustlib.join("src/rust/library/core/src/lib.rs");
    source.exists().then_some(CoreLibrary::Source)
}

fn field<'a>(verbose: &'a str, name: &str) -> Option<&'a str> {
    verbose.lines().find_map(|line| line.strip_prefix(name))
}

fn find_linker(sh: &Shell) -> Option<Linker> {
    let installed = sh
        .var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| sh.var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .map(|home| home.join("bin/bpf-linker"));
    std::iter::once(PathBuf::from("bpf-linker")).chain(installed).find_map(|path| {
        let answer = cmd!(sh, "{path} --version").quiet().ignore_stderr().read().ok()?;
        let version = answer.strip_prefix("bpf-linker ")?.trim().to_owned();
        Some(Linker { path, version })
    })
}

fn system_llvm_major(sh: &Shell) -> u32 {
    inspect(sh, String::new(), "/usr/bin/rustc".into())
        .map_or(LLVM_MAJOR_DEFAULT, |compiler| compiler.llvm_major)
}

fn is_debian(sh: &Shell) -> bool {
    sh.read_file("/etc/os-release").is_ok_and(|release| {
        release
            .lines()
            .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="))
            .any(|line| line.contains("debian"))
    })
}

fn is_root(sh: &Shell) -> bool {
    cmd!(sh, "id -u").quiet().read().is_ok_and(|uid| uid == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing = |compiler, linker| Missing { compiler, linker }.to_string();
        assert!(missing(true, true).contains("neither"));
        assert!(missing(true, false).contains("bpf-linker is here"));
        assert!(missing(false, true).ends_with("but not bpf-linker"));
    }

    #[test]
    fn the_core_library_is_found_by_its_file() {
        let sysroot = std::env::temp_dir().join(format!("waggle-sysroot-{}", std::process::id()));
        let lib = sysroot.join("lib/rustlib").join(BPF_TARGET).join("lib");
        let source = sysroot.join("lib/rustlib/src/rust/library/core/src");
        std::fs::create_dir_all(&lib).expect("temporary directory");
        std::fs::create_dir_all(&source).expect("temporary directory");
        assert_eq!(core_library(&sysroot), None);
        std::fs::write(source.join("lib.rs"), "").expect("temporary file");
        assert_eq!(core_library(&sysroot), Some(CoreLibrary::Source));
        std::fs::write(lib.join("libcore-1.rlib"), "").expect("temporary file");
        assert_eq!(core_library(&sysroot), Some(CoreLibrary::Prebuilt));
        std::fs::remove_dir_all(&sysroot).expect("temporary directory");
    }
}
