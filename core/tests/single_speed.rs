//! How long it takes to compare one ticket with a query. Measured by hand: `cargo test -p waggle-core --release --test
//! single_speed -- --ignored --nocapture`.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

use waggle_core::find::{Compare, Facets, Index, Pattern, PatternEnd, Plan, TicketColumns};
use waggle_core::id::{AgentId, QueueId, TicketId};
use waggle_core::right::QueueSet;
use waggle_core::ticket::{Priority, Status};
use waggle_core::time::Timestamp;

const TICKETS: u64 = 100_000;

#[test]
#[ignore = "a measurement, for a release build"]
fn comparisons_of_a_ticket_with_a_query() {
    let mut index = Index::new();
    for id in 1..=TICKETS {
        let columns = TicketColumns {
            status: Status::from_index((id % 6) as u8),
            queue: QueueId(1 + (id % 40) as u32),
            assignee: Some(AgentId(1 + (id % 200) as u32)),
            priority: Priority::Normal,
            created_at: Timestamp(id),
            updated_at: Timestamp(id * 2),
        };
        index.put(TicketId(id), &columns);
        let extra =
            format!(r#"{{"tags":{{"t{}":true,"vip":true}},"fields":{{"size":{}}}}}"#, id % 500, id % 50);
        // It is JSON.
        index.describe(TicketId(id), Facets::read("kim@example.com", &extra).unwrap_or_default());
    }
    let tag = Pattern { text: "vip".to_owned(), ends: PatternEnd::Here };
    let status = Plan::Status([Status::from_index(1)].into_iter().collect());
    let plans = [
        ("status", status.clone()),
        ("status, not held by", Plan::And(vec![status.clone(), Plan::Not(Box::new(Plan::Assignee(None)))])),
        ("tag", Plan::Tag(tag.clone())),
        (
            "either of three",
            Plan::Or(vec![status, Plan::Tag(tag), Plan::Priority(Compare::AtLeast, Priority::High)]),
        ),
    ];
    let visible = QueueSet::of((1..=30).map(QueueId));
    for (name, plan) in plans {
        let began = Instant::now();
        let meant = (1..=TICKETS).filter(|id| {
            index.single(TicketId(*id)).is_some_and(|single| {
                // As if there were a hundred such counts.
                (0..100).filter(|_| std::hint::black_box(&single).is_meant(&plan, &visible)).count() > 0
            })
        });
        let meant = meant.count();
        println!(
            "{:>6} ns  {name} ({meant} tickets)",
            began.elapsed().as_nanos() / u128::from(TICKETS) / 100
        );
    }
}
