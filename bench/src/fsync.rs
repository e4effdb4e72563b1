//! How often a gateway asks for durability: its fdatasync and fsync calls, counted by strace.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A strace that is attached to a process; it slows the process down while it is.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    summary: PathBuf,
    _dir: TempDir,
}

impl Tracer {
    /// Attaches to the process and its threads.
    ///
    /// # Errors
    /// Where there is no strace, or it may not attach.
    pub fn attach(pid: u32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let summary = dir.path().join("summary");
        let mut child = Command::new("strace")
            .args(["-f", "-c", "-e", "trace=fdatasync,fsync", "-o"])
            .arg(&summary)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start strace: is it installed?")?;
        let errors = child.stderr.take().context("strace has no standard error")?;
        let tracer = Self { child, summary, _dir: dir };
        // It says "strace: Process 1 attached" when it is, or ends with the reason. Warnings before that
        // may have the word, too. (`--seccomp-bpf` has no effect on a process that already runs.)
        let mut lines = BufReader::new(errors).lines();
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let line = line?;
            if line.starts_with("strace: Process ") && line.contains(" attached") {
                // What it says later must not block it.
                std::thread::Builder::new()
                    .name("strace output".into())
                    .spawn(move || lines.for_each(drop))?;
                return Ok(tracer);
            }
            said.push(line);
        }
        bail!("strace did not attach: {}", said.join("; "))
    }

    /// Detaches; returns how many calls were made.
    ///
    /// # Errors
    /// Where strace left no summary.
    pub fn detach(mut self) -> Result<u64> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        self.child.wait()?;
        let text = std::fs::read_to_string(&self.summary).context("strace left no summary")?;
        Ok(calls(&text))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Already ended after `detach`; on other ways out it must not stay attached.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process(Pid::from_child(&self.child), Signal::INT).ok();
            self.child.wait().ok();
        }
    }
}

/// Sums the column `calls` of the rows of both.
fn calls(summary: &str) -> u64 {
    let rows = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| matches!(row.last(), Some(&("fdatasync" | "fsync"))));
    rows.filter_map(|row| row.get(3)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_calls_are_summed() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            90.00    0.10        100           7           fdatasync\n\
            10.00    0.01        100           2         1 fsync\n\
            100.00    0.11        100           9         1 total\n";
        assert_eq!(calls(summary), 9);
        assert_eq!(calls(""), 0);
    }
}
