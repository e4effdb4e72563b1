//! What one may see, and what ends when one may not any more.

use std::net::TcpStream;

use serde_json::json;
use waggle_core::id::{AgentId, QueueId, TicketId};
use waggle_core::push::text_frame;
use waggle_core::right::QueueSet;
use waggle_gateway::push::SuggestionNews;

use crate::harness::{Client, Frame, Gateway, TENANT};

fn queues(numbers: &[u32]) -> QueueSet {
    QueueSet::of(numbers.iter().copied().map(QueueId))
}

fn session(gateway: &Gateway, agent: u32, views: &str) -> Client<TcpStream> {
    let mut client = gateway.connect();
    client.say(&format!(r#"{{"type":"hello","token":"agent-{agent}","views":[{views}]}}"#));
    client.expect("welcome");
    client
}

#[test]
fn only_what_one_may_see_is_shown_whatever_is_watched() {
    let gateway = Gateway::start(2, |_| {});
    gateway.tokens.see(1, queues(&[1]));
    gateway.log.places.lock().insert(2, 2);
    let mut client = session(&gateway, 1, r#""tenant","queue:1","queue:2","ticket:1","ticket:2","mine""#);
    assert_eq!(client.expect("ended"), json!({"type": "ended", "views": ["queue:2"], "reason": "no_right"}));
    assert_eq!(client.expect("ended")["views"], json!(["ticket:2"]));
    client.say(r#"{"type":"subscribe","id":"s","views":["queue:2"]}"#);
    assert_eq!(client.expect("result")["error"]["code"], "no_such_queue");
    // A ticket that there is not looks the same as one that one may not see.
    gateway.log.commit(2, 3, 0);
    gateway.log.commit(1, 1, 0);
    assert_eq!(client.events(1), [4]);
    let mut resumed = gateway.connect();
    resumed.say(
        r#"{"type":"hello","token":"agent-1","views":["tenant"],"resume":{"epoch":"0000000000000abc","offset":0}}"#,
    );
    resumed.expect("welcome");
    assert_eq!(resumed.events(1), [4], "the log is read with the same eyes");
}

#[test]
fn what_concerns_an_agent_is_in_its_inbox() {
    let gateway = Gateway::start(2, |_| {});
    gateway.tokens.see(1, queues(&[1]));
    let mut client = session(&gateway, 1, r#""inbox""#);
    for (queue, agents) in [(1, &[2][..]), (1, &[1, 2]), (2, &[1]), (1, &[]), (1, &[1])] {
        gateway.log.commit_followed(queue, agents);
    }
    assert_eq!(client.events(2), [2, 5]);
    let mut resumed = gateway.connect();
    resumed.say(
        r#"{"type":"hello","token":"agent-1","views":["inbox"],"resume":{"epoch":"0000000000000abc","offset":0}}"#,
    );
    resumed.expect("welcome");
    assert_eq!(resumed.events(2), [2, 5]);
    client.say(r#"{"type":"unsubscribe","id":"u","views":["inbox"]}"#);
    client.expect("result");
    client.say(r#"{"type":"subscribe","id":"s","views":["queue:1"]}"#);
    client.expect("result");
    gateway.log.commit_followed(1, &[1]);
    assert_eq!(client.events(1), [6]);
}

#[test]
fn a_ticket_that_moves_away_is_seen_for_the_last_time() {
    let gateway = Gateway::start(1, |_| {});
    gateway.tokens.see(1, queues(&[1]));
    let mut client = session(&gateway, 1, r#""ticket:7""#);
    let mut all = session(&gateway, 2, r#""ticket:7""#);
    gateway.log.move_ticket(7, 1, 2);
    assert_eq!(client.events(1), [1]);
    assert_eq!(client.expect("ended")["views"], json!(["ticket:7"]));
    gateway.log.move_ticket(7, 2, 3);
    assert_eq!(all.events(2), [1, 2]);
    client.say(r#"{"type":"subscribe","id":"s","views":["ticket:7"]}"#);
    client.expect("result");
    assert_eq!(client.expect("ended")["views"], json!(["ticket:7"]));
}

#[test]
fn signals_of_tickets_that_one_may_not_see_are_neither_heard_nor_said() {
    let gateway = Gateway::start(1, |_| {});
    gateway.tokens.see(1, queues(&[1]));
    gateway.log.places.lock().insert(8, 2);
    let mut all = session(&gateway, 2, r#""ticket:7","ticket:8""#);
    let on =
        |ticket: u64| json!({"type": "signal", "kind": "viewing", "ticket": ticket, "on": true}).to_string();
    all.say(&on(8));
    all.say(&on(7));
    all.say(r#"{"type":"subscribe","id":"s","views":["mine"]}"#);
    all.expect("result");
    let mut narrow = session(&gateway, 1, r#""ticket:8","ticket:7""#);
    let mut seen = [narrow.text(), narrow.text()];
    seen.sort_by_key(|text| text["type"].to_string());
    assert_eq!((seen[0]["type"].as_str(), &seen[0]["views"]), (Some("ended"), &json!(["ticket:8"])));
    assert_eq!((seen[1]["ticket"].as_u64(), seen[1]["agent"].as_u64()), (Some(7), Some(2)));
    narrow.say(&on(8));
    narrow.say(&on(7));
    let heard = all.expect("signal");
    assert_eq!((heard["ticket"].as_u64(), heard["agent"].as_u64()), (Some(7), Some(1)), "not of ticket 8");
}

/// What is committed after a right was withdrawn reaches nobody whom it had let see it: every event that comes at all is
/// of before.
#[test]
fn nothing_comes_after_a_right_was_withdrawn() {
    const ROUNDS: u64 = 200;
    const SESSIONS: usize = 8;
    let gateway = Gateway::start(2, |config| config.heartbeat_ms = 60_000);
    let views = [r#""queue:2""#, r#""tenant""#, r#""queue:1","queue:2""#, r#""tenant","queue:2""#];
    let (mut delivered, mut after) = (0, 0);
    for round in 0..ROUNDS {
        gateway.tokens.see(1, QueueSet::All);
        let mut clients: Vec<_> = (0..if round == 0 { SESSIONS } else { 1 })
            .map(|place| session(&gateway, 1, views[(round as usize + place) % views.len()]))
            .collect();
        let head = gateway.log.append(2, 0, 0).len() as u64 + round * 6;
        gateway.log.commit(2, 3, 20);
        gateway.tokens.see(1, queues(&[1]));
        // As one and as several: the ways to the sockets differ.
        gateway.log.commit(2, 1, 20);
        gateway.log.commit(2, 1, 20);
        gateway.log.commit(1, 1, 20);
        for client in &mut clients {
            client.say(r#"{"type":"subscribe","id":"end","views":["presence"]}"#);
            loop {
                match client.next() {
                    Frame::Text(text) if text["type"] == "result" => break,
                    Frame::Text(text) if text["type"] == "event" => {
                        let offset = text["offset"].as_u64().unwrap();
                        delivered += 1;
                        // The last one of a round is of a queue that is seen still.
                        after += u64::from(offset > head + 3 && offset != head + 6);
                    }
                    Frame::Text(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    println!("withdrawals {ROUNDS}: events delivered {delivered}, of what was committed after {after}");
    assert_eq!(after, 0);
    assert!(delivered > 0);
}

#[test]
fn a_revoked_token_is_heeded_before_the_next_event() {
    let gateway = Gateway::start(2, |_| {});
    for round in 0..50 {
        let token = format!("round-{round}");
        gateway.tokens.add(&token, 3, None);
        let mut client = gateway.connect();
        client.say(&format!(r#"{{"type":"hello","token":"{token}","views":["tenant"]}}"#));
        client.expect("welcome");
        gateway.tokens.revoke(&token);
        gateway.log.commit(1, 1, 0);
        client.expect_close(4200, "the token was revoked");
    }
}

#[test]
fn suggestions_are_for_those_who_watch_the_ticket_and_may_see_it() {
    let gateway = Gateway::start(3, |_| {});
    gateway.tokens.see(1, queues(&[1]));
    let (seven, mine) = (r#""ticket:7""#, r#""mine""#);
    let mut watching =
        [session(&gateway, 2, seven), session(&gateway, 3, mine), session(&gateway, 3, r#""inbox""#)];
    let mut narrow = session(&gateway, 1, seven);
    let mut others = [session(&gateway, 2, mine), session(&gateway, 2, r#""ticket:8","tenant","queue:1""#)];
    let hub = gateway.engine.hub();
    let told = |ticket: u64, queue: u32, agent: Option<u32>| {
        let (ticket, agent) = (TicketId(ticket), agent.map(AgentId));
        let text = format!(r#"{{"type":"suggestion","ticket":{ticket},"message":{queue}}}"#);
        let frame = text_frame(text.as_bytes());
        let is_watched = hub.may_watch(TENANT, ticket, agent);
        hub.suggest(SuggestionNews { tenant: TENANT, ticket, queue: QueueId(queue), agent, frame });
        is_watched
    };
    // The narrow one does not see queue 2; that it watches is known all the same.
    assert!(told(7, 2, Some(3)) && told(7, 1, Some(3)) && told(9, 1, Some(3)));
    assert!(!told(9, 1, None));
    let first = json!({"type": "suggestion", "ticket": 7, "message": 2});
    assert_eq!(watching[0].expect("suggestion"), first);
    assert_eq!(watching[0].expect("suggestion")["message"], 1);
    for client in &mut watching[1..] {
        let heard = [0; 3].map(|_| client.expect("suggestion")["ticket"].as_u64().unwrap());
        assert_eq!(heard, [7, 7, 9]);
    }
    assert_eq!(narrow.expect("suggestion")["message"], 1);
    // Nothing came before this for anybody else.
    gateway.log.commit(1, 1, 0);
    others[1].expect("event");
    others[0].say(r#"{"type":"subscribe","id":"s","views":["tenant"]}"#);
    others[0].expect("result");
}
