//! Embeds the eBPF objects, if they were built.
//!
//! They are in the folder `WAGGLE_EBPF_OBJECTS`, or where `cargo xtask ebpf` left them: in `target/ebpf/` of
//! the workspace. Without them the gateway builds all the same, and its loader says that it holds no object.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const OBJECTS: [&str; 3] = ["waggle-sockops", "waggle-guard", "waggle-redirect"];
const OVERRIDE: &str = "WAGGLE_EBPF_OBJECTS";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let given = env::var_os(OVERRIDE).map(PathBuf::from);
    let dir = given.clone().unwrap_or_else(built_objects);
    println!("cargo::rerun-if-changed={}", dir.display());
    for name in OBJECTS {
        let path = dir.join(name);
        let object = match fs::read(&path) {
            Ok(object) => object,
            // A folder that was asked for must hold them: anything else would embed nothing in silence.
            Err(error) if given.is_some() => return Err(named(&path, &error)),
            // An empty file stands for "no object".
            Err(_) => Vec::new(),
        };
        fs::write(out.join(name), object)?;
    }
    Ok(())
}

fn built_objects() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = workspace.join("target/ebpf");
    // Cargo runs a build script each time when a path that it watches is missing, and builds the gateway
    // anew; so the folder is made and watched, and an object that arrives is seen. On a read-only tree
    // the script just runs more often.
    let _ = fs::create_dir_all(&dir);
    dir
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{OVERRIDE}: {}: {error}", path.display()))
}
