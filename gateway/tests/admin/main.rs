//! `waggle admin` as its users run it: the real process, on the data directory of a gateway.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commands;
mod data;
#[path = "../support/ready.rs"]
mod ready;
mod restore;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use waggle_gateway::attachment::{Attachments, Others};
use waggle_gateway::data_dir::DataDir;
use waggle_gateway::store::{SqliteStore, Store};

/// A data directory as a gateway leaves it, with the tenant `acme`.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        let store = desk.store().await;
        store.create_tenant("acme").await.unwrap();
        store.create_queue(waggle_core::id::TenantId(1), "support").await.unwrap();
        store.create_agent(waggle_core::id::TenantId(1), "ana").await.unwrap();
        store.close().await;
        desk
    }

    fn dir(&self) -> DataDir {
        DataDir::at(self.folder.path())
    }

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.dir().database()).await.unwrap()
    }

    fn attachments(&self) -> Attachments {
        Attachments::open(&self.dir().attachments(), 1_000, None, Others::None).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.folder.path(), arguments, "")
    }

    /// Runs what succeeds; what it says, for programs.
    fn json(&self, arguments: &[&str]) -> Value {
        self.json_with(arguments, "")
    }

    fn json_with(&self, arguments: &[&str], input: &str) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
        let output = run(self.folder.path(), &arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs what fails: with which code, and what it says.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The newest action of the audit log, and to what.
    fn audited(&self) -> (String, String) {
        let rows = self.json(&["audit", "list", "--tenant", "acme", "--limit", "1"]);
        let text = |name: &str| rows[0][name].as_str().unwrap().to_owned();
        (text("action"), text("object"))
    }
}

fn run(data_dir: &Path, arguments: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_waggle"))
        .args(["admin", "--data-dir"])
        .arg(data_dir)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
