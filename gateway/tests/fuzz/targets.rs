//! Targets that need no gateway. Each returns what its answer looks like.

use std::str::FromStr;

use waggle_core::id::{AgentId, Cursor, Epoch, Offset, QueueId, TicketId, Version};
use waggle_core::learn::{Ask, Dialogue, Happening, Model};
use waggle_core::push::{ClientConfig, ClientEffect, ClientMessage, PushClient, ServerMessage, Start, View};
use waggle_core::ticket::{Actor, Kind};
use waggle_core::time::{Tick, Timestamp};

pub fn client_messages(bytes: &[u8]) -> u64 {
    match ClientMessage::parse(bytes) {
        Ok(message) => sign(&format!("{:?}", std::mem::discriminant(&message))),
        Err(error) => sign(&error.to_string()),
    }
}

pub fn server_messages(bytes: &[u8]) -> u64 {
    match ServerMessage::parse(bytes) {
        Ok(message) => {
            let text = message.to_json().expect("it is written");
            ServerMessage::parse(&text).expect("what was written is read again");
            sign(&format!("{:?}", std::mem::discriminant(&message)))
        }
        Err(error) => sign(&error.to_string()),
    }
}

pub fn cursors(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(epoch) = Epoch::from_str(&text) {
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
    }
    match serde_json::from_slice::<Cursor>(bytes) {
        Ok(cursor) => {
            let again = serde_json::to_vec(&cursor).unwrap();
            assert_eq!(serde_json::from_slice::<Cursor>(&again).unwrap(), cursor);
            0
        }
        Err(error) => sign(&error.to_string()),
    }
}

/// A client's machine, and a server that says one line after the other.
pub fn client_machine(bytes: &[u8]) -> u64 {
    let views = vec![View::Tenant];
    let config = ClientConfig { token: "t".into(), views, start: Start::Now, window: None, seed: 1 };
    let mut client = PushClient::new(config, Tick(0));
    let (mut now, mut signature, mut links) = (0, 0_u64, Vec::new());
    for line in String::from_utf8_lossy(bytes).lines().take(64) {
        let mut effects = 0;
        while let Some(effect) = client.poll() {
            effects += 1;
            assert!(effects < 1_000, "a line has no end of effects");
            signature = signature.rotate_left(5) ^ sign(&format!("{:?}", std::mem::discriminant(&effect)));
            match effect {
                ClientEffect::Connect { link, .. } => {
                    links.push(link);
                    client.connected(link, Tick(now));
                }
                ClientEffect::Deliver { receipt, .. } => client.shown(receipt),
                _ => {}
            }
        }
        if let Some(link) = links.last() {
            client.received(*link, line, Tick(now));
        }
        now += 10;
        client.tick(Tick(now));
    }
    signature
}

/// A number for a text, whatever numbers are in it (FNV-1a, Fowler, Noll and Vo).
pub fn sign(text: &str) -> u64 {
    let kept = text.bytes().filter(|byte| !byte.is_ascii_digit()).take(200);
    kept.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A tenant's log, one event a line: its kind, and its data. Bytes that begin as a snapshot are read as one, too.
pub fn lessons(bytes: &[u8]) -> u64 {
    let ask = Ask::of_text(QueueId(1), &String::from_utf8_lossy(bytes));
    let mut model = Model::decode(bytes).unwrap_or_default();
    let mut dialogue = Dialogue::default();
    let mut signature = 0_u64;
    let first = model.position().0.saturating_add(1);
    for (line, offset) in String::from_utf8_lossy(bytes).lines().take(64).zip(first..) {
        let (kind, data) = line.split_once(' ').unwrap_or((line, "{}"));
        let Some(kind) = Kind::from_name(kind) else { continue };
        let actor = match offset % 4 {
            0 => Actor::System,
            1 => Actor::Requester,
            agent => Actor::Agent(AgentId(agent as u32)),
        };
        let (offset, version, at) = (Offset(offset), Version(offset as u32), Timestamp(offset * 1_000));
        let (ticket, queue) = (TicketId(1), QueueId(1));
        let happening = Happening { offset, ticket, version, kind, actor, at, queue, data };
        match dialogue.apply(&happening) {
            Some(lesson) => {
                for notice in model.learn(offset, &lesson) {
                    signature = signature.rotate_left(5) ^ sign(&format!("{notice:?}"));
                }
            }
            None => model.pass(offset),
        }
    }
    let suggestion = model.suggest(&ask);
    assert!(suggestion.candidates.iter().all(|candidate| candidate.confidence.is_finite()));
    let _ = (model.automatic(&ask, Timestamp(1)), model.report());
    let bytes = model.encode();
    let again = Model::decode(&bytes).expect("what was written is read again");
    assert!(again.encode() == bytes, "a snapshot is the model bit for bit");
    signature ^ sign(&suggestion.why)
}
