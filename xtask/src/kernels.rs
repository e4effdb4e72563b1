//! `cargo xtask kernels`: the acceleration's features on the kernels that operators run.
//!
//! Debian's kernels boot in QEMU with a file system in memory that holds the gateway, its libraries and a
//! static shell. The same probe runs there and on the host, in a network namespace of its own.

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

use crate::process::{self, cargo};
use crate::setup::{self, Purpose};
use answers::Answers;
use guest::Payload;
use table::Column;

/// Kernels that are long supported: Debian 12's own, and Debian 13's.
const SERIES: &[&str] = &["6.1", "6.12"];

/// The page, below the repository's root.
const PAGE: &str = "docs/KERNELS.md";

/// A release build on a small machine takes minutes; one that takes longer hangs.
const BUILD_MAX: Duration = Duration::from_secs(60 * 60);

/// The host takes some seconds.
const HOST_MAX: Duration = Duration::from_secs(120);

/// How the gateway in the guests is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As tests have it.
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

/// Runs every kernel and the host, prints the page, and compares or writes it.
///
/// # Errors
/// Where QEMU or a kernel cannot be had, a guest fails, or a feature's rung is not the committed one.
pub(crate) fn kernels(profile: Profile, purpose: Page) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the kernels are Debian's for x86-64, and their probe also runs on the host: this needs Linux on x86-64"
    );
    setup::setup(Purpose::Kernels)?;
    let folder = process::target_dir()?.join("kernels");
    let shell = packages::shell(&folder.join("packages"))?;
    let payload = payload(profile, &folder.join("payload"), shell)?;
    let mut columns = guests(&payload, &folder)?;
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

/// Why this machine cannot try them; `None` where it can.
pub(crate) fn lacking() -> Option<String> {
    let tools = [("qemu-system-x86_64", "--version"), ("apt-cache", "--version"), ("dpkg-deb", "--version")];
    let missing = tools.iter().find(|(tool, flag)| !process::answers(tool, &[flag]));
    missing.map(|(tool, _)| format!("{tool} is missing"))
}

/// Builds what runs in the guests, and leaves out what only debuggers read.
fn payload(profile: Profile, folder: &Path, shell: PathBuf) -> Result<Payload> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut build = cargo(&["build", "-p", "waggle-gateway", "--bin", "waggle"]);
    let built = match profile {
        Profile::Dev => "debug/waggle",
        Profile::Release => {
            build.arg("--release");
            "release/waggle"
        }
    };
    process::run(build, BUILD_MAX)?;
    let gateway = folder.join("waggle");
    slim(&process::target_dir()?.join(built), &gateway)?;
    let verdicts = folder.join("guard_packets");
    slim(&built_test("waggle-accel", "guard_packets")?, &verdicts)?;
    Ok(Payload { shell, gateway, verdicts })
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

/// Builds a test and gives its program.
fn built_test(package: &str, test: &str) -> Result<PathBuf> {
    let mut build = cargo(&["test", "-p", package, "--test", test, "--no-run"]);
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = build.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the test {test} of {package} does not build");
    let messages = cargo_metadata::Message::parse_stream(output.stdout.as_slice());
    let executable = messages.filter_map(Result::ok).find_map(|message| match message {
        cargo_metadata::Message::CompilerArtifact(artifact) if artifact.target.name == test => {
            artifact.executable
        }
        _ => None,
    });
    Ok(executable.with_context(|| format!("cargo built no program for {test}"))?.into_std_path_buf())
}

/// All guests at once: each has one processor.
fn guests(payload: &Payload, folder: &Path) -> Result<Vec<Column>> {
    thread::scope(|scope| {
        let run = |series: &'static str| {
            scope.spawn(move || {
                let kernel = packages::kernel(series, &folder.join("packages"), &payload.shell)?;
                let answers = guest::run(&kernel, payload, &folder.join(series))
                    .with_context(|| format!("Linux {}", kernel.release))?;
                Ok(Column { series: series.to_owned(), release: kernel.release, answers })
            })
        };
        let running: Vec<_> = SERIES.iter().map(|series| run(series)).collect();
        let join = |guest: thread::ScopedJoinHandle<'_, Result<Column>>| {
            guest.join().unwrap_or_else(|_| bail!("the thread of a guest panicked"))
        };
        running.into_iter().map(join).collect()
    })
}

/// The same probe on this machine, in a network namespace of its own, with the guests' tools.
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
    probe.arg("--net").arg(&payload.shell).arg("sh").arg(&script);
    probe.arg(&payload.gateway).arg(&place).arg(&payload.verdicts);
    probe.env("PATH", &tools).stdout(file);
    process::run(probe, HOST_MAX)?;
    let text = fs::read_to_string(&answers).with_context(|| format!("cannot read {}", answers.display()))?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the release")?;
    let series: Vec<&str> = release.trim().split('.').take(2).collect();
    let release = "the host".to_owned();
    Ok(Column { series: series.join("."), release, answers: Answers::read(&text)? })
}
