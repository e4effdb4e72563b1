use super::*;
use crate::id::{Epoch, QueueId, SavedViewId, TicketId, Version};
use crate::limits::{
    CLIENT_MESSAGE_BYTES_MAX, COUNTS_PER_SESSION_MAX, FRAMES_BEFORE_HELLO_MAX, LAG_HEARTBEATS_MAX,
    REPLAY_EVENTS_MAX, SESSION_COMMANDS_MAX,
};
use crate::right::QueueSet;
use crate::ticket::{Actor, Followers, Kind, Route, StoredEvent};
use crate::time::Timestamp;

pub(super) const EPOCH: Epoch = Epoch(7);
pub(super) const AGENT: AgentId = AgentId(3);

pub(super) fn entry(offset: u64, queue: u32, data_bytes: usize) -> Arc<Entry> {
    Arc::new(Entry::from_stored(&StoredEvent {
        offset: Offset(offset),
        ticket: TicketId(offset % 5 + 1),
        version: Version(1),
        kind: Kind::Note,
        actor: Actor::System,
        at: Timestamp(1),
        route: Route { queue: QueueId(queue), ..Route::default() },
        followers: Followers::default(),
        data: format!("{{\"text\":\"{}\"}}", "x".repeat(data_bytes)),
    }))
}

pub(super) fn position(head: u64, feed: u64) -> LogPosition {
    LogPosition { head: Cursor { epoch: EPOCH, offset: Offset(head) }, feed: Offset(feed) }
}

fn new_session() -> Session {
    let settings =
        SessionSettings { node: "n".into(), heartbeat_ms: 1000, hello_ms: 500, messages_per_second: 100 };
    Session::new(SessionId(1), Arc::new(settings), Tick(0))
}

/// Effects as one line each.
fn told(effects: &Effects<'_>) -> Vec<String> {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Authenticate { token } => format!("authenticate {token:?}"),
            Effect::Refresh { token } => format!("refresh {token:?}"),
            Effect::Frame(frame) => payload(frame),
            Effect::Event(entry) => format!("event {}", entry.offset),
            Effect::Read { after } => format!("read after {after}"),
            Effect::Watch { view } => format!("watch {view}"),
            Effect::Unwatch { view } => format!("unwatch {view}"),
            Effect::Command(command) => format!("command {} {}", command.id, command.command),
            Effect::Signal(signal) => format!("signal {} {} {}", signal.kind, signal.ticket, signal.on),
            Effect::Refuse { id, code, detail } => format!("refuse {id} {code} {detail}"),
            Effect::SignalDropped => "signal dropped".to_owned(),
            Effect::Close { code, reason } => format!("close {} {reason}", code.number()),
        })
        .collect()
}

pub(super) fn payload(frame: &[u8]) -> String {
    let header_bytes = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    String::from_utf8(frame[header_bytes..].to_vec()).unwrap()
}

fn say(session: &mut Session, text: &str, now: u64) -> Vec<String> {
    told(&session.received_text(text.as_bytes(), Tick(now)))
}

/// A session with the views given, welcomed at head and feed 10.
fn welcomed(hello_rest: &str) -> (Session, Vec<String>) {
    let mut session = new_session();
    let asked = say(&mut session, &format!(r#"{{"type":"hello","token":"t",{hello_rest}}}"#), 0);
    assert_eq!(asked, [r#"authenticate "t""#]);
    let effects = told(&session.authenticated(AGENT, QueueSet::All, None, position(10, 10), Tick(0)));
    (session, effects)
}

fn welcome(offset: u64, resumed: bool, window: u32) -> String {
    format!(
        r#"{{"type":"welcome","session":1,"node":"n","epoch":"0000000000000007","offset":{offset},"resumed":{resumed},"heartbeat_ms":1000,"window":{window}}}"#
    )
}

#[test]
fn a_new_session_starts_at_the_head() {
    let (_, effects) = welcomed(r#""views":["queue:1","mine","queue:1"]"#);
    assert_eq!(effects, ["watch mine", "watch queue:1", &welcome(10, false, 262_144)]);
}

#[test]
fn the_window_is_kept_within_its_bounds() {
    for (asked, given) in [(1, 4096), (5000, 5000), (u32::MAX, 4 * 1024 * 1024)] {
        let (_, effects) = welcomed(&format!(r#""views":[],"window":{asked}"#));
        assert_eq!(effects, [welcome(10, false, given)]);
    }
}

#[test]
fn a_cursor_is_honoured_or_answered_by_resync_never_half() {
    let resume = |epoch: &str, offset: u64| {
        welcomed(&format!(r#""views":[],"resume":{{"epoch":"{epoch}","offset":{offset}}}"#)).1
    };
    let ours = "0000000000000007";
    assert_eq!(resume(ours, 4), [welcome(4, true, 262_144), "read after 4".to_owned()]);
    let mark = r#"{"type":"mark","offset":10,"sent":0}"#.to_owned();
    assert_eq!(resume(ours, 10), [welcome(10, true, 262_144), mark]);
    let resync = |reason| format!(r#"{{"type":"resync","reason":"{reason}","epoch":"{ours}","offset":10}}"#);
    assert_eq!(resume(ours, 11), [welcome(10, false, 262_144), resync("ahead")]);
    assert_eq!(resume("0000000000000008", 4), [welcome(10, false, 262_144), resync("epoch")]);
}

#[test]
fn live_events_are_sent_once_and_only_where_they_match() {
    let (mut session, _) = welcomed(r#""views":["queue:1"]"#);
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Send));
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Pass));
    assert!(matches!(session.offer(&entry(12, 2, 1)), Offer::Pass));
    assert!(matches!(session.offer(&entry(13, 1, 1)), Offer::Send));
    let mark = told(&session.tick(Tick(1000), Offset(14)));
    assert_eq!(mark, [r#"{"type":"mark","offset":14,"sent":2}"#]);
    // The session's own first mark was due at 692, so the next one is at 1692.
    assert_eq!(session.deadline(), Some(Tick(1692)));
}

#[test]
fn first_marks_are_spread_over_the_second_half_of_a_heartbeat() {
    let settings = Arc::new(SessionSettings {
        node: "n".into(),
        heartbeat_ms: 1000,
        hello_ms: 500,
        messages_per_second: 100,
    });
    let mut tenths = [0; 10];
    for id in 1..=500 {
        let mut session = Session::new(SessionId(id), Arc::clone(&settings), Tick(0));
        say(&mut session, r#"{"type":"hello","token":"t","views":[]}"#, 0);
        told(&session.authenticated(AGENT, QueueSet::All, None, position(0, 0), Tick(0)));
        let Some(Tick(at)) = session.deadline() else { panic!("an open session has a deadline") };
        tenths[(at as usize - 1) / 100] += 1;
    }
    assert_eq!(tenths[..5], [0; 5]);
    assert!(tenths[5..].iter().all(|count| (80..=120).contains(count)), "{tenths:?}");
}

#[test]
fn a_full_window_makes_it_lag_until_acks_free_half() {
    let (mut session, _) = welcomed(r#""views":["tenant"],"window":4096"#);
    let log: Vec<_> = (11..=60).map(|offset| entry(offset, 1, 900)).collect();
    let mut live = 0;
    let lag = log.iter().find_map(|entry| match session.offer(entry) {
        Offer::Send => {
            live += 1;
            None
        }
        Offer::Lag(mark) => Some(payload(&mark)),
        Offer::Pass => None,
    });
    assert_eq!((live, lag.as_deref()), (4, Some(r#"{"type":"mark","offset":14,"sent":4}"#)));
    assert!(session.is_lagging());
    assert!(matches!(session.offer(&log[5]), Offer::Pass));
    assert!(say(&mut session, r#"{"type":"ack","offset":11}"#, 1).is_empty());
    assert_eq!(say(&mut session, r#"{"type":"ack","offset":14}"#, 1), ["read after 14"]);
    let page = told(&session.page(&log[4..], Offset(60)));
    let mark = r#"{"type":"mark","offset":18,"sent":8}"#;
    assert_eq!(page, ["event 15", "event 16", "event 17", "event 18", mark]);
}

#[test]
fn a_replay_goes_on_until_it_has_reached_the_feed() {
    let (mut session, _) =
        welcomed(r#""views":["queue:1"],"resume":{"epoch":"0000000000000007","offset":8}"#);
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Pass));
    let page = told(&session.page(&[entry(9, 1, 1), entry(10, 2, 1)], Offset(11)));
    assert_eq!(page, ["event 9", "read after 10"]);
    // The log is ahead of the feed: what is offered later is known already.
    let page = told(&session.page(&[entry(11, 1, 1), entry(12, 1, 1)], Offset(11)));
    assert_eq!(page, ["event 11", "event 12", r#"{"type":"mark","offset":12,"sent":3}"#]);
    assert!(matches!(session.offer(&entry(12, 1, 1)), Offer::Pass));
    assert!(matches!(session.offer(&entry(13, 1, 1)), Offer::Send));
}

#[test]
fn a_gap_in_the_feed_is_read_from_the_log() {
    let (mut session, _) = welcomed(r#""views":["tenant"]"#);
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Send));
    assert_eq!(told(&session.missed(Offset(11))), ["read after 11"]);
    assert!(told(&session.missed(Offset(11))).is_empty());
}

#[test]
fn a_log_with_a_hole_is_answered_by_resync_at_the_feed() {
    for page in [vec![], vec![entry(6, 1, 1)], vec![entry(5, 1, 1), entry(7, 1, 1)]] {
        let (mut session, _) = welcomed(r#""views":[],"resume":{"epoch":"0000000000000007","offset":4}"#);
        let resync =
            r#"{"type":"resync","reason":"retention","epoch":"0000000000000007","offset":10}"#.to_owned();
        let mark = r#"{"type":"mark","offset":10,"sent":0}"#.to_owned();
        assert_eq!(told(&session.page(&page, Offset(10))), [resync, mark]);
        say(&mut session, r#"{"type":"subscribe","id":"s","views":["tenant"]}"#, 0);
        assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Send));
    }
}

#[test]
fn what_the_protocol_does_not_allow_closes_with_what_would_be_right() {
    for (text, wanted) in [
        (r#"{"type":"ack","offset":1}"#, "close 4201 the first message is hello; this one is ack"),
        (r#"{"type":"helo"}"#, "expected one of hello"),
        (r#"{"type":"hello","token":"t","views":["queue:x"]}"#, "expected mine, inbox, queue:<id>"),
        ("nonsense", "close 4201"),
    ] {
        let closed = say(&mut new_session(), text, 0);
        assert!(closed.len() == 1 && closed[0].contains(wanted), "{text}: {closed:?}");
    }
    for (text, wanted) in [
        (r#"{"type":"hello","token":"t","views":[]}"#, "hello came twice"),
        (r#"{"type":"ack","offset":11}"#, "the newest that this session was told is 10"),
    ] {
        let (mut session, _) = welcomed(r#""views":["mine"]"#);
        let closed = say(&mut session, text, 0);
        assert!(closed[0] == "unwatch mine" && closed[1].contains(wanted), "{text}: {closed:?}");
        assert!(session.is_closed() && session.deadline().is_none());
        assert!(say(&mut session, text, 0).is_empty());
    }
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(CLIENT_MESSAGE_BYTES_MAX));
    assert!(say(&mut new_session(), &long, 0)[0].starts_with("close 4202"));
}

#[test]
fn a_second_message_before_welcome_is_refused() {
    let mut session = new_session();
    say(&mut session, r#"{"type":"hello","token":"t","views":[]}"#, 0);
    assert!(say(&mut session, r#"{"type":"ack","offset":1}"#, 0)[0].contains("wait for it after hello"));
}

#[test]
fn silence_expiry_and_a_missing_hello_close() {
    let mut silent = new_session();
    assert_eq!(silent.deadline(), Some(Tick(500)));
    assert!(told(&silent.tick(Tick(499), Offset(0))).is_empty());
    assert_eq!(told(&silent.tick(Tick(500), Offset(0))), ["close 4102 no hello in time"]);

    let (mut quiet, _) = welcomed(r#""views":[]"#);
    assert!(quiet.heard(Tick(300)).is_empty());
    assert_eq!(told(&quiet.tick(Tick(2000), Offset(10))).len(), 1);
    assert_eq!(told(&quiet.tick(Tick(2692), Offset(10))).len(), 1);
    assert_eq!(quiet.deadline(), Some(Tick(2800)));
    assert!(told(&quiet.tick(Tick(2799), Offset(10))).is_empty());
    assert!(told(&quiet.tick(Tick(2800), Offset(10)))[0].starts_with("close 4001"));

    let (mut expiring, _) = welcomed(r#""views":[]"#);
    assert_eq!(told(&expiring.refreshed(Some(Tick(600)))), [r#"{"type":"result"}"#]);
    assert_eq!(expiring.deadline(), Some(Tick(600)));
    assert_eq!(told(&expiring.tick(Tick(600), Offset(10))), ["close 4200 the token has expired"]);
}

#[test]
fn views_change_while_open() {
    let (mut session, _) = welcomed(r#""views":["queue:1"]"#);
    let text = r#"{"type":"subscribe","id":"s","views":["ticket:3","queue:1","ticket:3"]}"#;
    assert_eq!(say(&mut session, text, 0), ["watch ticket:3", r#"{"type":"result","id":"s"}"#]);
    let text = r#"{"type":"unsubscribe","id":"u","views":["queue:1","queue:9"]}"#;
    assert_eq!(say(&mut session, text, 0), ["unwatch queue:1", r#"{"type":"result","id":"u"}"#]);
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Pass));

    let many: Vec<String> = (1..=256).map(|ticket| format!("\"queue:{ticket}\"")).collect();
    let text = format!(r#"{{"type":"subscribe","id":"m","views":[{}]}}"#, many.join(","));
    let refused = say(&mut session, &text, 0);
    assert_eq!(refused, ["refuse m too_many_views the session would watch 257 views; at most 256 are taken"]);
    assert_eq!(told(&session.refused("m", b"{}")), [r#"{"type":"result","id":"m","error":{}}"#]);
}

#[test]
fn counts_are_views_that_end_by_themselves_and_are_bounded() {
    let (mut session, _) = welcomed(r#""views":["count:7"]"#);
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Pass), "no event is for a count");
    let over = session.end_view(View::Count(SavedViewId(7)), EndReason::Overload);
    let ended = r#"{"type":"ended","views":["count:7"],"reason":"overload"}"#;
    assert_eq!(told(&over), ["unwatch count:7", ended]);
    assert!(told(&session.end_view(View::Count(SavedViewId(7)), EndReason::NoRight)).is_empty());

    let subscribe = |views: std::ops::RangeInclusive<usize>| {
        let views: Vec<String> = views.map(|view| format!("\"count:{view}\"")).collect();
        format!(r#"{{"type":"subscribe","id":"m","views":[{}]}}"#, views.join(","))
    };
    assert_eq!(
        say(&mut session, &subscribe(1..=COUNTS_PER_SESSION_MAX), 0).len(),
        COUNTS_PER_SESSION_MAX + 1
    );
    let refused = say(&mut session, &subscribe(65..=65), 0);
    assert_eq!(refused, ["refuse m too_many_views the session would watch 65 counts; at most 64 are taken"]);
    let closed = say(&mut session, &subscribe(1..=COUNTS_PER_SESSION_MAX + 1), 0);
    assert!(closed.last().unwrap().contains("65 views are counts; at most 64 are taken"), "{closed:?}");
}

#[test]
fn commands_are_bounded_and_answered() {
    let (mut session, _) = welcomed(r#""views":[]"#);
    let text = r#"{"type":"command","id":"c","ticket":1,"command":{"type":"claim"}}"#;
    for _ in 0..SESSION_COMMANDS_MAX {
        assert_eq!(say(&mut session, text, 0), [r#"command c {"type":"claim"}"#]);
    }
    assert!(say(&mut session, text, 0)[0].starts_with("refuse c overload 64 commands"));
    assert_eq!(told(&session.refused("c", b"{}")), [r#"{"type":"result","id":"c","error":{}}"#]);
    assert!(say(&mut session, text, 0)[0].starts_with("refuse c"), "a refusal ends no command");
    assert_eq!(told(&session.answered("c", b"{\"x\":1}")), [r#"{"type":"result","id":"c","event":{"x":1}}"#]);
    assert_eq!(say(&mut session, text, 0).len(), 1);
    assert_eq!(told(&session.rejected("c", b"{}")), [r#"{"type":"result","id":"c","error":{}}"#]);
}

#[test]
fn drain_tells_open_sessions_and_closes_the_rest() {
    let (mut session, _) = welcomed(r#""views":[]"#);
    assert_eq!(told(&session.drain(5, 9)), [r#"{"type":"drain","after_ms":5,"spread_ms":9}"#]);
    assert!(session.is_open());
    assert_eq!(told(&session.close(CloseCode::Drain, "draining")), ["close 4000 draining"]);
    assert_eq!(told(&new_session().drain(5, 9)), ["close 4000 draining"]);
}

#[test]
fn a_page_may_be_as_long_as_its_limit() {
    let (mut session, _) = welcomed(r#""views":[],"resume":{"epoch":"0000000000000007","offset":0}"#);
    let page: Vec<_> = (1..=REPLAY_EVENTS_MAX as u64).map(|offset| entry(offset, 1, 1)).collect();
    assert_eq!(told(&session.page(&page, Offset(600))), ["read after 512"]);
}

#[test]
fn a_gap_below_the_welcome_needs_no_events() {
    let mut session = new_session();
    say(&mut session, r#"{"type":"hello","token":"t","views":["tenant"]}"#, 0);
    told(&session.authenticated(AGENT, QueueSet::All, None, position(10, 8), Tick(0)));
    assert_eq!(told(&session.missed(Offset(8))), ["read after 10"]);
    assert_eq!(told(&session.page(&[], Offset(11))), ["read after 10"]);
    assert!(told(&session.page(&[], Offset(11)))[0].contains(r#""reason":"retention""#));
}

#[test]
fn messages_over_the_rate_close_but_progress_and_signals_do_not() {
    let ping = r#"{"type":"unsubscribe","id":"u","views":[]}"#;
    let (mut session, _) = welcomed(r#""views":["queue:1"]"#);
    for _ in 0..200 {
        assert_eq!(say(&mut session, ping, 0).len(), 1);
    }
    assert_eq!(
        say(&mut session, r#"{"type":"signal","kind":"viewing","ticket":1,"on":true}"#, 0),
        ["signal dropped"]
    );
    assert_eq!(
        say(&mut session, r#"{"type":"signal","kind":"viewing","ticket":1,"on":false}"#, 0),
        ["signal viewing 1 false"],
        "an end is not lost"
    );
    for offset in 11..400 {
        assert!(matches!(session.offer(&entry(offset, 1, 1)), Offer::Send));
        assert!(say(&mut session, &format!(r#"{{"type":"ack","offset":{offset}}}"#), 0).is_empty());
    }
    assert_eq!(say(&mut session, ping, 10).len(), 1);
    let closed = say(&mut session, r#"{"type":"ack","offset":399}"#, 10);
    assert!(closed[1].starts_with("close 4103 more than 100 messages per second"), "{closed:?}");

    let (mut session, _) = welcomed(r#""views":[]"#);
    assert!((0..200).all(|_| session.heard(Tick(0)).is_empty()));
    assert!(told(&session.heard(Tick(0)))[0].starts_with("close 4103"));
}

#[test]
fn lagging_without_progress_ends() {
    let (mut session, _) = welcomed(r#""views":["queue:1"],"window":4096"#);
    let mut offset = 10;
    let lagged = |session: &mut Session, offset: &mut u64| loop {
        *offset += 1;
        match session.offer(&entry(*offset, 1, 1000)) {
            Offer::Send => {}
            Offer::Lag(_) => return,
            Offer::Pass => panic!("passed {offset}"),
        }
    };
    lagged(&mut session, &mut offset);
    let report = session.report(Offset(offset)).unwrap();
    assert_eq!((report.phase, report.lag_events, report.lags), (SessionPhase::Lagging, 1, 1));
    assert!(report.unacked_bytes > 3000 && report.sent == 3 && report.window == 4096);
    let mut now = 0;
    let mut beat = |session: &mut Session| {
        now += 1000;
        session.heard(Tick(now));
        told(&session.tick(Tick(now), Offset(offset)))
    };
    for _ in 0..LAG_HEARTBEATS_MAX {
        assert!(beat(&mut session)[0].contains("mark"));
    }
    // An ack that frees something, but not enough to go on.
    say(&mut session, r#"{"type":"ack","offset":11}"#, 0);
    for _ in 0..LAG_HEARTBEATS_MAX {
        assert!(beat(&mut session)[0].contains("mark"));
    }
    let closed = beat(&mut session);
    assert!(closed[1].starts_with("close 4002 lagging: nothing further"), "{closed:?}");
    assert!(closed[1].contains(&format!("for {LAG_HEARTBEATS_MAX} heartbeats")));
    assert_eq!(session.report(Offset(offset)), None);
}

#[test]
fn control_frames_before_hello_are_few() {
    let mut session = new_session();
    for _ in 0..FRAMES_BEFORE_HELLO_MAX {
        assert!(session.heard(Tick(1)).is_empty());
    }
    assert_eq!(told(&session.heard(Tick(1))), ["close 4103 more than 16 control frames before hello"]);
}

/// A session that may see queue 1 alone.
fn narrow(hello_rest: &str) -> (Session, Vec<String>) {
    let mut session = new_session();
    say(&mut session, &format!(r#"{{"type":"hello","token":"t",{hello_rest}}}"#), 0);
    let sees = QueueSet::of([QueueId(1)]);
    let effects = told(&session.authenticated(AGENT, sees, None, position(10, 10), Tick(0)));
    (session, effects)
}

#[test]
fn views_of_what_one_may_not_see_end_with_the_welcome() {
    let (mut session, effects) = narrow(r#""views":["queue:1","queue:2","tenant"]"#);
    assert_eq!(effects[..2], ["watch queue:1", "watch tenant"]);
    assert_eq!(effects[3..], [r#"{"type":"ended","views":["queue:2"],"reason":"no_right"}"#]);
    for (queue, wanted) in [(1, true), (2, false)] {
        let offered = session.offer(&entry(10 + queue, queue as u32, 1));
        assert_eq!(matches!(offered, Offer::Send), wanted, "queue {queue}");
    }
    let text = r#"{"type":"subscribe","id":"s","views":["ticket:3","queue:2"]}"#;
    assert_eq!(say(&mut session, text, 0), ["refuse s no_such_queue there is no queue 2"]);
    assert_eq!(session.views(), [View::Queue(QueueId(1)), View::Tenant]);
}

#[test]
fn rights_that_are_taken_away_end_their_views_and_events() {
    let (mut session, _) = welcomed(r#""views":["queue:1","queue:2","ticket:3","tenant"]"#);
    let fewer = told(&session.rights_changed(QueueSet::of([QueueId(2)])));
    assert_eq!(fewer, ["unwatch queue:1", r#"{"type":"ended","views":["queue:1"],"reason":"no_right"}"#]);
    assert!(matches!(session.offer(&entry(11, 1, 1)), Offer::Pass));
    assert!(matches!(session.offer(&entry(12, 2, 1)), Offer::Send));
    let ticket = told(&session.may_not_see(&[TicketId(3), TicketId(4)]));
    assert_eq!(ticket, ["unwatch ticket:3", r#"{"type":"ended","views":["ticket:3"],"reason":"no_right"}"#]);
    // Nothing is left.
    let none = told(&session.rights_changed(QueueSet::none()));
    assert_eq!(none.last().unwrap(), r#"{"type":"ended","views":["queue:2","tenant"],"reason":"no_right"}"#);
    assert!(matches!(session.offer(&entry(13, 2, 1)), Offer::Pass));
    let text = r#"{"type":"subscribe","id":"s","views":["mine"]}"#;
    assert!(
        say(&mut session, text, 0)[0].starts_with("refuse s forbidden to watch mine needs the right see")
    );
    // What is given back is not watched by itself.
    assert!(told(&session.rights_changed(QueueSet::All)).is_empty());
    assert!(matches!(session.offer(&entry(14, 2, 1)), Offer::Pass));
}

#[test]
fn a_replay_passes_over_what_one_may_not_see() {
    let (mut session, _) = narrow(r#""views":["tenant"],"resume":{"epoch":"0000000000000007","offset":8}"#);
    let page = told(&session.page(&[entry(9, 2, 1), entry(10, 1, 1)], Offset(10)));
    assert_eq!(page, ["event 10", r#"{"type":"mark","offset":10,"sent":1}"#]);
}
