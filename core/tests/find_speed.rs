//! How long queries take at a million tickets. Measured by hand: `cargo test -p waggle-core --release --test find_speed
//! -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

use waggle_core::find::*;
use waggle_core::id::{AgentId, QueueId, TicketId};
use waggle_core::right::QueueSet;
use waggle_core::ticket::{Priority, Status, StatusSet};
use waggle_core::time::Timestamp;

const TICKETS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000;

/// A generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Most tickets are closed; the newer ones are not; one in a hundred old ones has changed lately.
fn filled() -> Index {
    let mut numbers = Numbers(7);
    let mut index = Index::new();
    for id in 1..=TICKETS {
        let is_new = id > TICKETS - 20_000;
        let status = if is_new { numbers.below(5) } else { 4 + numbers.below(2) } as u8;
        let created = START + id * 60_000;
        let later =
            if numbers.below(100) == 0 { (TICKETS - id) * 60_000 } else { numbers.below(30 * 86_400_000) };
        let ticket = TicketId(id);
        index.put(
            ticket,
            &TicketColumns {
                status: Status::from_index(status),
                queue: QueueId(1 + numbers.below(40) as u32),
                assignee: (numbers.below(5) > 0).then(|| AgentId(1 + numbers.below(200) as u32)),
                priority: [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent]
                    [numbers.below(4) as usize],
                created_at: Timestamp(created),
                updated_at: Timestamp(created + later),
            },
        );
        let requester = format!("customer{}@example.com", numbers.below(300_000));
        let extra = match numbers.below(4) {
            0 => "{}".to_owned(),
            1 => format!(r#"{{"tags":{{"t{}":true}}}}"#, numbers.below(500)),
            2 => format!(r#"{{"fields":{{"order_no":"A{id}"}}}}"#),
            _ => format!(
                r#"{{"tags":{{"t{}":true,"vip":true}},"fields":{{"size":{}}},"due_at":{}}}"#,
                numbers.below(500),
                numbers.below(50),
                created + numbers.below(90 * 86_400_000)
            ),
        };
        index.describe(ticket, Facets::read(&requester, &extra).unwrap());
    }
    index
}

struct World;

impl Names for World {
    fn statuses(&self, name: &str) -> StatusSet {
        waggle_core::ticket::Lifecycles::built_in().called(name)
    }
    fn status_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn category(&self, category: waggle_core::ticket::Category) -> StatusSet {
        let lifecycles = waggle_core::ticket::Lifecycles::built_in();
        lifecycles.known().filter(|status| lifecycles.category(*status) == category).collect()
    }
    fn queue(&self, name: &str) -> Option<QueueId> {
        name.parse().ok()
    }
    fn queue_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn agent(&self, name: &str) -> Option<AgentId> {
        name.parse().ok()
    }
    fn agent_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn has_field(&self, name: &str) -> bool {
        matches!(name, "size" | "order_no")
    }
    fn field_names(&self) -> Vec<String> {
        vec!["size".to_owned(), "order".to_owned()]
    }
    fn me(&self) -> AgentId {
        AgentId(7)
    }
    fn now(&self) -> Timestamp {
        Timestamp(START + TICKETS * 60_000)
    }
}

#[test]
#[ignore = "a measurement, for a release build"]
fn pages_at_a_million_tickets() {
    let before = resident_bytes();
    let began = Instant::now();
    let index = filled();
    println!(
        "filled in {:?}; {} bytes of memory a ticket",
        began.elapsed(),
        (resident_bytes() - before) / TICKETS
    );
    for text in [
        "",
        "status:open",
        "is:unsolved queue:3",
        "assignee:me is:unsolved",
        "tag:vip",
        "tag:t1*",
        "created>-30d",
        "updated>-7d",
        "due<now",
        "is:overdue",
        "field.size>20",
        "requester:customer12*",
        "requester:c*",
        "field.order_no>a5",
        "id>1000",
        "-tag:vip priority>=high",
        "created>2024-01-01 updated<2025-01-01 (queue:1 OR queue:2 OR assignee:none) -tag:t7",
    ] {
        let plan = Plan::of(&Query::parse(text).unwrap(), &World).unwrap();
        let mut times = Vec::new();
        let mut count = 0;
        for order in ["-id", "created", "-updated", "updated", "-priority", "due", "-due"] {
            let order: Order = order.parse().unwrap();
            let mut after = None;
            for _ in 0..20 {
                let began = Instant::now();
                let found = index.find(&plan, &Texts::default(), &QueueSet::All);
                let page = index.page(&found, order, after, 50);
                times.push(began.elapsed());
                count = found.len();
                let Some(last) = page.last() else { break };
                after = Some(index.position(order, *last));
            }
        }
        times.sort();
        let at = |part: usize| times[(times.len() - 1) * part / 100];
        println!("{:>10} {:>12?} {:>12?} {:>12?}  {text}", count, at(50), at(99), at(100));
    }
}
