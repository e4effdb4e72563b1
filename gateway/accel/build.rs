//! Embeds the eBPF object, if one was built.
//!
//! The object is `WAGGLE_EBPF_OBJECT`, or what `cargo xtask ebpf` left in `target/ebpf/` of the workspace.
//! Without one the gateway builds all the same, and its loader says that it holds no object.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const OBJECT: &str = "waggle-sockops";
const OVERRIDE: &str = "WAGGLE_EBPF_OBJECT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let object = match env::var_os(OVERRIDE) {
        // A path that was asked for must be there: anything else would embed nothing in silence.
        Some(path) => {
            let path = Path::new(&path);
            println!("cargo::rerun-if-changed={}", path.display());
            Some(fs::read(path).map_err(|error| named(path, &error))?)
        }
        None => fs::read(built_object()).ok(),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    // An empty file stands for "no object".
    fs::write(out.join(OBJECT), object.unwrap_or_default())
}

fn built_object() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = workspace.join("target/ebpf");
    // Cargo runs a build script each time when a path that it watches is missing, and builds the gateway
    // anew; so the folder is made and watched, and an object that arrives is seen. On a read-only tree
    // the script just runs more often.
    let _ = fs::create_dir_all(&dir);
    println!("cargo::rerun-if-changed={}", dir.display());
    dir.join(OBJECT)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{OVERRIDE}={}: {error}", path.display()))
}
