//! Child processes: cargo as the user would call it, with a time limit, ended by id.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

/// How often a child with a time limit is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Where cargo puts what it builds, `CARGO_TARGET_DIR` and configuration considered.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(crate::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("`cargo metadata` failed: is Cargo.toml valid?")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// A cargo call in the repository's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(crate::root());
    // What cargo tells this process of the package xtask would make build scripts of others run again.
    for (name, _) in std::env::vars_os() {
        let foreign = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if name.to_str().is_some_and(|name| foreign.iter().any(|start| name.starts_with(start))) {
            command.env_remove(&name);
        }
    }
    command
}

/// Whether this program answers at all.
pub(crate) fn answers(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Shows the call, runs it with its output shown and nothing to read, and fails unless it succeeds within `limit`.
pub(crate) fn run(mut command: Command, limit: Duration) -> Result<()> {
    let shown = shown(&command);
    eprintln!("$ {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`: is it installed?"))?;
    match wait(&mut child, limit)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("`{shown}` failed: {status}"),
        None => bail!("`{shown}` ran longer than {} s and was ended", limit.as_secs()),
    }
}

/// The call as one would type it.
fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}='{}' ", name.to_string_lossy(), value.to_string_lossy()))
    });
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> = [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    set.collect::<String>() + &words.join(" ")
}

/// Waits for the child; at the limit ends it with all that it started, and gives `None`.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            end_descendants(child.id());
            // It may have ended between the two looks; either way there is nothing left to end.
            let _ = child.kill();
            child.wait().context("cannot wait for a child process")?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Kills every process that descends from `ancestor`, by id.
fn end_descendants(ancestor: u32) {
    let parents = parents();
    let mut doomed = vec![ancestor];
    let mut next = 0;
    while next < doomed.len() {
        let parent = doomed[next];
        doomed.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    for pid in doomed.into_iter().skip(1) {
        answers("kill", &["-9", &pid.to_string()]);
    }
}

/// Every process and its parent, from `/proc`; empty on systems without one.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // "pid (name) state parent …", where the name may hold spaces and brackets.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn reports_success_and_failure() {
        let limit = Duration::from_secs(60);
        assert!(run(shell("exit 0"), limit).is_ok());
        assert!(run(shell("exit 3"), limit).unwrap_err().to_string().contains("3"));
        assert!(
            run(Command::new("no-such-program"), limit).unwrap_err().to_string().contains("no-such-program")
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn ends_a_late_child_and_what_it_started() {
        let start = Instant::now();
        let mut command = shell("sleep 60 & echo started; wait");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        assert_eq!(wait(&mut child, Duration::ZERO).unwrap(), None);
        // Both hold the pipe open, so its end is the end of both.
        output.read_to_string(&mut line).unwrap();
        assert!(start.elapsed() < Duration::from_secs(60), "nobody ended the grandchild");
    }
}
