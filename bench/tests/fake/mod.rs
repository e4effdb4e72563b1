//! A gateway of a few lines, on one thread: it keeps tickets in memory, answers after a known time, and
//! can stall. What the bench measures of it is known beforehand.

// Each user of this module uses a part of it; an example is no test to clippy, but this is test code.
#![allow(dead_code, clippy::unwrap_used)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use waggle_core::push::text_frame;

/// How the fake behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// Between a command and its answer and event.
    pub(crate) delay: Duration,
    /// Nothing is answered from this long after the first move …
    pub(crate) stall_after: Duration,
    /// … for this long.
    pub(crate) stall: Duration,
}

type Frames = mpsc::Sender<bytes::Bytes>;

struct State {
    behaviour: Behaviour,
    first_move: Cell<Option<Instant>>,
    offset: Cell<u64>,
    versions: RefCell<HashMap<u64, u64>>,
    by_view: RefCell<HashMap<String, Vec<Frames>>>,
    commands: Cell<u64>,
}

/// Serves in a thread until the process ends.
pub(crate) fn spawn(behaviour: Behaviour) -> SocketAddr {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || run(behaviour, |address| send.send(address).unwrap()));
    receive.recv().unwrap()
}

/// Serves on a free port of the loopback.
pub(crate) fn run(behaviour: Behaviour, ready: impl FnOnce(SocketAddr)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let state = Rc::new(State {
        behaviour,
        first_move: Cell::new(None),
        offset: Cell::new(0),
        versions: RefCell::default(),
        by_view: RefCell::default(),
        commands: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ready(listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(serve(stream, state.clone()));
        }
    });
}

async fn serve(mut stream: TcpStream, state: Rc<State>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut input = Vec::with_capacity(4096);
    loop {
        let (head, body) = request(&mut stream, &mut input).await?;
        let path = head.split(' ').nth(1)?;
        if path == "/v1/push" {
            return push(stream, &head, state).await;
        }
        let answer = match path.strip_prefix("/v1/tickets") {
            Some(rest) if head.starts_with("GET") => read(rest, &state),
            Some(rest) => command(rest, &body, &state).await,
            None => (
                200,
                format!(
                    "waggle_ledger_commits_total {}\nwaggle_ledger_commands_total {}\n",
                    state.commands.get() / 4,
                    state.commands.get()
                ),
            ),
        };
        let (status, text) = answer;
        let response = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        stream.write_all(response.as_bytes()).await.ok()?;
    }
}

async fn request(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = std::str::from_utf8(&input[..end]).ok()?.to_owned();
            let length = head.rsplit_once("Content-Length: ");
            let length = length.map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
            if input.len() >= end + 4 + length {
                let body = input[end + 4..end + 4 + length].to_vec();
                input.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}

/// A ticket, at once.
fn read(rest: &str, state: &State) -> (u16, String) {
    let ticket: u64 = rest[1..].parse().unwrap();
    let version = state.versions.borrow().get(&ticket).copied().unwrap_or(0);
    (200, format!(r#"{{"id":{ticket},"version":{version}}}"#))
}

async fn command(rest: &str, body: &[u8], state: &State) -> (u16, String) {
    let ticket = match rest {
        "" => state.versions.borrow().len() as u64 + 1,
        _ => rest[1..].split('/').next().unwrap().parse().unwrap(),
    };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let known = state.versions.borrow().get(&ticket).copied().unwrap_or(0);
    if rest.is_empty() == (body["type"] == "move") || body["expect"].as_u64().unwrap_or(0) != known {
        return (409, format!(r#"{{"code":"conflict","version":{known}}}"#));
    }
    let version = known + 1;
    state.versions.borrow_mut().insert(ticket, version);
    if body["type"] == "move" {
        wait(state).await;
    }
    state.commands.set(state.commands.get() + 1);
    state.offset.set(state.offset.get() + 1);
    let offset = state.offset.get();
    let event = format!(
        r#"{{"type":"event","offset":{offset},"ticket":{ticket},"version":{version},"kind":"moved","at":1,"actor":"agent:1","data":{{}}}}"#
    );
    let frame = text_frame(event.as_bytes());
    let views = state.by_view.borrow();
    for view in [format!("ticket:{ticket}"), "tenant".to_owned()] {
        for session in views.get(&view).into_iter().flatten() {
            session.try_send(frame.clone()).ok();
        }
    }
    (if rest.is_empty() { 201 } else { 200 }, event)
}

async fn wait(state: &State) {
    let Behaviour { delay, stall_after, stall } = state.behaviour;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let first = state.first_move.get().unwrap_or_else(Instant::now);
    state.first_move.set(Some(first));
    if (stall_after..stall_after + stall).contains(&first.elapsed()) {
        tokio::time::sleep_until((first + stall_after + stall).into()).await;
    }
}

async fn push(mut stream: TcpStream, head: &str, state: Rc<State>) -> Option<()> {
    let (_, key) = head.split_once("Sec-WebSocket-Key: ")?;
    assert!(head.contains("Sec-WebSocket-Protocol: waggle.v1.json"));
    let accept = derive_accept_key(key.lines().next()?.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: waggle.v1.json\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    let (mut reader, mut writer) = stream.into_split();
    let hello: serde_json::Value = serde_json::from_slice(&message(&mut reader).await?).ok()?;
    assert_eq!(hello["type"], "hello");
    let (send, mut frames) = mpsc::channel(4096);
    for view in hello["views"].as_array()? {
        state.by_view.borrow_mut().entry(view.as_str()?.to_owned()).or_default().push(send.clone());
    }
    let offset = state.offset.get();
    let welcome = format!(
        r#"{{"type":"welcome","session":1,"node":"fake","epoch":"0000000000000001","offset":{offset},"resumed":false,"heartbeat_ms":15000,"window":4096}}"#
    );
    // The hello is answered together with a first mark and half of a ping, to see that frames are put together.
    let mark = text_frame(format!(r#"{{"type":"mark","offset":{offset},"sent":0}}"#).as_bytes());
    let first = [&text_frame(welcome.as_bytes())[..], &mark[..], b"\x89"].concat();
    writer.write_all(&first).await.ok()?;
    writer.write_all(b"\x00").await.ok()?;
    tokio::task::spawn_local(async move {
        while let Some(frame) = frames.recv().await {
            writer.write_all(&frame).await.ok()?;
        }
        Some(())
    });
    let mut acked = 0;
    while let Some(text) = message(&mut reader).await {
        if text.is_empty() {
            continue;
        }
        let ack: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(ack["type"], "ack");
        assert!(ack["offset"].as_u64().unwrap() >= acked);
        acked = ack["offset"].as_u64().unwrap();
    }
    Some(())
}

/// The payload of the next masked frame, below 64 KiB.
async fn message(reader: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut head = [0; 2];
    reader.read_exact(&mut head).await.ok()?;
    assert_eq!(head[1] & 0x80, 0x80, "client frames are masked");
    let mut length = u16::from(head[1] & 0x7f);
    if length == 126 {
        length = reader.read_u16().await.ok()?;
    }
    let mut mask = [0; 4];
    reader.read_exact(&mut mask).await.ok()?;
    let mut payload = vec![0; usize::from(length)];
    reader.read_exact(&mut payload).await.ok()?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some(payload)
}
