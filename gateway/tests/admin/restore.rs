//! A backup is restored: the log goes on otherwise than clients remember it.

use std::net::TcpListener;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::value::RawValue;
use waggle_client::{Client, Item, Items, View};

use super::*;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

struct Gateway {
    child: Child,
    token: String,
}

impl Gateway {
    fn start(folder: &Path, ports: [u16; 2]) -> Self {
        let [api, push] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_waggle"));
        command
            .args(["serve", "--demo", "--accel", "off", "--output", "json", "--api", &api, "--push", &push])
            .args(["--drain-after-ms", "10", "--drain-spread-ms", "10", "--data-dir"])
            .arg(folder)
            .env("WAGGLE_LOG_LEVEL", "error");
        let (child, ready) = ready::start(&mut command);
        Self { child, token: ready["demo"]["agents"][0]["token"].as_str().unwrap().to_owned() }
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a ticket, as soon as it is taken.
async fn create(client: &Client, subject: &str) {
    let command =
        json!({"type": "create", "queue": 1, "subject": subject, "requester": "r", "text": "hello"});
    let (key, start) = (subject.replace([' ', ','], "-"), Instant::now());
    loop {
        let command = RawValue::from_string(command.to_string()).unwrap();
        match client.command(None, command, Some(&key)).await {
            Ok(_) => return,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{subject} is not taken: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The next event's offset and subject, or that all is to be read anew, and why.
async fn next(items: &mut Items) -> Result<(u64, String), String> {
    loop {
        let item = tokio::time::timeout(PATIENCE, items.next()).await.expect("nothing comes");
        match item.expect("it has ended") {
            Item::Event(event) => {
                let data: Value = serde_json::from_str(event.message.data.get()).unwrap();
                return Ok((event.message.offset.0, data["subject"].as_str().unwrap().to_owned()));
            }
            Item::Resync { reason, .. } => return Err(format!("{reason:?}")),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_read_anew_after_a_restore() {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
    let gateway = Gateway::start(folder.path(), ports);
    let url = format!("ws://127.0.0.1:{}/v1/push", ports[1]);
    let builder = || Client::builder(&url, &gateway.token).views([View::Tenant]).from_start();
    let (author, mut items) = builder().connect().unwrap();
    create(&author, "one").await;
    assert_eq!(next(&mut items).await, Ok((1, "one".to_owned())));
    gateway.stop();
    let database = DataDir::at(folder.path()).database();
    std::fs::copy(&database, backup.path().join("waggle.db")).unwrap();

    let gateway = Gateway::start(folder.path(), ports);
    create(&author, "two, which is lost").await;
    assert_eq!(next(&mut items).await, Ok((2, "two, which is lost".to_owned())));
    gateway.stop();
    for name in ["waggle.db", "waggle.db-wal", "waggle.db-shm"] {
        // Those that there are.
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    std::fs::copy(backup.path().join("waggle.db"), &database).unwrap();
    let renewed = run(folder.path(), &["epoch", "renew"], "");
    assert!(renewed.status.success(), "{}", String::from_utf8_lossy(&renewed.stderr));

    let gateway = Gateway::start(folder.path(), ports);
    create(&author, "another two").await;
    let told = next(&mut items).await;
    assert!(told.as_ref().is_err_and(|reason| reason.to_lowercase().contains("epoch")), "{told:?}");
    // From here on it has the log as it is.
    create(&author, "three").await;
    let last = loop {
        let (offset, subject) = next(&mut items).await.unwrap();
        assert_ne!(subject, "two, which is lost");
        if subject == "three" {
            break offset;
        }
    };
    assert_eq!(last, 3);
    gateway.stop();
}
