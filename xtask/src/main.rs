//! `cargo xtask`: everything that is done to this repository besides writing it.

mod tidy;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package)
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

fn main() -> anyhow::Result<()> {
    for violation in tidy::check(&root())? {
        println!("{violation}");
    }
    Ok(())
}
