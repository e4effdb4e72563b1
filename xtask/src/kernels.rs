//! `cargo xtask kernels`: the acceleration's features on the kernels that operators run.
//!
//! Debian's kernels boot in QEMU with a file system in memory that holds the gateway, its libraries and a
//! static shell. The same probe runs there and on the host, with a network and mounts of its own.

mod answers;
mod guest;
mod initramfs;
mod packages;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use cargo_metadata::TargetKind;

use crate::ebpf;
use crate::process::{self, cargo};
use crate::setup::{self, Purpose};
use answers::Answers;
use guest::Payload;
use packages::Kernel;
use table::Column;

/// Kernels that are long supported: Debian 12's own, and Debian 13's.
const SERIES: &[&str] = &["6.1", "6.12"];

/// The page, below the repository's root.
const PAGE: &str = "docs/KERNELS.md";

/// A release build on a small machine takes minutes; one that takes longer hangs.
const BUILD_MAX: Duration = Duration::from_secs(60 * 60);

/// The gateway's binary.
const GATEWAY: &str = "waggle";

/// The test that compares the guard's verdicts in the kernel with those of the host.
const VERDICTS: &str = "guard_packets";

/// The host takes some seconds.
const HOST_MAX: Duration = Duration::from_secs(120);

/// How the gateway in the guests is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As tests have it, which are built with it.
    Dev,
    /// As operators have it.
    Release,
}

/// What becomes of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// It is compared.
    Compare,
    /// It is written.
    Update,
}

/// What the guests are made of.
pub(crate) struct Machines {
    shell: PathBuf,
    kernels: Vec<(&'static str, Kernel)>,
    /// Series without a kernel, each with the reason.
    pub(crate) missing: Vec<String>,
}

/// `cargo xtask kernels`: sets up, and runs every kernel and the host.
///
/// # Errors
/// Where QEMU or a kernel cannot be had, a guest fails, or a feature's rung is not the committed one.
pub(crate) fn kernels(profile: Profile, purpose: Page) -> Result<()> {
    setup::setup(Purpose::Kernels)?;
    let machines = find()?;
    machines.missing.iter().for_each(|missing| println!("note: {missing}"));
    ensure!(purpose == Page::Compare || machines.missing.is_empty(), "the page would lack a kernel");
    setup::build_ebpf(ebpf::Purpose::Note).context("without eBPF objects there is nothing to try")?;
    run(&machines, profile, purpose)
}

/// Finds QEMU, and Debian's packages.
///
/// # Errors
/// Where there is no QEMU, or no kernel at all.
pub(crate) fn find() -> Result<Machines> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the kernels are Debian's for x86-64, and the host is tried as well: this needs Linux on x86-64"
    );
    for tool in [guest::EMULATOR, "apt-cache", "apt-get", "dpkg-deb"] {
        ensure!(process::answers(tool, &["--version"]), "{tool} is missing");
    }
    let folder = process::target_dir()?.join("kernels/packages");
    let shell = packages::shell(&folder)?;
    let (mut kernels, mut missing) = (Vec::new(), Vec::new());
    for series in SERIES {
        match packages::kernel(series, &folder, &shell) {
            Ok(kernel) => kernels.push((*series, kernel)),
            Err(error) => missing.push(format!("no Linux {series}: {error:#}")),
        }
    }
    ensure!(!kernels.is_empty(), "{}", missing.join("; "));
    Ok(Machines { shell, kernels, missing })
}

/// Runs the machines and the host, prints the page, and compares or writes it.
///
/// # Errors
/// Where a guest fails, or a feature's rung is not the committed one.
pub(crate) fn run(machines: &Machines, profile: Profile, purpose: Page) -> Result<()> {
    let folder = process::target_dir()?.join("kernels");
    let payload = payload(profile, &folder.join("payload"), &machines.shell)?;
    let mut columns = guests(&machines.kernels, &payload, &folder)?;
    match host(&payload, &folder.join("host")) {
        Ok(column) => columns.push(column),
        Err(error) if purpose == Page::Update => return Err(error.context("the host's column")),
        Err(error) => println!("note: no column for the host: {error:#}"),
    }
    let text = table::page(&columns);
    println!("{text}");
    let page = crate::root().join(PAGE);
    if purpose == Page::Update {
        fs::write(&page, text).with_context(|| format!("cannot write {PAGE}"))?;
        println!("{PAGE} is up to date");
        return Ok(());
    }
    let committed = fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    let differences = table::differences(&committed, &columns);
    if !differences.is_empty() {
        bail!(
            "features stand on other rungs than {PAGE} says; where that is meant, `cargo xtask kernels \
             --update` writes it:\n  {}",
            differences.join("\n  ")
        );
    }
    Ok(())
}

/// Builds what runs in the guests, and leaves out what only debuggers read.
fn payload(profile: Profile, folder: &Path, shell: &Path) -> Result<Payload> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (gateway, verdicts) = match profile {
        Profile::Dev => {
            let built = built(&["test", "--workspace", "--no-run"])?;
            (built.program(GATEWAY)?, built.test(VERDICTS)?)
        }
        Profile::Release => {
            let gateway = built(&["build", "--release", "-p", "waggle-gateway"])?.program(GATEWAY)?;
            let test = ["test", "--release", "-p", "waggle-accel", "--test", VERDICTS, "--no-run"];
            (gateway, built(&test)?.test(VERDICTS)?)
        }
    };
    let payload =
        Payload { shell: shell.to_owned(), gateway: folder.join(GATEWAY), verdicts: folder.join(VERDICTS) };
    slim(&gateway, &payload.gateway)?;
    slim(&verdicts, &payload.verdicts)?;
    Ok(payload)
}

/// The programs that a call of cargo built.
struct BuiltPrograms(Vec<cargo_metadata::Artifact>);

/// Calls cargo twice: to build, and to be told what was built.
fn built(args: &[&str]) -> Result<BuiltPrograms> {
    process::run(cargo(args), BUILD_MAX)?;
    let mut build = cargo(args);
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = build.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo {} failed", args.join(" "));
    let artifact = |message| match message {
        Ok(cargo_metadata::Message::CompilerArtifact(artifact)) => Some(artifact),
        _ => None,
    };
    let messages = cargo_metadata::Message::parse_stream(output.stdout.as_slice());
    Ok(BuiltPrograms(messages.filter_map(artifact).collect()))
}

impl BuiltPrograms {
    fn program(&self, name: &str) -> Result<PathBuf> {
        self.find(name, TargetKind::Bin)
    }

    fn test(&self, name: &str) -> Result<PathBuf> {
        self.find(name, TargetKind::Test)
    }

    fn find(&self, name: &str, kind: TargetKind) -> Result<PathBuf> {
        let is_harness = kind == TargetKind::Test;
        let of_kind = |artifact: &&cargo_metadata::Artifact| {
            let target = &artifact.target;
            target.name == name && target.is_kind(kind.clone()) && artifact.profile.test == is_harness
        };
        let executable = self.0.iter().filter(of_kind).find_map(|artifact| artifact.executable.clone());
        Ok(executable.with_context(|| format!("cargo built no {name}"))?.into_std_path_buf())
    }
}

/// The program without debug information; as it is where `strip` is missing.
fn slim(from: &Path, to: &Path) -> Result<()> {
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(to).arg(from).stderr(Stdio::null());
    if strip.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display())).map(|_| ())
}

/// All guests at once: each has one processor.
fn guests(kernels: &[(&'static str, Kernel)], payload: &Payload, folder: &Path) -> Result<Vec<Column>> {
    thread::scope(|scope| {
        let run = |(series, kernel): &'_ (&'static str, Kernel)| {
            let (series, kernel) = (*series, kernel.clone());
            scope.spawn(move || {
                let answers = guest::run(&kernel, payload, &folder.join(series))
                    .with_context(|| format!("Linux {}", kernel.release))?;
                Ok(Column { series: series.to_owned(), release: kernel.release, answers })
            })
        };
        let running: Vec<_> = kernels.iter().map(run).collect();
        let join = |guest: thread::ScopedJoinHandle<'_, Result<Column>>| {
            guest.join().unwrap_or_else(|_| bail!("the thread of a guest panicked"))
        };
        running.into_iter().map(join).collect()
    })
}

/// The same probe on this machine, with a network and mounts of its own and the guests' tools.
fn host(payload: &Payload, folder: &Path) -> Result<Column> {
    let (tools, place) = (folder.join("bin"), folder.join("place"));
    for fresh in [&tools, &place] {
        if fresh.exists() {
            fs::remove_dir_all(fresh).with_context(|| format!("cannot remove {}", fresh.display()))?;
        }
        fs::create_dir_all(fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    }
    let mut install = Command::new(&payload.shell);
    install.args(["--install", "-s"]).arg(&tools);
    process::run(install, HOST_MAX)?;
    let (script, answers) = (folder.join("probe.sh"), folder.join("answers.log"));
    fs::write(&script, guest::PROBE).with_context(|| format!("cannot write {}", script.display()))?;
    let file = fs::File::create(&answers).with_context(|| format!("cannot write {}", answers.display()))?;
    let mut probe = Command::new("unshare");
    probe.args(["--net", "--mount"]).arg(&payload.shell).arg("sh").arg(&script);
    probe.arg(&payload.gateway).arg(&place).arg(&payload.verdicts);
    probe.env("PATH", &tools).stdout(file);
    process::run(probe, HOST_MAX)?;
    let text = fs::read_to_string(&answers).with_context(|| format!("cannot read {}", answers.display()))?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the release")?;
    let series: Vec<&str> = release.trim().split('.').take(2).collect();
    let release = "the host".to_owned();
    Ok(Column { series: series.join("."), release, answers: Answers::read(&text)? })
}
