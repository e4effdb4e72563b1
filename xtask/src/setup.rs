//! What building and testing need: found, or installed, or the commands that would install it.
//!
//! This is also the only file that knows the eBPF toolchain's modules: see the functions at its end.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::toolchain::{self, Toolchain};
use crate::{ebpf, process};

/// Longest time that one installing command may take.
const INSTALL_MAX: Duration = Duration::from_secs(15 * 60);

/// What the set-up is for; more is needed to test than to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Build and start.
    Run,
    /// Run every check.
    Test,
    /// Run the gateway on other kernels.
    Kernels,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The eBPF toolchain in words; `None` where there is none, which stops nothing but eBPF itself.
    pub(crate) ebpf: Option<String>,
    /// Optional tools that are still missing, each with what it is for.
    pub(crate) missing: Vec<String>,
}

/// Finds what `purpose` needs and installs what is missing; fails only where a required tool cannot be had.
pub(crate) fn setup(purpose: Purpose) -> Result<Ready> {
    let tools: Vec<&Tool> = TOOLS.iter().filter(|t| t.wanted(purpose)).collect();
    let absent: Vec<&Tool> = tools.iter().copied().filter(|t| !t.found()).collect();
    let mut commands: Vec<String> = apt_command(&absent).into_iter().collect();
    commands.extend(absent.iter().filter_map(|t| t.otherwise).map(str::to_owned));
    install(&commands)?;

    let still: Vec<&Tool> = absent.into_iter().filter(|t| !t.found()).collect();
    for tool in &still {
        eprintln!("MISSING: {}, for {}", tool.name, tool.reason);
    }
    if let Some(tool) = still.iter().find(|t| t.weight == Weight::Required) {
        bail!("{} is needed for {}: install it and try again", tool.name, tool.reason);
    }
    let missing = |tool: &&Tool| format!("{} is missing, for {}", tool.name, tool.reason);
    let found: Vec<&str> =
        tools.iter().filter(|t| !still.iter().any(|s| s.name == t.name)).map(|t| t.name).collect();
    eprintln!("setup: found {}", found.join(", "));
    Ok(Ready { missing: still.iter().map(missing).collect(), ebpf: ready_ebpf() })
}

/// Says which eBPF toolchain was chosen, or loudly that there is none and what to do.
fn ready_ebpf() -> Option<String> {
    if !has_ebpf_programs() {
        return None;
    }
    match find_or_install_ebpf() {
        Ok(toolchain) => {
            eprintln!("setup: eBPF toolchain: {toolchain}");
            Some(toolchain)
        }
        Err(error) => {
            eprintln!("MISSING: eBPF toolchain: {error:#}");
            eprintln!("setup: all else works without it; the gateway then serves without acceleration");
            None
        }
    }
}

/// One tool that must be there, or had better be.
struct Tool {
    name: &'static str,
    /// Why it is wanted.
    reason: &'static str,
    /// A call that succeeds where it is installed.
    probe: &'static [&'static str],
    /// Debian's packages.
    packages: &'static [&'static str],
    /// The command that installs it where apt-get does not.
    otherwise: Option<&'static str>,
    weight: Weight,
    purpose: Purpose,
    /// The one system that it is wanted on; empty for all.
    system: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Nothing can be built without it.
    Required,
    /// Some checks are skipped without it, and counted.
    Optional,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "a C compiler",
        reason: "the embedded SQLite and the allocator",
        probe: &["cc", "--version"],
        packages: &["gcc", "libc6-dev"],
        otherwise: None,
        weight: Weight::Required,
        purpose: Purpose::Run,
        system: "",
    },
    Tool {
        name: "rustfmt",
        reason: "the format check",
        probe: &["cargo", "fmt", "--version"],
        packages: &[],
        otherwise: Some("rustup component add rustfmt"),
        weight: Weight::Required,
        purpose: Purpose::Test,
        system: "",
    },
    Tool {
        name: "clippy",
        reason: "the lints",
        probe: &["cargo", "clippy", "--version"],
        packages: &[],
        otherwise: Some("rustup component add clippy"),
        weight: Weight::Required,
        purpose: Purpose::Test,
        system: "",
    },
    Tool {
        name: "iproute2",
        reason: "tests of eBPF programs in network namespaces",
        probe: &["ip", "-V"],
        packages: &["iproute2"],
        otherwise: None,
        weight: Weight::Optional,
        purpose: Purpose::Test,
        system: "linux",
    },
    Tool {
        name: "nginx",
        reason: "tests of push connections through a proxy",
        probe: &["sh", "-c", "PATH=$PATH:/usr/sbin nginx -v"],
        packages: &["nginx-light"],
        otherwise: None,
        weight: Weight::Optional,
        purpose: Purpose::Test,
        system: "linux",
    },
    Tool {
        name: "QEMU",
        reason: "tries on other kernels than this machine's",
        probe: &["qemu-system-x86_64", "--version"],
        packages: &["qemu-system-x86"],
        otherwise: None,
        weight: Weight::Optional,
        purpose: Purpose::Kernels,
        system: "linux",
    },
];

impl Tool {
    fn wanted(&self, purpose: Purpose) -> bool {
        let here = self.system.is_empty() || self.system == std::env::consts::OS;
        here && (purpose == Purpose::Test || self.purpose == Purpose::Run || self.purpose == purpose)
    }

    fn found(&self) -> bool {
        self.probe.split_first().is_some_and(|(program, args)| process::answers(program, args))
    }
}

/// The one apt-get command for what these tools need of Debian; `None` if nothing.
fn apt_command(tools: &[&Tool]) -> Option<String> {
    let packages: Vec<&str> = tools.iter().flat_map(|t| t.packages).copied().collect();
    (!packages.is_empty())
        .then(|| format!("apt-get install -y --no-install-recommends {}", packages.join(" ")))
}

/// Runs the commands as root on Debian and its kin; elsewhere prints them. A command that fails is reported,
/// and what it should have installed is then found missing.
fn install(commands: &[String]) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let (apt, rest): (Vec<&String>, Vec<&String>) = commands.iter().partition(|c| c.starts_with("apt-get "));
    let here = process::answers("apt-get", &["--version"]) && is_root();
    if !here && !apt.is_empty() {
        eprintln!("setup: not root on Debian or Ubuntu, so nothing is installed. Run, or do the like of:");
        eprintln!("    apt-get update");
        for command in commands {
            eprintln!("    {command}");
        }
        return Ok(());
    }
    let update = "apt-get update".to_owned();
    let first = (!apt.is_empty()).then_some(&update);
    for command in first.into_iter().chain(apt).chain(rest) {
        let mut shell = Command::new("sh");
        shell.args(["-ec", command]).env("DEBIAN_FRONTEND", "noninteractive").current_dir(crate::root());
        if let Err(error) = process::run(shell, INSTALL_MAX) {
            eprintln!("setup: {error:#}");
        }
    }
    Ok(())
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    ids.split_whitespace().nth(1) == Some("0")
}

/// Whether there are eBPF programs to build.
pub(crate) fn has_ebpf_programs() -> bool {
    crate::root().join("gateway-ebpf/src/bin").is_dir()
}

/// The eBPF toolchain in words, installed if need be; the error holds the commands that would install it.
fn find_or_install_ebpf() -> Result<String> {
    Ok(toolchain::install(&Shell::new()?)?.to_string())
}

/// Builds the eBPF objects, prints their programs with their sizes, and compares or records them.
pub(crate) fn build_ebpf(purpose: ebpf::Purpose) -> Result<()> {
    let sh = Shell::new()?;
    let found = find_ebpf(&sh)?;
    println!("eBPF toolchain: {found}");
    ebpf::build_and_record(&sh, &found, purpose)
}

/// Builds the eBPF objects from two folders, and compares their bytes.
pub(crate) fn check_reproducible_ebpf() -> Result<()> {
    let sh = Shell::new()?;
    ebpf::check_reproducible(&sh, &find_ebpf(&sh)?)
}

fn find_ebpf(sh: &Shell) -> Result<Toolchain> {
    toolchain::find(sh).with_context(|| {
        let commands = toolchain::install_commands(sh).join("\n  ");
        format!("to install an eBPF toolchain, run `cargo xtask setup` or:\n  {commands}\n")
    })
}
