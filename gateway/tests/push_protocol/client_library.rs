//! The client library against the real engine: views, token and signals while the session lives.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use waggle_client::{
    AgentId, ChangeError, ChangeFailure, Client, Hint, Item, Items, QueueId, SignalKind, TicketId, View,
};
use waggle_core::limits::VIEWS_MAX;
use waggle_core::push::CloseCode;

use crate::harness::{Gateway, PATIENCE};

const TICKET: TicketId = TicketId(7);

async fn client(gateway: &Gateway, agent: u32, views: &[View]) -> (Client, Items) {
    let url = format!("ws://{}/v1/push", gateway.engine.tcp_addr().unwrap());
    let builder = Client::builder(url, format!("agent-{agent}")).views(views.iter().copied());
    let (client, mut items) = builder.connect().unwrap();
    assert!(matches!(next(&mut items).await, Item::Connected { .. }));
    (client, items)
}

async fn next(items: &mut Items) -> Item {
    timeout(PATIENCE, items.next()).await.unwrap().unwrap()
}

/// The next event's offset; marks and hints are passed over.
async fn event(items: &mut Items) -> u64 {
    loop {
        match next(items).await {
            Item::Event(event) => return event.message.offset.0,
            Item::CaughtUp { .. } | Item::Signal(_) | Item::Connected { .. } | Item::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The next hint; marks are passed over.
async fn hint(items: &mut Items) -> Hint {
    loop {
        match next(items).await {
            Item::Signal(signal) => return signal.hint(),
            Item::CaughtUp { .. } | Item::Connected { .. } | Item::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The next hint, of a ticket: what, by whom, whether on, with what.
async fn ticket_hint(items: &mut Items) -> (SignalKind, u32, bool, Option<String>) {
    match hint(items).await {
        Hint::Ticket(hint) if hint.ticket == TICKET => {
            (hint.kind, hint.agent.0, hint.on, hint.data.map(|data| data.get().to_owned()))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn views_change_while_the_session_lives() {
    let gateway = Gateway::start(2, |_| {});
    let (client, mut items) = client(&gateway, 1, &[View::Queue(QueueId(1))]).await;
    gateway.log.commit(2, 1, 0);
    gateway.log.commit(1, 1, 0);
    assert_eq!(event(&mut items).await, 2);
    client.subscribe([View::Queue(QueueId(2))]).await.unwrap();
    gateway.log.commit(2, 1, 0);
    assert_eq!(event(&mut items).await, 3);
    client.unsubscribe([View::Queue(QueueId(1))]).await.unwrap();
    gateway.log.commit(1, 1, 0);
    gateway.log.commit(2, 1, 0);
    assert_eq!(event(&mut items).await, 5);
    let many = (1..=VIEWS_MAX as u64).map(|id| View::Ticket(TicketId(id)));
    let refused = client.subscribe(many).await.unwrap_err();
    assert_eq!(refused, ChangeFailure::Bound(ChangeError::TooManyViews { count: VIEWS_MAX + 1 }));
}

/// A way to the engine that can be cut.
struct Relay {
    listener: TcpListener,
    engine: SocketAddr,
}

impl Relay {
    async fn pass_one(&self) -> JoinHandle<()> {
        let (mut near, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut far = TcpStream::connect(self.engine).await.unwrap();
        // Either end may be gone first.
        tokio::spawn(async move { drop(copy_bidirectional(&mut near, &mut far).await) })
    }
}

#[tokio::test]
async fn views_and_signals_outlast_the_connection() {
    let gateway = Gateway::start(2, |_| {});
    let (_watcher, mut hints) = client(&gateway, 2, &[View::Ticket(TICKET)]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay { listener, engine: gateway.engine.tcp_addr().unwrap() };
    let url = format!("ws://{}", relay.listener.local_addr().unwrap());
    let (client, mut items) =
        Client::builder(url, "agent-1").views([View::Queue(QueueId(1))]).connect().unwrap();
    let way = relay.pass_one().await;
    client.subscribe([View::Queue(QueueId(2))]).await.unwrap();
    client.unsubscribe([View::Queue(QueueId(1))]).await.unwrap();
    client.signal_on(SignalKind::Viewing, TICKET, None).await.unwrap();
    assert_eq!(ticket_hint(&mut hints).await, (SignalKind::Viewing, 1, true, None));

    way.abort();
    gateway.log.commit(2, 1, 0);
    gateway.log.commit(1, 1, 0);
    gateway.log.commit(2, 1, 0);
    let _way = relay.pass_one().await;
    assert_eq!((event(&mut items).await, event(&mut items).await), (1, 3));
    assert_eq!(ticket_hint(&mut hints).await, (SignalKind::Viewing, 1, false, None), "its session ended");
    assert_eq!(ticket_hint(&mut hints).await, (SignalKind::Viewing, 1, true, None), "and it said so again");
}

#[tokio::test]
async fn a_new_token_keeps_the_session_and_a_wrong_one_ends_it() {
    let gateway = Gateway::start(1, |_| {});
    let (client, mut items) = client(&gateway, 1, &[View::Tenant]).await;
    gateway.tokens.add("renewed", 1, None);
    client.refresh("renewed").await.unwrap();
    // What the session began with may go now.
    gateway.tokens.revoke("agent-1");
    gateway.log.commit(1, 1, 0);
    assert_eq!(event(&mut items).await, 1);
    assert_eq!(client.refresh("agent-2").await.unwrap_err(), ChangeFailure::Stopped, "another agent's");
    let reason = loop {
        if let Item::Stopped { reason } = next(&mut items).await {
            break reason.to_string();
        }
    };
    assert!(reason.contains(&CloseCode::Unauthorized.number().to_string()), "{reason}");
    assert_eq!(client.subscribe([View::Mine]).await.unwrap_err(), ChangeFailure::Stopped);
}

#[tokio::test]
async fn what_one_does_is_told_to_the_others() {
    let gateway = Gateway::start(2, |_| {});
    let (_watcher, mut items) = client(&gateway, 2, &[View::Ticket(TICKET), View::Presence]).await;
    assert!(matches!(hint(&mut items).await, Hint::Presence { all: true, .. }));
    let (client, own) = client(&gateway, 1, &[]).await;
    let is_there = |hint| match hint {
        Hint::Presence { agents, .. } => agents.contains(&(AgentId(1), true)),
        other => panic!("{other:?}"),
    };
    while !is_there(hint(&mut items).await) {}
    let draft = || Some(RawValue::from_string(r#"{"draft":40}"#.to_owned()).unwrap());
    client.signal_on(SignalKind::Typing, TICKET, draft()).await.unwrap();
    client.signal_on(SignalKind::Viewing, TICKET, None).await.unwrap();
    client.signal_off(SignalKind::Typing, TICKET).await.unwrap();
    let draft = Some(r#"{"draft":40}"#.to_owned());
    assert_eq!(ticket_hint(&mut items).await, (SignalKind::Typing, 1, true, draft));
    assert_eq!(ticket_hint(&mut items).await, (SignalKind::Viewing, 1, true, None));
    assert_eq!(ticket_hint(&mut items).await, (SignalKind::Typing, 1, false, None));
    drop((client, own));
    assert_eq!(ticket_hint(&mut items).await, (SignalKind::Viewing, 1, false, None));
}

#[tokio::test]
async fn an_end_is_not_lost_however_much_is_said() {
    let gateway = Gateway::start(1, |config| config.messages_per_second = 10);
    let (_watcher, mut items) = client(&gateway, 2, &[View::Ticket(TICKET)]).await;
    let (client, _own) = client(&gateway, 1, &[]).await;
    // Far over the rate: what comes too fast is dropped, but never the last word.
    for draft in 0..200 {
        let data = RawValue::from_string(format!(r#"{{"draft":{draft}}}"#)).unwrap();
        client.signal_on(SignalKind::Typing, TICKET, Some(data)).await.unwrap();
    }
    client.signal_off(SignalKind::Typing, TICKET).await.unwrap();
    let end = async { while ticket_hint(&mut items).await.2 {} };
    // Well before typing would end by itself.
    timeout(Duration::from_secs(4), end).await.unwrap();
    assert!(gateway.engine.stats().signals_dropped > 0);
}
