//! Debian's packages: kernels of a series, and the shell that runs in the guest. Downloaded and unpacked
//! below the target folder; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// The static shell with the tools of the guest.
const SHELL: &str = "busybox-static";

/// Some 35 MB.
const DOWNLOAD_MAX: Duration = Duration::from_secs(300);

/// An unpacked kernel package.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` says in the guest.
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    /// The driver of virtual Ethernet pairs, as the kernel reads it.
    pub(crate) veth: Vec<u8>,
}

/// The newest kernel of `series`, such as `6.1`, unpacked below `folder`.
pub(crate) fn kernel(series: &str, folder: &Path, shell: &Path) -> Result<Kernel> {
    let name = newest_listed(series)?;
    let unpacked = unpack(&name, folder)?;
    let image = only_file(&unpacked.join("boot"), "vmlinuz-")?;
    let release = image.file_name().unwrap_or_default().to_string_lossy().replacen("vmlinuz-", "", 1);
    let drivers = unpacked.join("lib/modules").join(&release).join("kernel/drivers/net");
    let veth = only_file(&drivers, "veth.ko")?;
    let veth = if veth.extension().is_some_and(|end| end == "xz") {
        output(Command::new(shell).args(["xz", "-dc"]).arg(&veth))?
    } else {
        fs::read(&veth).with_context(|| format!("cannot read {}", veth.display()))?
    };
    Ok(Kernel { release, image, veth })
}

/// The static shell, unpacked below `folder`.
pub(crate) fn shell(folder: &Path) -> Result<PathBuf> {
    Ok(unpack(SHELL, folder)?.join("bin/busybox"))
}

/// The newest package of the series that apt knows.
fn newest_listed(series: &str) -> Result<String> {
    let listed = listed(series)?;
    let listed = match newest(&listed) {
        Some(_) => listed,
        // A fresh machine's apt knows of nothing until it has asked.
        None => {
            let mut update = Command::new("apt-get");
            update.args(["--quiet", "update"]);
            process::run(update, DOWNLOAD_MAX)?;
            self::listed(series)?
        }
    };
    newest(&listed).with_context(|| {
        format!(
            "apt lists no linux-image-{series}.*-cloud-amd64-unsigned; Debian 12 with its security updates \
             among apt's sources has one"
        )
    })
}

fn listed(series: &str) -> Result<String> {
    let pattern = format!("^linux-image-{}\\..*-cloud-amd64-unsigned$", series.replace('.', "\\."));
    let listed = output(Command::new("apt-cache").args(["search", "--names-only", &pattern]))?;
    Ok(String::from_utf8_lossy(&listed).into_owned())
}

/// The first word of the line whose numbers are greatest.
fn newest(listed: &str) -> Option<String> {
    let names = listed.lines().filter_map(|line| line.split_whitespace().next());
    names.max_by_key(|name| numbers(name)).map(str::to_owned)
}

/// The numbers in a name, in their order.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Downloads the package unless that was done, and unpacks it into a folder of its name.
fn unpack(name: &str, folder: &Path) -> Result<PathBuf> {
    let unpacked = folder.join(name);
    if unpacked.is_dir() {
        return Ok(unpacked);
    }
    let archives = folder.join("archives").join(name);
    fs::create_dir_all(&archives).with_context(|| format!("cannot create {}", archives.display()))?;
    if only_file(&archives, name).is_err() {
        let mut download = Command::new("apt-get");
        // Without it apt would change to a user who may not write here.
        download.args(["--quiet", "--option", "APT::Sandbox::User=root", "download", name]);
        download.current_dir(&archives);
        process::run(download, DOWNLOAD_MAX).with_context(|| format!("cannot download {name}"))?;
    }
    // Renamed when it is whole, so that a half-unpacked one is never taken.
    let partial = folder.join(format!("{name}.partial"));
    let mut command = Command::new("dpkg-deb");
    command.arg("--extract").arg(only_file(&archives, name)?).arg(&partial);
    process::run(command, DOWNLOAD_MAX).with_context(|| format!("cannot unpack {name}"))?;
    fs::rename(&partial, &unpacked).with_context(|| format!("cannot rename {}", partial.display()))?;
    Ok(unpacked)
}

/// The one file of `folder` whose name begins so.
fn only_file(folder: &Path, start: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let is_wanted = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)) && path.is_file()
    };
    let mut found = entries.flatten().map(|entry| entry.path()).filter(is_wanted);
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => bail!("{} holds no {start}*", folder.display()),
        _ => bail!("{} holds several {start}*: remove it, to have it made anew", folder.display()),
    }
}

/// What the program wrote.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}: is this Debian?"))?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{program} failed: {error}");
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_found_by_its_numbers() {
        let listed = "linux-image-6.1.0-9-cloud-amd64-unsigned - Linux 6.1\n\
                      linux-image-6.1.0-56-cloud-amd64-unsigned - Linux 6.1\n\
                      linux-image-6.1.0-47-cloud-amd64-unsigned - Linux 6.1\n";
        assert_eq!(newest(listed).unwrap(), "linux-image-6.1.0-56-cloud-amd64-unsigned");
        let patched = "linux-image-6.12.9+deb12-cloud x\nlinux-image-6.12.117+deb12-cloud x\n";
        assert_eq!(newest(patched).unwrap(), "linux-image-6.12.117+deb12-cloud");
        assert_eq!(newest(""), None);
    }
}
