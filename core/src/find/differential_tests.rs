//! The index against a filter that looks at every ticket, over tickets that change.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::id::{AgentId, QueueId, TicketId};
use crate::right::QueueSet;
use crate::ticket::{Category, Lifecycles, Priority, Status, StatusSet};
use crate::time::Timestamp;

const NOW: u64 = 20_000 * 86_400_000;
const DAY: u64 = 86_400_000;

#[derive(Debug, Clone)]
struct Row {
    columns: TicketColumns,
    requester: String,
    extra: Value,
    has_file: bool,
}

struct World;

impl Names for World {
    fn statuses(&self, name: &str) -> StatusSet {
        Lifecycles::built_in().called(name)
    }
    fn status_names(&self) -> Vec<String> {
        vec!["new".to_owned(), "open".to_owned()]
    }
    fn category(&self, category: Category) -> StatusSet {
        let lifecycles = Lifecycles::built_in();
        lifecycles.known().filter(|status| lifecycles.category(*status) == category).collect()
    }
    fn queue(&self, name: &str) -> Option<QueueId> {
        if name == "billing" { Some(QueueId(2)) } else { name.parse().ok() }
    }
    fn queue_names(&self) -> Vec<String> {
        vec!["billing".to_owned()]
    }
    fn agent(&self, name: &str) -> Option<AgentId> {
        name.parse().ok()
    }
    fn agent_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn has_field(&self, name: &str) -> bool {
        matches!(name, "size" | "order")
    }
    fn field_names(&self) -> Vec<String> {
        vec!["size".to_owned(), "order".to_owned()]
    }
    fn me(&self) -> AgentId {
        AgentId(1)
    }
    fn now(&self) -> Timestamp {
        Timestamp(NOW)
    }
}

/// The members of an object that are set.
fn members<'a>(row: &'a Row, name: &str) -> Vec<(&'a String, &'a Value)> {
    row.extra[name].as_object().map(|object| object.iter().collect()).unwrap_or_default()
}

fn fits(plan: &Plan, id: u64, row: &Row) -> bool {
    let due = row.extra["due_at"].as_u64();
    let any = |name: &str, pattern: &Pattern| members(row, name).iter().any(|(tag, _)| pattern.matches(tag));
    match plan {
        Plan::All => true,
        Plan::Not(inner) => !fits(inner, id, row),
        Plan::And(parts) => parts.iter().all(|part| fits(part, id, row)),
        Plan::Or(parts) => parts.iter().any(|part| fits(part, id, row)),
        Plan::Status(statuses) => statuses.contains(row.columns.status),
        Plan::Queue(queue) => row.columns.queue == *queue,
        Plan::Assignee(agent) => row.columns.assignee == *agent,
        Plan::Follower(Some(agent)) => row.extra["followers"][agent.to_string()].as_bool() == Some(true),
        Plan::Follower(None) => members(row, "followers").is_empty(),
        Plan::Priority(compare, priority) => compare.holds(&row.columns.priority, priority),
        Plan::Requester(pattern) => pattern.matches(&row.requester),
        Plan::Tag(pattern) => any("tags", pattern),
        Plan::Channel(pattern) => {
            row.extra["channel"].as_str().is_some_and(|channel| pattern.matches(channel))
        }
        Plan::Field(name, Compare::Is, pattern) => match &row.extra["fields"][name] {
            Value::String(text) => pattern.matches(&text.to_lowercase()),
            Value::Null => false,
            other => pattern.matches(&other.to_string()),
        },
        Plan::Field(name, compare, pattern) => {
            match (&row.extra["fields"][name], pattern.text.parse::<f64>()) {
                (Value::Number(number), Ok(wanted)) => compare.holds(&number.as_f64().unwrap(), &wanted),
                (Value::String(text), Err(_)) => compare.holds(&text.to_lowercase(), &pattern.text),
                _ => false,
            }
        }
        Plan::Id(compare, wanted) => compare.holds(&id, wanted),
        Plan::Time(instant, from, until) => {
            let time = match instant {
                Instant::Created => Some(row.columns.created_at.0),
                Instant::Updated => Some(row.columns.updated_at.0),
                Instant::Due => due,
            };
            time.is_some_and(|time| (from.0..until.0).contains(&time))
        }
        Plan::Has(Has::Attachment) => row.has_file,
        Plan::Has(Has::Due) => due.is_some(),
        Plan::Has(Has::Tag) => !members(row, "tags").is_empty(),
        Plan::Has(Has::Field) => !members(row, "fields").is_empty(),
        Plan::Has(Has::Follower) => !members(row, "followers").is_empty(),
        Plan::Has(Has::Link) => !members(row, "links").is_empty(),
        Plan::Merged => row.extra["merged_into"].is_u64(),
        Plan::Deleted => row.extra["deleted"].as_bool() == Some(true),
        Plan::Text(_) => false,
    }
}

fn extra() -> impl Strategy<Value = Value> {
    let tags = prop::collection::btree_map("(red|refund|return)", Just(true), 0..3);
    let sizes = [json!(-1.5), json!(-1), json!(0), json!(2), json!(3), json!(10), json!(12)];
    let fields = prop::option::of((prop::sample::select(sizes.to_vec()), "(A17|b2)"));
    (tags, fields, prop::option::of(NOW - 9 * DAY..NOW + 9 * DAY), 0_u8..40).prop_map(
        |(tags, fields, due, kind)| {
            let mut extra = json!({});
            if !tags.is_empty() {
                extra["tags"] = json!(tags);
            }
            if let Some((size, order)) = fields {
                extra["fields"] = json!({"size": size, "order": order});
            }
            if let Some(due) = due {
                extra["due_at"] = json!(due);
            }
            match kind {
                0 => extra["deleted"] = json!(true),
                1 => extra["merged_into"] = json!(3),
                2..=6 => extra["followers"] = json!({"1": true}),
                7..=9 => extra["links"] = json!({"parent:4": true}),
                10..=15 => extra["channel"] = json!("email"),
                _ => {}
            }
            extra
        },
    )
}

fn row() -> impl Strategy<Value = Row> {
    let columns = (0_u8..6, 1_u32..4, 0_u32..4, 0_usize..4, NOW - 9 * DAY..NOW, 0..9 * DAY);
    let columns = columns.prop_map(|(status, queue, agent, priority, created, later)| TicketColumns {
        status: Status::from_index(status),
        queue: QueueId(queue),
        assignee: (agent > 0).then_some(AgentId(agent)),
        priority: [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent][priority],
        created_at: Timestamp(created),
        // Some are at the same time.
        updated_at: Timestamp((created + later) / DAY * DAY),
    });
    (columns, "(ana|anton|ben)", extra(), any::<bool>())
        .prop_map(|(columns, requester, extra, has_file)| Row { columns, requester, extra, has_file })
}

fn query() -> impl Strategy<Value = Query> {
    const TERMS: [&str; 48] = [
        "status:open",
        "status:closed",
        "category:new",
        "queue:billing",
        "queue:3",
        "assignee:me",
        "assignee:none",
        "assignee:2",
        "follower:me",
        "follower:none",
        "priority:high",
        "priority<high",
        "priority>=normal",
        "requester:ana",
        "requester:an*",
        "requester:*",
        "tag:*",
        "tag:red",
        "tag:re*",
        "tag:none",
        "channel:email",
        "field.size:3",
        "field.size>2",
        "field.size<=2",
        "field.size>=0",
        "field.size<-1",
        "field.size:1*",
        "field.order:a17",
        "field.order>a",
        "field.order<=a17",
        "field.order<b2",
        "field.order>=b",
        "field.order:a*",
        "id:5",
        "id>60",
        "id<=9",
        "id>=60",
        "created>-3d",
        "created:today",
        "updated<=-2d",
        "due<now",
        "due>=+1d",
        "has:due",
        "has:attachment",
        "is:overdue",
        "is:deleted",
        "is:merged",
        "-has:tag",
    ];
    let term = prop::sample::select(&TERMS[..]).prop_map(|term| Query::parse(term).unwrap());
    term.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|query| Query::Not(Box::new(query))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Query::and),
            prop::collection::vec(inner, 1..4).prop_map(Query::or),
        ]
    })
}

fn order() -> impl Strategy<Value = Order> {
    let texts =
        ["id", "-id", "created", "-created", "updated", "-updated", "priority", "-priority", "due", "-due"];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

/// What the index has been fed with.
#[derive(Default)]
struct Both {
    index: Index,
    rows: BTreeMap<u64, Row>,
}

impl Both {
    /// Filled with all these at once.
    fn filled(rows: BTreeMap<u64, Row>) -> Self {
        let mut index = Filling::new();
        for (id, row) in &rows {
            let ticket = TicketId(*id);
            index.put(ticket, &row.columns);
            index.describe(ticket, Facets::read(&row.requester, &row.extra.to_string()).unwrap());
        }
        let mut index = index.finish();
        rows.iter().filter(|(_, row)| row.has_file).for_each(|(id, _)| index.attach(TicketId(*id)));
        Self { index, rows }
    }

    fn put(&mut self, id: u64, mut row: Row) {
        let ticket = TicketId(id);
        // A file stays.
        row.has_file |= self.rows.get(&id).is_some_and(|old| old.has_file);
        self.index.put(ticket, &row.columns);
        self.index.describe(ticket, Facets::read(&row.requester, &row.extra.to_string()).unwrap());
        if row.has_file {
            self.index.attach(ticket);
        }
        self.rows.insert(id, row);
    }

    fn find(&self, plan: &Plan, visible: &QueueSet) -> Vec<u64> {
        self.index.find(plan, &Texts::default(), visible).iter().map(u64::from).collect()
    }

    fn looked_at_one_by_one(&self, plan: &Plan, visible: &QueueSet) -> Vec<u64> {
        let is_meant = |id: &u64| {
            let Some(single) = self.index.single(TicketId(*id)) else { return false };
            let is_anchored = plan.anchor().is_none_or(|anchor| single.anchors().contains(&anchor));
            is_anchored && single.is_meant(plan, visible)
        };
        (0..90).filter(is_meant).collect()
    }

    fn filtered(&self, plan: &Plan, visible: &QueueSet) -> Vec<u64> {
        let is_shown = |row: &Row| {
            visible.contains(row.columns.queue)
                && (plan.shows_deleted() || row.extra["deleted"].as_bool() != Some(true))
        };
        let found = self.rows.iter().filter(|(id, row)| is_shown(row) && fits(plan, **id, row));
        found.map(|(id, _)| *id).collect()
    }

    fn sorted(&self, mut ids: Vec<u64>, order: Order) -> Vec<u64> {
        let key = |id: &u64| {
            let row = &self.rows[id];
            let due = row.extra["due_at"].as_u64();
            let key = match order.key {
                SortKey::Id => *id,
                SortKey::Created => row.columns.created_at.0,
                SortKey::Updated => row.columns.updated_at.0,
                SortKey::Priority => row.columns.priority as u64,
                SortKey::Due => due.unwrap_or_default(),
            };
            (order.key == SortKey::Due && due.is_none(), key, *id)
        };
        match order.direction {
            Direction::Ascending => ids.sort_by_key(key),
            Direction::Descending => ids.sort_by_key(|id| {
                let (is_last, key, id) = key(id);
                (is_last, Reverse(key), Reverse(id))
            }),
        }
        ids
    }

    fn page(&self, plan: &Plan, order: Order, after: Option<Position>, limit: usize) -> Vec<u64> {
        let found = self.index.find(plan, &Texts::default(), &QueueSet::All);
        self.index.page(&found, order, after, limit).into_iter().map(|ticket| ticket.0).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_index_finds_what_a_filter_finds(
        filled in prop::collection::btree_map(1_u64..80, row(), 0..60),
        puts in prop::collection::vec((1_u64..80, row()), 1..160),
        queries in prop::collection::vec(query(), 1..12),
        hidden in 1_u32..4,
    ) {
        let mut both = Both::filled(filled);
        puts.into_iter().for_each(|(id, row)| both.put(id, row));
        let some = QueueSet::of((1..4).filter(|queue| *queue != hidden).map(QueueId));
        for query in queries {
            let plan = Plan::of(&query, &World).unwrap();
            for visible in [&QueueSet::All, &some] {
                let wanted = both.filtered(&plan, visible);
                prop_assert_eq!(both.find(&plan, visible), wanted.clone(), "{}", &query);
                prop_assert_eq!(both.looked_at_one_by_one(&plan, visible), wanted, "{}", &query);
            }
        }
    }

    #[test]
    fn pages_hold_all_in_order(
        puts in prop::collection::vec((1_u64..3_000, row()), 1..160),
        query in prop_oneof![Just(Query::All), query()],
        order in order(),
        limit in 1_usize..20,
    ) {
        let mut both = Both::default();
        puts.into_iter().for_each(|(id, row)| both.put(id, row));
        let plan = Plan::of(&query, &World).unwrap();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = both.page(&plan, order, after, limit);
            let Some(last) = page.last() else { break };
            let position = both.index.position(order, TicketId(*last));
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            after = Some(position);
            seen.extend(page);
        }
        prop_assert_eq!(seen, both.sorted(both.filtered(&plan, &QueueSet::All), order));
    }

    #[test]
    fn the_past_is_found_with_what_has_changed_since(
        puts in prop::collection::vec((1_u64..60, row()), 1..80),
        changes in prop::collection::vec((1_u64..80, row()), 0..40),
        query in prop_oneof![Just(Query::All), query()],
        order in order(),
        hidden in 1_u32..4,
        limit in 1_usize..20,
    ) {
        let mut then = Both::default();
        puts.into_iter().for_each(|(id, row)| then.put(id, row));
        let mut now = Both::default();
        then.rows.iter().for_each(|(id, row)| now.put(*id, row.clone()));
        for (id, mut row) in changes {
            // What changes does so later than all that was there, or is new.
            row.columns.updated_at = Timestamp(NOW + 10 * DAY);
            row.columns.created_at = then.rows.get(&id).map_or(Timestamp(NOW + 10 * DAY), |old| old.columns.created_at);
            now.put(id, row);
        }
        let visible = QueueSet::of((1..4).filter(|queue| *queue != hidden).map(QueueId));
        let is_seen = |id: &u64| {
            let is_kept = |row: &Row| {
                let is_old = row.columns.updated_at.0 <= NOW + 9 * DAY;
                visible.contains(row.columns.queue) && (is_old || row.extra["deleted"].as_bool() != Some(true))
            };
            now.rows.get(id).is_some_and(is_kept)
        };
        let plan = Plan::of(&query, &World).unwrap();
        let wanted: Vec<u64> = then.filtered(&plan, &QueueSet::All).into_iter().filter(is_seen).collect();
        let past = now.index.past(&plan, &visible, Timestamp(NOW + 9 * DAY));
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let mut page = now.index.past_page(&past, order, after, limit);
            for ticket in &past.changed {
                let row = &then.rows[&ticket.0];
                let facets = Facets::read(&row.requester, &row.extra.to_string()).unwrap();
                page.add(&plan, *ticket, &row.columns, &facets, row.has_file);
            }
            let (count, found) = page.finish();
            prop_assert_eq!(count, wanted.len() as u64, "{}", &query);
            let Some(last) = found.last() else { break };
            after = Some(*last);
            seen.extend(found.iter().map(|position| position.ticket.0));
        }
        prop_assert_eq!(seen, then.sorted(wanted, order), "{}", &query);
    }

    #[test]
    fn what_does_not_change_comes_once_whatever_else_changes(
        puts in prop::collection::vec((1_u64..200, row()), 20..120),
        changes in prop::collection::vec((1_u64..240, row()), 0..60),
        order in order(),
        limit in 1_usize..12,
    ) {
        let mut both = Both::default();
        puts.into_iter().for_each(|(id, row)| both.put(id, row));
        let plan = Plan::of(&Query::parse("-status:closed").unwrap(), &World).unwrap();
        let changed: Vec<u64> = changes.iter().map(|(id, _)| *id).collect();
        let steady = |ids: Vec<u64>| ids.into_iter().filter(|id| !changed.contains(id)).collect::<Vec<_>>();
        let wanted = steady(both.sorted(both.filtered(&plan, &QueueSet::All), order));
        let (mut seen, mut after, mut changes) = (Vec::new(), None, changes.into_iter());
        loop {
            let page = both.page(&plan, order, after, limit);
            let Some(last) = page.last() else { break };
            after = Some(both.index.position(order, TicketId(*last)));
            seen.extend(page);
            for (id, row) in changes.by_ref().take(6) {
                both.put(id, row);
            }
        }
        prop_assert_eq!(steady(seen), wanted);
    }
}

#[test]
fn names_that_stand_for_nothing_are_said() {
    let unknown = |text: &str| Plan::of(&Query::parse(text).unwrap(), &World).unwrap_err().to_string();
    assert_eq!(unknown("field.colour:red"), "there is no field \"colour\"; expected one of size, order");
    assert_eq!(unknown("status:opne"), "there is no status \"opne\"; expected one of new, open");
    assert_eq!(unknown("-(a queue:sales)"), "there is no queue \"sales\"; expected one of billing");
    assert_eq!(
        unknown("assignee:zoe"),
        "there is no agent \"zoe\"; expected one of none: there are none yet"
    );
}

#[test]
fn positions_are_read_strictly() {
    for text in ["", "7", "before-", "before-x", "-updated.1", "-updated.1.2.3", "size.1.2", "-due.no.7"] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
    assert_eq!("before-7".parse::<Position>().unwrap().order, Order::NEWEST);
}
