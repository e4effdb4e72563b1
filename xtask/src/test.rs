//! `cargo xtask test`: every check, each timed, all of them even after a failure.

use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use crate::ebpf;
use crate::kernels;
use crate::process::{self, cargo};
use crate::report::{Outcome, Report};
use crate::setup::{self, Purpose, Ready};
use crate::skips::{self, SkipLog};

/// A step that takes longer hangs: it is ended, and fails.
const STEP_MAX: Duration = Duration::from_secs(20 * 60);

/// Tests worth a second run in the release profile, where timings differ: package and test target.
const RELEASE_TESTS: &[(&str, &str, &str)] = &[
    ("waggle-core", "simulation", "core/tests/simulation.rs"),
    ("waggle-gateway", "crash", "gateway/tests/crash.rs"),
];

/// How much to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every check once.
    Plain,
    /// And the crash and simulation tests again, optimised.
    WithRelease,
}

/// Runs every check; fails if one failed.
pub(crate) fn test(extent: Extent) -> Result<()> {
    let target = process::target_dir()?;
    let log = SkipLog::start(&target)?;
    let mut report = Report::default();

    let mut ready = None;
    report.step("setup", || {
        ready = Some(setup::setup(Purpose::Test)?);
        Ok(Outcome::Passed)
    });
    if let Some(ready) = ready {
        report.add_skips(&ready.missing);
        checks(&mut report, &ready);
        tests(&mut report, &log, extent);
    }

    let skips = log.finish()?;
    report.add_skips(&skips);
    if skips::ebpf_must_work() {
        report.step("ebpf skips", || Ok(no_ebpf_skips(&skips)));
    }
    report.finish()
}

/// The checks that run no program of ours.
fn checks(report: &mut Report, ready: &Ready) {
    report.step("format", || passes(cargo(&["fmt", "--all", "--check"])));
    report.step("tidy", || crate::tidy_or_fail().map(|()| Outcome::Passed));
    report.step("clippy", || {
        passes(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    let ebpf = |step: &dyn Fn() -> Result<()>| {
        if !setup::has_ebpf_programs() {
            return Ok(Outcome::Passed);
        }
        if ready.ebpf.is_some() || skips::ebpf_must_work() {
            return step().map(|()| Outcome::Passed);
        }
        Ok(Outcome::Skipped("no eBPF toolchain".to_owned()))
    };
    report.step("ebpf object", || ebpf(&|| setup::build_ebpf(ebpf::Purpose::Compare)));
    report.step("ebpf reproducible", || ebpf(&setup::check_reproducible_ebpf));
}

/// The tests; what cannot be built is not run.
fn tests(report: &mut Report, log: &SkipLog, extent: Extent) {
    let logged = |mut command: Command| {
        command.env(skips::VARIABLE, log.path());
        passes(command)
    };
    let built = report.step("build tests", || passes(cargo(&["test", "--workspace", "--no-run"])));
    report.step("tests", || match &built {
        Outcome::Passed => logged(cargo(&["test", "--workspace", "--no-fail-fast"])),
        _ => Ok(Outcome::NotRun("they do not build".to_owned())),
    });
    kernels(report, &built);
    report.step("loom", || {
        if !crate::root().join("core/tests/loom.rs").exists() {
            return Ok(Outcome::Skipped("core/tests/loom.rs does not exist".to_owned()));
        }
        logged(loom()?)
    });
    if extent == Extent::WithRelease {
        report.step("release tests", || {
            for (package, test, path) in RELEASE_TESTS {
                if crate::root().join(path).exists() {
                    logged(cargo(&["test", "--release", "-p", package, "--test", test]))?;
                }
            }
            Ok(Outcome::Passed)
        });
    }
}

/// The acceleration on other kernels, by the gateway that the tests were built with.
fn kernels(report: &mut Report, built: &Outcome) {
    let mut missing = Vec::new();
    report.step("kernels", || {
        if *built != Outcome::Passed {
            return Ok(Outcome::NotRun("the gateway does not build".to_owned()));
        }
        let machines = match kernels::find() {
            Ok(machines) => machines,
            Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
        };
        missing.clone_from(&machines.missing);
        kernels::run(&machines, kernels::Profile::Dev, kernels::Page::Compare).map(|()| Outcome::Passed)
    });
    report.add_skips(&missing);
}

/// The model checker's build differs in every crate, so it has a target folder of its own.
fn loom() -> Result<Command> {
    let mut command = cargo(&["test", "-p", "waggle-core", "--release", "--test", "loom"]);
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} --cfg loom").trim());
    command.env("CARGO_TARGET_DIR", process::target_dir()?.join("loom"));
    Ok(command)
}

/// Runs the fuzz targets one after the other; an input that breaks one is kept below the target folder.
///
/// # Errors
/// Where one breaks, or there is none of that name.
pub(crate) fn fuzz(target: Option<&str>, seconds: u64, seed: Option<u64>) -> Result<()> {
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_secs());
    let seed = seed.unwrap_or_else(now);
    println!("{seconds} s for each target, seed {seed}");
    let mut command = cargo(&["test", "--release", "-p", "waggle-gateway", "--test", "fuzz", "--"]);
    command.args(["--nocapture", "--test-threads", "1"]);
    if let Some(target) = target {
        if !crate::root().join("gateway/tests/fuzz/corpus").join(target).is_dir() {
            bail!("no fuzz target {target:?}: expected a folder's name in gateway/tests/fuzz/corpus");
        }
        command.args(["--exact", target]);
    }
    command.env("WAGGLE_FUZZ_SECONDS", seconds.to_string()).env("WAGGLE_FUZZ_SEED", seed.to_string());
    process::run(command, Duration::from_secs(seconds).saturating_mul(16) + STEP_MAX)
}

fn passes(command: Command) -> Result<Outcome> {
    process::run(command, STEP_MAX).map(|()| Outcome::Passed)
}

/// Where eBPF must work, a skipped eBPF check is a failed one.
fn no_ebpf_skips(skips: &[String]) -> Outcome {
    let about = skips::about_ebpf(skips);
    if about.is_empty() {
        return Outcome::Passed;
    }
    Outcome::Failed(format!(
        "eBPF works on this machine, yet {} checks were skipped: {}",
        about.len(),
        about.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_ebpf_check_fails_where_ebpf_must_work() {
        assert_eq!(no_ebpf_skips(&["postgres: no server".to_owned()]), Outcome::Passed);
        assert!(matches!(no_ebpf_skips(&["profiles: no BPF object".to_owned()]), Outcome::Failed(_)));
    }
}
