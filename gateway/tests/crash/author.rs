//! Writers that ask again with the same key until they have an answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::Gateway;

/// An answer of success.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) offset: u64,
    pub(crate) event: String,
}

/// What all authors share.
pub(crate) struct Shared {
    api: SocketAddr,
    token: String,
    stopped: AtomicBool,
    keys: AtomicU64,
    answers: Mutex<Vec<Acknowledged>>,
}

impl Shared {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        Self {
            api: gateway.api,
            token: gateway.token.clone(),
            stopped: AtomicBool::new(false),
            keys: AtomicU64::new(0),
            answers: Mutex::default(),
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    pub(crate) fn snapshot(&self) -> Vec<Acknowledged> {
        self.answers.lock().unwrap().clone()
    }

    pub(crate) fn keys_used(&self) -> usize {
        usize::try_from(self.keys.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

/// Creates tickets, writes notes on them, claims and releases them; nobody else touches them.
pub(crate) struct Author {
    shared: Arc<Shared>,
    connection: Option<TcpStream>,
    seed: u64,
    count: u64,
    /// Ticket, and the fence while it is claimed.
    ticket: Option<(u64, Option<u64>)>,
}

impl Author {
    pub(crate) fn new(seed: u64, shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), connection: None, seed, count: 0, ticket: None }
    }

    pub(crate) async fn run(mut self) {
        while !self.shared.stopped.load(Ordering::SeqCst) {
            self.count += 1;
            let text = format!("once:{}:{}", self.seed, self.count);
            let (path, body) = match (self.ticket, self.count % 7) {
                (None, _) | (Some((_, None)), 0) => ("/v1/tickets".to_owned(), create(self.count, &text)),
                (Some((ticket, None)), 1) => (commands(ticket), r#"{"type":"claim"}"#.to_owned()),
                (Some((ticket, Some(fence))), 3) => {
                    (commands(ticket), format!(r#"{{"type":"release","fence":{fence}}}"#))
                }
                (Some((ticket, fence)), _) => {
                    let fence = fence.map_or(String::new(), |fence| format!(r#","fence":{fence}"#));
                    (commands(ticket), format!(r#"{{"type":"reply","text":"{text}"{fence}}}"#))
                }
            };
            self.shared.keys.fetch_add(1, Ordering::SeqCst);
            let event = self.until_answered(&path, &body).await;
            let fields: Value = serde_json::from_str(&event).unwrap();
            let ticket = fields["ticket"].as_u64().unwrap();
            self.ticket = match fields["kind"].as_str().unwrap() {
                "claimed" => Some((ticket, fields["data"]["fence"].as_u64())),
                "created" | "released" => Some((ticket, None)),
                _ => self.ticket,
            };
            let offset = fields["offset"].as_u64().unwrap();
            self.shared.answers.lock().unwrap().push(Acknowledged { offset, event });
        }
    }

    async fn until_answered(&mut self, path: &str, body: &str) -> String {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: waggle\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {}-{}\r\nContent-Length: {}\r\n\r\n{body}",
            self.shared.token,
            self.seed,
            self.count,
            body.len(),
        );
        loop {
            match self.ask(&request).await {
                Some((200 | 201, event)) => return event,
                Some((503, _)) | None => tokio::time::sleep(Duration::from_millis(3)).await,
                Some((status, problem)) => panic!("{path} {body}: {status} {problem}"),
            }
        }
    }

    /// One request; `None` where the connection ends before the answer does.
    async fn ask(&mut self, request: &str) -> Option<(u16, String)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => TcpStream::connect(self.shared.api).await.ok()?,
        };
        connection.write_all(request.as_bytes()).await.ok()?;
        let mut received = Vec::new();
        loop {
            if connection.read_buf(&mut received).await.ok()? == 0 {
                return None;
            }
            let Some(head) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&received).unwrap();
            let length = text[..head].lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let end = head + 4 + length.unwrap();
            if received.len() >= end {
                let status = text[9..12].parse().unwrap();
                let body = text[head + 4..end].to_owned();
                self.connection = Some(connection);
                return Some((status, body));
            }
        }
    }
}

fn commands(ticket: u64) -> String {
    format!("/v1/tickets/{ticket}/commands")
}

fn create(count: u64, text: &str) -> String {
    let queue = 1 + count % 2;
    format!(
        r#"{{"type":"create","queue":{queue},"subject":"s","requester":"r@example.com","text":"{text}"}}"#
    )
}
