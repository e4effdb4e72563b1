//! `cargo xtask fuzz`: each target for a while, guided by coverage where that is possible.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::process::{self, answers, cargo};
use crate::test;

/// libFuzzer is C++.
const COMPILERS: &[&str] = &["c++", "g++", "clang++"];
/// Building, and what a run takes beside its time.
const BUILD_MAX: Duration = Duration::from_secs(900);
/// As the answer-guided fuzzer has it.
const INPUT_BYTES_MAX: u32 = 16 * 1024;
/// What makes code count its edges, without a sanitizer: stable rustc takes it.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1 --cfg fuzzing";

/// Runs one target, or all of them.
///
/// # Errors
/// Where one breaks, or there is none of that name.
pub(crate) fn run(target: Option<&str>, seconds: u64, seed: Option<u64>) -> Result<()> {
    let now = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_secs());
    let seed = seed.unwrap_or_else(now);
    let corpus = crate::root().join("gateway/tests/fuzz/corpus");
    let mut targets: Vec<String> = fs::read_dir(&corpus)
        .with_context(|| format!("cannot read {}", corpus.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    targets.sort();
    if let Some(target) = target {
        targets.retain(|name| name == target);
        if targets.is_empty() {
            bail!("no fuzz target {target:?}: expected a folder's name in gateway/tests/fuzz/corpus");
        }
    }
    let covers = COMPILERS.iter().any(|compiler| answers(compiler, &["--version"]));
    if !covers {
        println!("no C++ compiler for libFuzzer: all targets are guided by their answers");
    }
    for target in targets {
        let source = format!("fuzz/src/bin/{target}.rs");
        if covers && crate::root().join(source).exists() {
            by_coverage(&target, &corpus.join(&target), seconds, seed)?;
        } else {
            test::fuzz(Some(&target), seconds, Some(seed))?;
        }
    }
    Ok(())
}

/// What reaches new code is kept below the target folder for the next run, and so is what breaks.
fn by_coverage(target: &str, corpus: &Path, seconds: u64, seed: u64) -> Result<()> {
    println!("{target}: {seconds} s, guided by coverage, seed {seed}");
    let folder = process::target_dir()?.join("fuzz");
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    // Naming the target keeps the flags from build scripts.
    let mut build = cargo(&["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--bin", target]);
    build.args(["--target", &triple]).env("CARGO_TARGET_DIR", &folder).env("RUSTFLAGS", COVERAGE);
    process::run(build, BUILD_MAX)?;

    let (grown, found) = (folder.join("corpus").join(target), folder.join("found"));
    for folder in [&grown, &found] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut fuzz = Command::new(folder.join(triple).join("release").join(target));
    // 0 would have it draw a seed itself.
    let seed = u32::try_from(seed % u64::from(u32::MAX)).unwrap_or(0).max(1);
    fuzz.args([format!("-max_total_time={seconds}"), format!("-seed={seed}")]);
    fuzz.args([
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-artifact_prefix={}/{target}-", found.display()),
    ]);
    fuzz.arg("-print_final_stats=1").arg(grown).arg(corpus).current_dir(crate::root());
    process::run(fuzz, Duration::from_secs(seconds).saturating_mul(2) + BUILD_MAX)
}
