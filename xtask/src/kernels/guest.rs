//! One kernel in an emulated machine, with a memory for a disk: boots, answers, and is switched off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::answers::Answers;
use super::initramfs::Files;
use super::packages::Kernel;
use crate::process;

/// QEMU without hardware virtualisation, which works everywhere and gives the same answers.
pub(crate) const EMULATOR: &str = "qemu-system-x86_64";

/// A guest takes half a minute; one that takes longer hangs.
const GUEST_MAX: Duration = Duration::from_secs(240);

const MEMORY_MB: &str = "1024";

/// The script that tries everything, here and there.
pub(crate) const PROBE: &str = include_str!("probe.sh");

/// Places for file systems.
const FOLDERS: &[&str] = &["dev", "proc", "sys", "tmp"];

/// Lines of the guest's console that a failure shows.
const CONSOLE_LINES: usize = 40;

/// What runs in every guest.
pub(crate) struct Payload {
    /// The static shell.
    pub(crate) shell: PathBuf,
    /// The gateway.
    pub(crate) gateway: PathBuf,
    /// The test that compares the guard's verdicts.
    pub(crate) verdicts: PathBuf,
}

/// Boots the kernel with the payload, and gives what it answered. What it wrote is kept in `folder`.
///
/// # Errors
/// Where it does not boot, hangs or does not come to the end; with the end of its console.
pub(crate) fn run(kernel: &Kernel, payload: &Payload, folder: &Path) -> Result<Answers> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (image, console, answers) =
        (folder.join("initramfs"), folder.join("console.log"), folder.join("answers.log"));
    fs::write(&image, archive(kernel, payload)?)
        .with_context(|| format!("cannot write {}", image.display()))?;
    for old in [&console, &answers] {
        // What an earlier run left must not be taken for this one's.
        fs::write(old, "").with_context(|| format!("cannot write {}", old.display()))?;
    }
    let mut machine = Command::new(EMULATOR);
    machine.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY_MB]);
    machine.args(["-nodefaults", "-display", "none", "-no-reboot"]);
    for serial in [&console, &answers] {
        machine.arg("-serial").arg(format!("file:{}", serial.display()));
    }
    machine.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(&image);
    machine.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let text = process::run(machine, GUEST_MAX)
        .and_then(|()| fs::read(&answers).with_context(|| format!("cannot read {}", answers.display())));
    let read = text.and_then(|bytes| Answers::read(&String::from_utf8_lossy(&bytes)));
    read.map_err(|error| {
        let shown = fs::read(&console).unwrap_or_default();
        anyhow!("{error:#}\n{}\nthe whole console is in {}", end_of(&shown), console.display())
    })
}

fn archive(kernel: &Kernel, payload: &Payload) -> Result<Vec<u8>> {
    let mut files = Files::default();
    files.add("init", include_bytes!("init.sh").to_vec());
    files.add("probe.sh", PROBE.as_bytes().to_vec());
    files.add("veth.ko", kernel.veth.clone());
    files.add("bin/busybox", read(&payload.shell)?);
    for (name, program) in [("bin/waggle", &payload.gateway), ("bin/guard_packets", &payload.verdicts)] {
        files.add(name, read(program)?);
        for library in libraries(program)? {
            files.add(&library, read(Path::new(&library))?);
        }
    }
    Ok(files.archive(FOLDERS))
}

/// The shared libraries that the program wants, and its loader.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// The paths in what `ldd` prints: `name => path (address)`, or `path (address)`.
fn listed(text: &str) -> Vec<String> {
    let path = |line: &str| {
        let named = line.split_once("=> ").map_or(line, |(_, path)| path);
        named.split_whitespace().next().filter(|path| path.starts_with('/')).map(str::to_owned)
    };
    text.lines().filter_map(path).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The last lines, without what only moves a terminal's cursor.
fn end_of(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(CONSOLE_LINES);
    lines.iter().skip(from).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_taken_from_what_ldd_says() {
        let text = "\tlinux-vdso.so.1 (0x00007fff)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \tlost.so => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(listed(text), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(listed("\tnot a dynamic executable\n"), Vec::<String>::new());
    }

    #[test]
    fn a_failure_shows_the_consoles_end() {
        let console = "first\r\n\r\n".to_owned() + &"line\r\n".repeat(CONSOLE_LINES);
        let end = end_of(console.as_bytes());
        assert!(end.starts_with("  line") && end.lines().count() == CONSOLE_LINES, "{end}");
    }
}
