//! Random lifecycles, random commands, and lifecycles that change between them: no ticket ever leaves its graph.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use waggle_core::id::{AgentId, Fence, LifecycleId, QueueId, Version};
use waggle_core::right::{Right, Rights};
use waggle_core::ticket::{
    Actor, Authority, Cell, Change, DefaultsSpec, EdgeSpec, Expect, Hold, Intent, LifecycleRow,
    LifecycleSpec, Lifecycles, Refusal, Status, StatusRow, StatusSet, StatusSpec, check,
};

const CATEGORIES: [&str; 6] = ["new", "open", "pending", "on_hold", "solved", "closed"];
/// The queues of the built-in lifecycle and of two drawn ones.
const QUEUES: [QueueId; 3] = [QueueId(1), QueueId(2), QueueId(3)];

/// A sound lifecycle: a chain through all its statuses to a closed one, and any edges besides.
fn lifecycle() -> impl Strategy<Value = LifecycleSpec> {
    let middle = prop::collection::vec(0_usize..5, 0..6);
    let more = prop::collection::vec((0_usize..8, 0_usize..8, 0_usize..4, 0_usize..3), 0..16);
    (middle, more, prop::option::of(0_usize..8), any::<bool>()).prop_map(|(middle, more, reply, has_new)| {
        let mut categories = vec![if has_new { "new" } else { "open" }, "open"];
        categories.extend(middle.into_iter().map(|category| CATEGORIES[category]));
        categories.push("closed");
        let name = |place: usize| format!("s{}", ["a", "b", "c", "d", "e", "f", "g", "h", "i"][place]);
        let last = categories.len() - 1;
        let edge = |from, to, right: Option<&str>, guard: Option<&str>| EdgeSpec {
            from: name(from),
            to: name(to),
            right: right.map(str::to_owned),
            guard: guard.map(str::to_owned),
        };
        let mut edges: Vec<EdgeSpec> = (0..last).map(|from| edge(from, from + 1, None, None)).collect();
        for (from, to, guard, right) in more {
            let guard = [None, Some("assigned"), Some("holder"), Some("reply")][guard];
            let right = [None, Some("administer"), Some("reply")][right];
            let drawn = edge(from, to, right, guard);
            let is_there = edges.iter().any(|edge| edge.from == drawn.from && edge.to == drawn.to);
            if from < last && to <= last && from != to && !is_there {
                edges.push(drawn);
            }
        }
        let reply = reply.filter(|place| *place < last && categories[*place] != "new");
        LifecycleSpec {
            statuses: categories
                .iter()
                .enumerate()
                .map(|(place, category)| StatusSpec { name: name(place), category: (*category).to_owned() })
                .collect(),
            edges,
            defaults: DefaultsSpec {
                initial: Some(name(0)),
                taken: Some(name(1)),
                message: Some(name(1)),
                reopen: Some(name(1)),
                reply: reply.map(name),
            },
            from: BTreeMap::new(),
        }
    })
}

/// What somebody tries.
#[derive(Debug, Clone)]
enum Try {
    Message,
    Reply(Option<usize>),
    Note,
    Move(usize),
    Claim,
    Release,
    Queue(usize, Option<usize>),
    /// The lifecycle of this place becomes that one; what it removes goes to the status at this place.
    Change(usize, LifecycleSpec, usize),
    Settle,
}

fn attempt() -> impl Strategy<Value = (Try, bool, u32)> {
    let attempt = prop_oneof![
        2 => Just(Try::Message),
        3 => prop::option::of(0_usize..9).prop_map(Try::Reply),
        1 => Just(Try::Note),
        8 => (0_usize..9).prop_map(Try::Move),
        2 => Just(Try::Claim),
        1 => Just(Try::Release),
        2 => (0_usize..3, prop::option::of(0_usize..9)).prop_map(|(queue, status)| Try::Queue(queue, status)),
        1 => (1_usize..3, lifecycle(), 0_usize..9).prop_map(|(place, spec, to)| Try::Change(place, spec, to)),
        1 => Just(Try::Settle),
    ];
    (attempt, any::<bool>(), 1_u32..4)
}

fn save(rows: &mut Vec<LifecycleRow>, name: &str, spec: &LifecycleSpec, to: usize) -> Result<(), String> {
    let all = Lifecycles::new(rows, []);
    let mut map = BTreeMap::new();
    let no_map = Change { name, spec, map: &map };
    let targets = || spec.statuses.iter().map(|status| status.name.clone());
    for removed in no_map.removed(&all).iter() {
        map.insert(all.name(removed).to_owned(), targets().nth(to).or_else(|| targets().next()).unwrap());
    }
    let in_use: StatusSet = all.known().collect();
    let plan = Change { name, spec, map: &map }.plan(&all, &in_use);
    let plan = plan.map_err(|faults| faults.iter().map(ToString::to_string).collect::<String>())?;
    let place = rows.iter().position(|row| row.name.as_deref() == Some(name)).unwrap_or(rows.len());
    if place == rows.len() {
        let id = LifecycleId(u32::try_from(place + 1).unwrap());
        rows.push(LifecycleRow { id, name: Some(name.to_owned()), spec: spec.clone(), statuses: Vec::new() });
    }
    let row = &mut rows[place];
    row.spec = spec.clone();
    for (status, successor) in plan.retired {
        row.statuses.iter_mut().find(|row| row.status == status).unwrap().successor = Some(successor);
    }
    for (status, name, category) in plan.statuses {
        row.statuses.retain(|row| row.status != status);
        row.statuses.push(StatusRow { status, name, category, successor: None, is_settled: false });
    }
    Ok(())
}

fn arrange(rows: &[LifecycleRow]) -> Lifecycles {
    let id = |place: usize| LifecycleId(u32::try_from(place + 1).unwrap());
    Lifecycles::new(rows, QUEUES.iter().enumerate().map(|(place, queue)| (*queue, id(place))))
}

/// Whether a spec lets a ticket go from one of its statuses to another, by its text alone.
fn allows(spec: &LifecycleSpec, from: &str, to: &str, step: &Step) -> bool {
    let category = |name: &str| {
        let status = spec.statuses.iter().find(|status| status.name == name);
        status.map(|status| status.category.as_str()).unwrap_or_default()
    };
    if from == to {
        return true;
    }
    let is = |default: &Option<String>| default.as_deref() == Some(to);
    let taken = category(from) == "new" && is(&spec.defaults.taken);
    let by_itself = match step.intent {
        Intent::Message => match category(from) {
            "pending" | "on_hold" => is(&spec.defaults.message),
            "solved" => is(&spec.defaults.reopen),
            _ => false,
        },
        Intent::Claim => taken,
        // A reply that leaves the ticket where it is takes it up all the same.
        Intent::Reply { status: Some(_) } if step.stays => taken,
        Intent::Reply { status: None } => match &spec.defaults.reply {
            Some(_) => is(&spec.defaults.reply),
            None => taken,
        },
        Intent::Reply { .. } | Intent::Move { .. } | Intent::Set { .. } => false,
        _ => false,
    };
    by_itself
        || matches!(step.intent, Intent::Reply { status: Some(_) } | Intent::Move { .. } | Intent::Set { .. })
            && spec
                .edges
                .iter()
                .any(|edge| edge.from == from && edge.to == to && step.may_take(edge, category(to)))
}

struct Step {
    intent: Intent,
    rights: Rights,
    is_held: bool,
    is_holder: bool,
    /// Whether the status that is asked for is the one that the ticket has.
    stays: bool,
}

impl Step {
    fn may_take(&self, edge: &EdgeSpec, to: &str) -> bool {
        let default = if to == "closed" { "close" } else { "edit" };
        let right = Right::from_name(edge.right.as_deref().unwrap_or(default)).unwrap();
        let guard = match edge.guard.as_deref() {
            None => true,
            Some("assigned") => self.is_held,
            Some("holder") => self.is_holder,
            Some("reply") => matches!(self.intent, Intent::Reply { .. }),
            Some(other) => panic!("{other}"),
        };
        self.rights.has(right) && guard
    }
}

fn pick(all: &Lifecycles, queue: QueueId, place: usize) -> Option<Status> {
    all.of_queue(queue).statuses().get(place).copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_ticket_leaves_its_graph(
        one in lifecycle(),
        other in lifecycle(),
        attempts in prop::collection::vec(attempt(), 1..60),
    ) {
        prop_assert_eq!(check("one", &one), []);
        let names = ["default", "one", "other"];
        let mut rows = vec![LifecycleRow::built_in()];
        save(&mut rows, "one", &one, 0).unwrap();
        save(&mut rows, "other", &other, 0).unwrap();
        let mut all = arrange(&rows);
        let mut queue = QUEUES[1];
        let cell = Cell::new(Version(1), all.of_queue(queue).initial(), Fence(0), None);
        let mut holder = None;
        for (attempt, is_admin, agent) in attempts {
            let rights = if is_admin { Rights::ALL } else { Rights::AGENT };
            let mut authority = Authority { actor: Actor::Agent(AgentId(agent)), rights };
            let before = cell.load();
            let current = all.current(before.status());
            let mut queue_to = queue;
            let intent = match attempt {
                Try::Change(place, spec, to) => {
                    // A closed status that is no more must have a closed one in its place, and the like: refused whole.
                    if save(&mut rows, names[place], &spec, to).is_ok() {
                        all = arrange(&rows);
                    }
                    continue;
                }
                Try::Settle => {
                    authority = Authority { actor: Actor::System, rights: Rights::ALL };
                    Intent::Settle { from: before.status(), to: current }
                }
                Try::Message => Intent::Message,
                Try::Note => Intent::Note,
                Try::Claim => Intent::Claim,
                Try::Release => Intent::Release,
                Try::Reply(None) => Intent::Reply { status: None },
                Try::Reply(Some(place)) => match pick(&all, queue, place) {
                    status @ Some(_) => Intent::Reply { status },
                    None => continue,
                },
                Try::Move(place) => match pick(&all, queue, place) {
                    Some(to) => Intent::Move { to },
                    None => continue,
                },
                Try::Queue(place, status) => {
                    queue_to = QUEUES[place];
                    let status = status.and_then(|place| pick(&all, queue_to, place));
                    let into = Some(all.of_queue(queue_to).id());
                    Intent::Set { needs: Rights::one(Right::MoveQueue), into, status }
                }
            };
            let is_holder = holder == Some(agent);
            let fence = (is_holder || matches!(intent, Intent::Claim)).then_some(before.fence());
            let fence = fence.filter(|_| before.hold() == Hold::Held);
            let stays = intent == Intent::Reply { status: Some(current) };
            let step = Step { intent, rights, is_held: before.hold() == Hold::Held, is_holder, stays };
            match cell.reserve(&all, authority, Expect::Any, fence, intent) {
                Err(refusal) => {
                    prop_assert_eq!(cell.load(), before);
                    if let (Refusal::NoEdge { from, to }, Intent::Move { .. }) = (refusal, intent) {
                        let spec = all.of_queue(queue).spec();
                        prop_assert!(from == to || !allows(spec, all.name(from), all.name(to), &step), "{refusal:?}");
                    }
                }
                Ok(reserved) => {
                    let after = reserved.word.status();
                    let (was_in, is_in) = (all.of_queue(queue).id(), all.of_queue(queue_to).id());
                    prop_assert!(all.is_of(after, is_in), "{step:?} left {} for another lifecycle", all.name(after), step = step.intent);
                    if was_in == is_in {
                        let spec = all.of_queue(queue).spec();
                        let is_back = current != before.status() && after == current;
                        let allowed = is_back || allows(spec, all.name(current), all.name(after), &step);
                        prop_assert!(allowed, "{:?}: {} to {}", step.intent, all.name(current), all.name(after));
                        let steps = all.steps();
                        let stored = after == before.status() || steps.contains(&(before.status(), after));
                        prop_assert!(stored, "storage would refuse {:?}", step.intent);
                    }
                    if let Some(now) = reserved.transition.holder {
                        holder = now.map(|agent| agent.0);
                    }
                    queue = queue_to;
                }
            }
        }
        // Whatever has happened, the ticket follows its lifecycle.
        let before = cell.load().status();
        let to = all.current(before);
        if to != before {
            let system = Authority { actor: Actor::System, rights: Rights::ALL };
            let settled = cell.reserve(&all, system, Expect::Any, None, Intent::Settle { from: before, to });
            prop_assert!(settled.is_ok(), "{settled:?}");
        }
        prop_assert!(all.of_queue(queue).statuses().contains(&cell.load().status()));
    }
}
