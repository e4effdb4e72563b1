//! An engine on an in-memory log, and a WebSocket client that sees every byte.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use waggle_core::id::{AgentId, Cursor, Epoch, Offset, QueueId, TenantId, TicketId, Version};
use waggle_core::push::close_frame;
use waggle_core::right::QueueSet;
use waggle_core::ticket::{Actor, Command, Entry, Followers, Kind, Refusal, Route, StoredEvent};
use waggle_core::time::Timestamp;
use waggle_gateway::directory::{AuthError, Credential, Principal};
use waggle_gateway::ledger::{Outcome, PublishedBatch, Publisher, Submission, SubmitError};
use waggle_gateway::push::{Access, Log, PushConfig, PushEngine, PushHub, PushStats};
use waggle_gateway::store::{Scope, StoreError};

pub(crate) const TENANT: TenantId = TenantId(1);
pub(crate) const EPOCH: Epoch = Epoch(0xabc);
/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A log in memory. Its ring can be made to forget.
pub(crate) struct MemoryLog {
    entries: Mutex<Vec<Arc<Entry>>>,
    ring_after: AtomicU64,
    /// Storage has nothing up to here.
    stored_after: AtomicU64,
    /// Reads that did not come from the ring.
    pub(crate) storage_reads: AtomicU64,
    /// Commands named "slow" wait for a permit.
    pub(crate) slow_commands: Semaphore,
    /// Where tickets are that are not in queue 1.
    pub(crate) places: Mutex<BTreeMap<u64, u32>>,
    publisher: Arc<dyn Publisher>,
}

impl MemoryLog {
    fn new(publisher: Arc<dyn Publisher>) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            ring_after: AtomicU64::new(0),
            stored_after: AtomicU64::new(0),
            storage_reads: AtomicU64::new(0),
            slow_commands: Semaphore::new(0),
            places: Mutex::default(),
            publisher,
        })
    }

    /// Appends events of a queue, without telling anyone.
    pub(crate) fn append(&self, queue: u32, count: u64, text_bytes: usize) -> Vec<Arc<Entry>> {
        let mut entries = self.entries.lock();
        let from = entries.len() as u64;
        let new = (1..=count).map(|number| entry(from + number, queue, text_bytes));
        entries.extend(new);
        entries[from as usize..].to_vec()
    }

    /// Moves a ticket, and tells everybody.
    pub(crate) fn move_ticket(&self, ticket: u64, from: u32, to: u32) {
        let mut entries = self.entries.lock();
        let entry = moving(entries.len() as u64 + 1, ticket, from, to);
        entries.push(Arc::clone(&entry));
        self.places.lock().insert(ticket, to);
        drop(entries);
        self.publish(vec![entry]);
    }

    /// Commits an event of a ticket that these agents follow.
    pub(crate) fn commit_followed(&self, queue: u32, agents: &[u32]) {
        let mut entries = self.entries.lock();
        let entry = entry(entries.len() as u64 + 1, queue, 0);
        let followers = agents.iter().copied().map(AgentId).collect();
        let entry = Arc::new(Entry { followers, ..Entry::clone(&entry) });
        entries.push(Arc::clone(&entry));
        drop(entries);
        self.publish(vec![entry]);
    }

    /// Appends and publishes them, as one batch.
    pub(crate) fn commit(&self, queue: u32, count: u64, text_bytes: usize) {
        let entries = self.append(queue, count, text_bytes);
        self.publish(entries);
    }

    pub(crate) fn publish(&self, entries: Vec<Arc<Entry>>) {
        self.publisher.publish(&Arc::new(PublishedBatch { tenant: TENANT, entries }));
    }

    /// The ring knows nothing up to here any more.
    pub(crate) fn forget_until(&self, offset: u64) {
        self.ring_after.store(offset, Ordering::SeqCst);
    }

    /// Nor does storage.
    pub(crate) fn prune_until(&self, offset: u64) {
        self.forget_until(offset);
        self.stored_after.store(offset, Ordering::SeqCst);
    }

    fn after(&self, after: Offset, limit: usize) -> Vec<Arc<Entry>> {
        self.entries.lock().iter().skip(after.0 as usize).take(limit).cloned().collect()
    }
}

/// An event that moves a ticket from one queue to another.
pub(crate) fn moving(offset: u64, ticket: u64, from: u32, to: u32) -> Arc<Entry> {
    Arc::new(Entry::from_stored(&StoredEvent {
        offset: Offset(offset),
        ticket: TicketId(ticket),
        version: Version(2),
        kind: Kind::Set,
        actor: Actor::System,
        at: Timestamp(1),
        route: Route { queue: QueueId(to), queue_from: Some(QueueId(from)), ..Route::default() },
        followers: Followers::default(),
        data: format!("{{\"queue\":{to}}}"),
    }))
}

fn entry(offset: u64, queue: u32, text_bytes: usize) -> Arc<Entry> {
    Arc::new(Entry::from_stored(&StoredEvent {
        offset: Offset(offset),
        ticket: TicketId(offset % 10 + 1),
        version: Version(1),
        kind: Kind::Note,
        actor: Actor::System,
        at: Timestamp(1),
        route: Route { queue: QueueId(queue), ..Route::default() },
        followers: Followers::default(),
        data: format!("{{\"text\":\"{}\"}}", "x".repeat(text_bytes)),
    }))
}

#[async_trait]
impl Log for MemoryLog {
    fn head(&self, tenant: TenantId) -> Option<Cursor> {
        let offset = Offset(self.entries.lock().len() as u64);
        (tenant == TENANT).then_some(Cursor { epoch: EPOCH, offset })
    }

    fn recent_after(&self, _: TenantId, after: Offset, limit: usize) -> Option<Vec<Arc<Entry>>> {
        (after.0 >= self.ring_after.load(Ordering::SeqCst)).then(|| self.after(after, limit))
    }

    async fn read_after(
        &self,
        _: TenantId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        self.storage_reads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Ok(self.after(after.max(Offset(self.stored_after.load(Ordering::SeqCst))), limit))
    }

    async fn submit(&self, submission: Submission<'_>) -> Result<Outcome, SubmitError> {
        match (submission.request.command, submission.ticket) {
            (Command::Claim, Some(TicketId(404))) => Err(SubmitError::NoSuchTicket(TicketId(404))),
            (Command::Move { .. }, _) => {
                let (expected, current) = (Version(1), Version(2));
                Err(Refusal::StaleVersion { expected, current }.into())
            }
            (command, _) => {
                if let Command::Note { .. } = command {
                    self.slow_commands.acquire().await.unwrap().forget();
                }
                let entries = self.append(1, 1, 0);
                self.publish(entries.clone());
                Ok(Outcome { entry: Arc::clone(&entries[0]), replayed: false })
            }
        }
    }

    async fn queue_of(&self, _: TenantId, ticket: TicketId) -> Result<Option<QueueId>, StoreError> {
        Ok(Some(QueueId(self.places.lock().get(&ticket.0).copied().unwrap_or(1))))
    }
}

/// Tokens "agent-1" to "agent-9", and what tests add.
pub(crate) struct Tokens {
    principals: Mutex<BTreeMap<String, Principal>>,
    refused: Mutex<BTreeMap<String, AuthError>>,
    /// What agents see who do not see all.
    sees: Mutex<BTreeMap<u32, QueueSet>>,
    revision: watch::Sender<u64>,
}

impl Tokens {
    fn new() -> Arc<Self> {
        let tokens = Self {
            principals: Mutex::default(),
            refused: Mutex::default(),
            sees: Mutex::default(),
            revision: watch::channel(0).0,
        };
        for agent in 1..=9 {
            tokens.add(&format!("agent-{agent}"), agent, None);
        }
        Arc::new(tokens)
    }

    pub(crate) fn add(&self, token: &str, agent: u32, expires_at: Option<Timestamp>) {
        let mut principals = self.principals.lock();
        let principal = Principal {
            tenant: TENANT,
            agent: AgentId(agent),
            scope: Scope::Agent,
            credential: Credential::Token(principals.len() as u64),
            expires_at,
        };
        principals.insert(token.to_owned(), principal);
    }

    /// Refuses a token for this reason; unknown ones need none.
    pub(crate) fn refuse(&self, token: &str, why: AuthError) {
        self.refused.lock().insert(token.to_owned(), why);
    }

    /// From now on the agent sees these queues.
    pub(crate) fn see(&self, agent: u32, sees: QueueSet) {
        self.sees.lock().insert(agent, sees);
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.principals.lock().remove(token);
        self.revision.send_modify(|revision| *revision += 1);
    }
}

impl Access for Tokens {
    fn authenticate(&self, token: &str, _: Timestamp) -> Result<Principal, AuthError> {
        let why = self.refused.lock().get(token).copied().unwrap_or(AuthError::Unknown);
        self.principals.lock().get(token).copied().ok_or(why)
    }

    fn still_valid(&self, principal: &Principal, _: Timestamp) -> bool {
        self.principals.lock().values().any(|known| known == principal)
    }

    fn visible_queues(&self, principal: &Principal) -> QueueSet {
        self.sees.lock().get(&principal.agent.0).cloned().unwrap_or(QueueSet::All)
    }

    fn revision_in_force(&self) -> u64 {
        *self.revision.borrow()
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

/// An engine with its log and tokens.
pub(crate) struct Gateway {
    pub(crate) engine: PushEngine,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) tokens: Arc<Tokens>,
}

impl Gateway {
    pub(crate) fn start(shards: usize, change: impl FnOnce(&mut PushConfig)) -> Self {
        let hub = PushHub::new(shards);
        let log = MemoryLog::new(hub.publisher());
        let tokens = Tokens::new();
        let mut config = PushConfig { tcp: Some("127.0.0.1:0".parse().unwrap()), ..PushConfig::new("test") };
        change(&mut config);
        let engine = PushEngine::start(config, hub, log.clone(), tokens.clone()).unwrap();
        Self { engine, log, tokens }
    }

    /// A connection that has shaken hands.
    pub(crate) fn connect(&self) -> Client<TcpStream> {
        let stream = self.tcp();
        let mut client = Client::new(stream);
        client.shake_hands();
        client
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.engine.tcp_addr().unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A session that watches these views, welcomed at the head.
    pub(crate) fn session(&self, views: &str) -> Client<TcpStream> {
        let mut client = self.connect();
        client.say(&format!(r#"{{"type":"hello","token":"agent-1","views":[{views}]}}"#));
        client.expect("welcome");
        client
    }

    /// Waits until the counts are so.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&PushStats) -> bool) {
        let start = std::time::Instant::now();
        while !wanted(&self.engine.stats()) {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.engine.stats());
            std::thread::yield_now();
        }
    }
}

/// A frame from the server.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    Text(Value),
    Close(u16, String),
    Pong(Vec<u8>),
    End,
}

pub(crate) struct Client<S> {
    pub(crate) stream: S,
}

impl Client<UnixStream> {
    pub(crate) fn connect_unix(path: &std::path::Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(stream)
    }
}

pub(crate) const HANDSHAKE: &str = "GET /v1/push HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
    Sec-WebSocket-Protocol: other, waggle.v1.json\r\n\r\n";

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(crate) fn shake_hands(&mut self) {
        self.stream.write_all(HANDSHAKE.as_bytes()).unwrap();
        let head = self.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_lowercase().contains("sec-websocket-protocol: waggle.v1.json\r\n"), "{head}");
    }

    /// An HTTP answer up to its body.
    pub(crate) fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "the end came early: {head:?}");
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(0x81, text.as_bytes());
    }

    /// One masked frame.
    pub(crate) fn send(&mut self, first_byte: u8, payload: &[u8]) {
        let mut frame = vec![first_byte];
        match payload.len() {
            bytes @ 0..=125 => frame.push(0x80 | bytes as u8),
            bytes @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((bytes as u16).to_be_bytes());
            }
            bytes => {
                frame.push(0x80 | 127);
                frame.extend((bytes as u64).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.write_all(&frame).unwrap();
    }

    pub(crate) fn next(&mut self) -> Frame {
        let mut head = [0; 2];
        match self.stream.read(&mut head[..1]) {
            Ok(0) => return Frame::End,
            Ok(_) => self.stream.read_exact(&mut head[1..]).unwrap(),
            Err(error) => panic!("nothing came: {error}"),
        }
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.take())),
            127 => u64::from_be_bytes(self.take()),
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).unwrap();
        match head[0] {
            0x81 => Frame::Text(serde_json::from_slice(&payload).unwrap()),
            0x88 => {
                let (code, reason) = payload.split_at(2);
                let code = u16::from_be_bytes([code[0], code[1]]);
                Frame::Close(code, String::from_utf8(reason.to_vec()).unwrap())
            }
            0x8a => Frame::Pong(payload),
            other => panic!("a frame that starts with {other:#x}"),
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn text(&mut self) -> Value {
        match self.next() {
            Frame::Text(text) => text,
            other => panic!("{other:?} instead of a text"),
        }
    }

    /// The next message, which must be of this type.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let text = self.text();
        assert_eq!(text["type"], kind, "{text}");
        text
    }

    /// The offsets of the next events.
    pub(crate) fn events(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.expect("event")["offset"].as_u64().unwrap()).collect()
    }

    pub(crate) fn ack(&mut self, offset: u64) {
        self.say(&format!(r#"{{"type":"ack","offset":{offset}}}"#));
    }

    /// The server's close frame; then the end, not a reset, once it is answered.
    pub(crate) fn expect_close(&mut self, code: u16, reason: &str) {
        match self.next() {
            Frame::Close(found, why) => {
                assert_eq!(found, code, "{why}");
                assert!(why.contains(reason), "{why:?} should have {reason:?}");
            }
            other => panic!("{other:?} instead of a close"),
        }
        self.send(0x88, &close_frame(code, "")[2..]);
        assert_eq!(self.next(), Frame::End);
    }
}
