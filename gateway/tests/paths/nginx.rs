//! The nginx block of `docs/PATHS.md`, run by the real nginx with its own timeouts.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use waggle_client::{Client, Item, View};

use crate::gateway::{Gateway, PATIENCE};
use crate::sse;

struct Nginx {
    child: Child,
    addr: SocketAddr,
}

impl Nginx {
    fn start(gateway: &Gateway) -> Self {
        // On an address of its own, where nobody else can take the port before nginx does.
        static STARTED: AtomicU8 = AtomicU8::new(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let free = TcpListener::bind(SocketAddr::from(([127, 77, 0, number], 0))).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let document = include_str!("../../../docs/PATHS.md");
        let (_, after) = document.split_once("```nginx\n").expect("the block of nginx");
        let (block, _) = after.split_once("```").unwrap();
        let changed = [
            ("unix:/run/waggle/push.sock", format!("unix:{}", gateway.push_unix().display())),
            ("127.0.0.1:8080", gateway.api.to_string()),
            ("listen 80;", format!("listen {addr};")),
        ];
        let mut block = block.to_owned();
        for (from, to) in changed {
            assert!(block.contains(from), "the block has no {from}");
            block = block.replace(from, &to);
        }
        let dir = gateway.dir().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String =
            temporary.iter().map(|kind| format!("{kind}_temp_path {dir}/nginx_{kind};\n")).collect();
        let configuration = format!(
            "daemon off;\nuser root;\npid {dir}/nginx.pid;\nerror_log {dir}/nginx.log;\nworker_processes 1;\n\
             events {{ worker_connections 256; }}\nhttp {{\naccess_log off;\n{temporary}{block}\n}}\n"
        );
        let path = gateway.dir().join("nginx.conf");
        std::fs::write(&path, configuration).unwrap();
        let mut command = Command::new(program());
        command.arg("-c").arg(&path).arg("-e").arg(gateway.dir().join("nginx.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let nginx = Self { child, addr };
        let start = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(start.elapsed() < PATIENCE, "nginx does not listen: {}", log(gateway.dir()));
            std::thread::sleep(Duration::from_millis(10));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master ends its worker; then it is waited for.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        );
        let _ = self.child.wait();
    }
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("nginx.log")).unwrap_or_default()
}

fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}

/// Whether there is an nginx; where not, the check is skipped and counted.
fn is_there(check: &str) -> bool {
    let found = Command::new(program()).arg("-v").stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let line = format!("{check}: nginx is not installed (Debian's nginx-light)");
    eprintln!("SKIPPED {line}");
    if let Some(path) = std::env::var_os("WAGGLE_SKIP_LOG") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
    false
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn websockets_go_through_nginx_to_the_unix_socket() {
    if !is_there("websockets_go_through_nginx_to_the_unix_socket") {
        return;
    }
    let mut gateway =
        Gateway::start(&["--heartbeat-ms", "500", "--drain-after-ms", "300", "--drain-spread-ms", "0"]);
    let nginx = Nginx::start(&gateway);
    runtime().block_on(async {
        let url = format!("ws://{}/v1/push", nginx.addr);
        let (_client, mut items) =
            Client::builder(url, &gateway.token).views([View::Tenant]).window(300_000).connect().unwrap();
        assert!(matches!(next(&mut items).await, Item::Connected { .. }));
        // Idle for some heartbeats, then small and large ones, all in order.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let big = "x".repeat(60_000);
        for number in 0..30 {
            gateway.create(if number % 2 == 0 { "small" } else { &big });
        }
        let mut offsets = Vec::new();
        while offsets.len() < 30 {
            match next(&mut items).await {
                Item::Event(event) => {
                    offsets.push(event.message.offset.0);
                    // A slow reader: nginx and the gateway hold back together.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Item::Disconnected { reason, .. } => panic!("{reason}: {}", log(gateway.dir())),
                _ => {}
            }
        }
        assert_eq!(offsets, (1..=30).collect::<Vec<_>>());
        gateway.terminate();
        loop {
            if let Item::Disconnected { reason, .. } = next(&mut items).await {
                assert!(reason.to_string().contains("4000"), "{reason}");
                break;
            }
        }
    });
    gateway.wait();
}

async fn next(items: &mut waggle_client::Items) -> Item {
    tokio::time::timeout(PATIENCE, items.next()).await.expect("an item in time").expect("an item")
}

#[test]
fn events_go_through_nginx_as_they_happen() {
    if !is_there("events_go_through_nginx_as_they_happen") {
        return;
    }
    let gateway = Gateway::start(&["--heartbeat-ms", "500"]);
    let nginx = Nginx::start(&gateway);
    let mut stream = sse::open(nginx.addr, &gateway.token, "?views=tenant", None);
    stream.expect("welcome");
    for offset in 1..=3 {
        gateway.create("now");
        let start = Instant::now();
        assert_eq!(stream.expect("event").data["offset"], offset);
        assert!(start.elapsed() < Duration::from_secs(2), "nginx holds events back");
    }
    let mut marks = 0;
    while marks < 4 {
        marks += usize::from(stream.next().unwrap().kind == "mark");
    }
}
