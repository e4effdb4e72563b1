//! Changes of views and token, and signals, over connections that come and go.

use super::*;
use crate::id::{Epoch, QueueId, TicketId};
use crate::limits::{CLIENT_CHANGES_MAX, SESSION_SIGNALS_MAX, TYPING_MS, VIEWS_MAX};
use crate::push::SignalKind;

const QUEUE: View = View::Queue(QueueId(2));

/// A machine, and what it has said over each connection.
struct Desk {
    client: PushClient,
    now: Tick,
    links: Vec<Link>,
    said: Vec<(Link, serde_json::Value)>,
    changed: Vec<(u64, bool)>,
    closed: Vec<Link>,
}

impl Desk {
    fn new() -> Self {
        let cursor = Cursor { epoch: Epoch(1), offset: Offset(7) };
        let config = ClientConfig {
            token: "t".to_owned(),
            views: vec![View::Mine],
            start: Start::After(cursor),
            window: None,
            seed: 1,
        };
        let client = PushClient::new(config, Tick(0));
        let (links, said, changed, closed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut desk = Self { client, now: Tick(1), links, said, changed, closed };
        desk.settle();
        desk
    }

    /// With its first session welcomed.
    fn live() -> (Self, Link) {
        let mut desk = Self::new();
        let link = desk.connect();
        desk.welcome(link);
        desk.said.clear();
        (desk, link)
    }

    fn settle(&mut self) {
        while let Some(effect) = self.client.poll() {
            match effect {
                ClientEffect::Connect { link, .. } => self.links.push(link),
                ClientEffect::Send { link, text } => {
                    crate::push::ClientMessage::parse(text.as_bytes()).unwrap();
                    self.said.push((link, serde_json::from_str(&text).unwrap()));
                }
                ClientEffect::Changed { id, error } => self.changed.push((id.0, error.is_none())),
                ClientEffect::Close { link } | ClientEffect::Retire { link } => self.closed.push(link),
                _ => {}
            }
        }
    }

    /// The newest connection stands.
    fn connect(&mut self) -> Link {
        let link = *self.links.last().unwrap();
        self.client.connected(link, self.now);
        self.settle();
        link
    }

    fn welcome(&mut self, link: Link) {
        self.hear(
            link,
            r#"{"type":"welcome","session":1,"node":"a","epoch":"0000000000000001","offset":7,"resumed":true,"heartbeat_ms":1000,"window":4096}"#,
        );
    }

    fn hear(&mut self, link: Link, text: &str) {
        self.client.received(link, text, self.now);
        self.settle();
    }

    fn cut(&mut self, link: Link) {
        self.client.disconnected(link, Loss::Cut { why: "cut".to_owned() }, self.now);
        self.settle();
    }

    fn change(&mut self, change: Change) -> u64 {
        let id = self.client.change(change, self.now).unwrap();
        self.settle();
        id.0
    }

    fn signal(&mut self, kind: SignalKind, ticket: u64, on: bool) -> Result<(), SignalError> {
        let signal = Signal { kind, ticket: TicketId(ticket), on, data: None };
        let said = self.client.signal(&signal, self.now);
        self.settle();
        said
    }

    /// What was said since the last look, by type.
    fn types(&mut self) -> Vec<(Link, String)> {
        self.said.drain(..).map(|(link, text)| (link, text["type"].as_str().unwrap().to_owned())).collect()
    }

    fn hello_views(&self) -> String {
        self.said.last().unwrap().1["views"].to_string()
    }
}

#[test]
fn a_change_goes_over_the_session_and_into_every_later_hello() {
    let (mut desk, link) = Desk::live();
    assert_eq!(desk.change(Change::Subscribe(vec![QUEUE])), 1);
    assert_eq!(desk.said[0].1, serde_json::json!({"type":"subscribe","id":"v1","views":["queue:2"]}));
    assert!(desk.changed.is_empty());
    desk.hear(link, r#"{"type":"result","id":"v1"}"#);
    assert_eq!(desk.changed, [(1, true)]);
    desk.change(Change::Refresh("u".to_owned()));
    desk.hear(link, r#"{"type":"result"}"#);
    assert_eq!(desk.changed, [(1, true), (2, true)]);
    desk.cut(link);
    desk.connect();
    assert_eq!(desk.hello_views(), r#"["mine","queue:2"]"#);
    assert_eq!(desk.said.last().unwrap().1["token"], "u");
}

#[test]
fn a_change_without_a_session_waits_for_the_welcome() {
    let mut desk = Desk::new();
    desk.change(Change::Subscribe(vec![QUEUE]));
    let link = desk.connect();
    assert_eq!(desk.hello_views(), r#"["mine","queue:2"]"#);
    // This one comes too late for the hello.
    desk.change(Change::Unsubscribe(vec![View::Mine, View::Tenant]));
    assert_eq!(desk.types().len(), 1);
    desk.welcome(link);
    assert_eq!(desk.changed, [(1, true)]);
    assert_eq!(desk.said[0].1, serde_json::json!({"type":"unsubscribe","id":"v2","views":["mine"]}));
    desk.hear(link, r#"{"type":"result","id":"v2"}"#);
    assert_eq!(desk.changed, [(1, true), (2, true)]);
}

#[test]
fn a_change_whose_answer_is_lost_is_confirmed_by_the_next_welcome() {
    let (mut desk, link) = Desk::live();
    desk.change(Change::Subscribe(vec![QUEUE]));
    desk.change(Change::Refresh("u".to_owned()));
    desk.cut(link);
    let link = desk.connect();
    desk.welcome(link);
    assert_eq!(desk.changed, [(1, true), (2, true)]);
    // A server that answers them all the same is not wrong.
    desk.hear(link, r#"{"type":"result","id":"v1"}"#);
    desk.hear(link, r#"{"type":"result"}"#);
    assert_eq!(desk.changed.len(), 2);
}

#[test]
fn refused_views_are_wanted_no_longer() {
    let (mut desk, link) = Desk::live();
    desk.change(Change::Subscribe(vec![QUEUE, View::Mine]));
    desk.hear(link, r#"{"type":"result","id":"v1","error":{"code":"too_many_views"}}"#);
    assert_eq!(desk.changed, [(1, false)]);
    desk.cut(link);
    desk.connect();
    assert_eq!(desk.hello_views(), r#"["mine"]"#);
}

#[test]
fn a_successor_that_does_not_know_of_a_change_does_not_take_over() {
    let (mut desk, old) = Desk::live();
    desk.hear(old, r#"{"type":"drain","after_ms":0,"spread_ms":0}"#);
    let stale = desk.connect();
    desk.change(Change::Subscribe(vec![QUEUE]));
    assert_eq!(desk.closed, [stale]);
    desk.welcome(stale);
    let successor = desk.connect();
    assert_eq!(desk.hello_views(), r#"["mine","queue:2"]"#);
    desk.welcome(successor);
    assert_eq!(desk.closed, [stale, old]);
    assert_eq!(desk.changed, [(1, true)]);
}

#[test]
fn what_is_on_is_told_to_each_session_and_before_the_old_one_goes() {
    let (mut desk, old) = Desk::live();
    desk.signal(SignalKind::Viewing, 3, true).unwrap();
    desk.signal(SignalKind::Typing, 3, true).unwrap();
    desk.signal(SignalKind::Viewing, 4, true).unwrap();
    desk.signal(SignalKind::Viewing, 4, false).unwrap();
    assert_eq!(desk.types().len(), 4);
    desk.hear(old, r#"{"type":"drain","after_ms":0,"spread_ms":0}"#);
    let new = desk.connect();
    desk.types();
    let welcome = r#"{"type":"welcome","session":1,"node":"a","epoch":"0000000000000001","offset":7,"resumed":true,"heartbeat_ms":1000,"window":4096}"#;
    desk.client.received(new, welcome, desk.now);
    let order: Vec<_> = std::iter::from_fn(|| desk.client.poll()).collect();
    let [.., ClientEffect::Send { .. }, ClientEffect::Send { .. }, ClientEffect::Retire { link }] =
        order.as_slice()
    else {
        panic!("{order:?}")
    };
    assert_eq!(*link, old);
    // Typing has ended by itself meanwhile.
    desk.now = desk.now.after_ms(TYPING_MS);
    desk.cut(new);
    let link = desk.connect();
    desk.types();
    desk.welcome(link);
    let said: Vec<_> = desk.said.iter().map(|(_, text)| text["kind"].to_string()).collect();
    assert_eq!(said, [r#""viewing""#]);
}

#[test]
fn bounds_are_kept() {
    let (mut desk, link) = Desk::live();
    let many: Vec<View> = (1..=VIEWS_MAX as u64).map(|id| View::Ticket(TicketId(id))).collect();
    let refused = desk.client.change(Change::Subscribe(many.clone()), desk.now);
    assert_eq!(refused, Err(ChangeError::TooManyViews { count: VIEWS_MAX + 1 }));
    desk.change(Change::Unsubscribe(vec![View::Mine]));
    desk.change(Change::Subscribe(many));
    for _ in 2..CLIENT_CHANGES_MAX {
        desk.change(Change::Refresh("t".to_owned()));
    }
    let refused = desk.client.change(Change::Refresh("t".to_owned()), desk.now);
    assert_eq!(refused, Err(ChangeError::TooManyChanges));
    desk.hear(link, r#"{"type":"result","id":"v1"}"#);
    desk.change(Change::Refresh("t".to_owned()));

    for ticket in 1..=SESSION_SIGNALS_MAX as u64 {
        desk.signal(SignalKind::Typing, ticket, true).unwrap();
    }
    assert_eq!(desk.signal(SignalKind::Viewing, 1, true), Err(SignalError::TooManyOn));
    desk.now = desk.now.after_ms(TYPING_MS);
    desk.signal(SignalKind::Viewing, 1, true).unwrap();
    let data = RawValue::from_string("[1]".to_owned()).unwrap();
    let signal = Signal { kind: SignalKind::Viewing, ticket: TicketId(1), on: true, data: Some(&data) };
    assert_eq!(desk.client.signal(&signal, desk.now), Err(SignalError::Data));
}
