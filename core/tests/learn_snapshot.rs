//! A model that was written and read again learns on as if nothing had happened, bit for bit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use waggle_core::id::{AgentId, Offset, QueueId, TicketId, Version};
use waggle_core::learn::{Dialogue, Happening, Lesson, Model};
use waggle_core::ticket::{Actor, Kind};
use waggle_core::time::Timestamp;

const WORDS: [&str; 12] = [
    "card", "refund", "pin", "transfer", "limit", "fee", "app", "login", "address", "top-up", "cash", "rate",
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Lessons of so many tickets.
fn lessons(tickets: u64) -> Vec<(Offset, Lesson)> {
    let (mut random, mut offset, mut lessons) = (Random(7), 0, Vec::new());
    for ticket in 1..=tickets {
        let [word, other] = [0, 1].map(|_| WORDS[usize::try_from(random.below(WORDS.len() as u64)).unwrap()]);
        let number = random.below(1_000);
        let created = format!(
            r#"{{"queue":1,"subject":"{word}","requester":"kim@example.com","text":"my {word} does not work with the {other}, number {number}"}}"#
        );
        let label = format!(r#"{{"message":1,"intent":"{word}_problem"}}"#);
        let reply = format!(r#"{{"text":"Please restart the {word}.","macro":"{word}_problem"}}"#);
        let mut dialogue = Dialogue::default();
        let events = [
            (Kind::Created, Actor::Requester, &created),
            (Kind::Labelled, Actor::Agent(AgentId(1)), &label),
            (Kind::Reply, Actor::Agent(AgentId(1 + u32::from(number > 500))), &reply),
        ];
        for (version, (kind, actor, data)) in (1..).zip(events) {
            offset += 1;
            let lesson = dialogue.apply(&Happening {
                offset: Offset(offset),
                ticket: TicketId(ticket),
                version: Version(version),
                kind,
                actor,
                at: Timestamp(offset),
                queue: QueueId(1),
                data,
            });
            lessons.extend(lesson.map(|lesson| (Offset(offset), lesson)));
        }
    }
    lessons
}

#[test]
fn a_model_goes_on_as_if_it_had_not_been_written() {
    let lessons = lessons(150);
    let mut whole = Model::new();
    let mut cut = Model::new();
    for (number, (offset, lesson)) in lessons.iter().enumerate() {
        whole.learn(*offset, lesson);
        cut.learn(*offset, lesson);
        if number % 17 == 0 {
            cut = Model::decode(&cut.encode()).unwrap();
        }
        if number % 10 == 0 {
            assert!(whole.encode() == cut.encode(), "after lesson {number}, of event {offset}");
        }
    }
    assert!(whole.encode() == cut.encode());
}
