//! Random commands against a plain reference model of a ticket.

use proptest::prelude::*;
use waggle_core::id::{AgentId, Fence, QueueId, Version};
use waggle_core::right::{RIGHTS, Right, Rights};
use waggle_core::ticket::{
    Actor, Authority, Category, Cell, Expect, Hold, Intent, Lifecycles, Refusal, Status, Word,
};

/// What a ticket is, in the plainest terms.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Model {
    version: u32,
    status: Status,
    fence: u32,
    holder: Option<u32>,
    deleted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    authority: Authority,
    expect: Expect,
    fence: Option<Fence>,
    intent: Intent,
}

fn status() -> impl Strategy<Value = Status> {
    (0_u8..6).prop_map(Status::from_index)
}

fn step() -> impl Strategy<Value = Step> {
    let actor = prop_oneof![
        8 => (1_u32..4).prop_map(|agent| Actor::Agent(AgentId(agent))),
        1 => Just(Actor::Requester),
        1 => Just(Actor::System),
    ];
    // Mostly an agent's, sometimes an administrator's, sometimes any.
    let some = prop::collection::vec(prop::sample::select(RIGHTS.to_vec()), 0..RIGHTS.len());
    let rights = prop_oneof![
        4 => Just(Rights::AGENT),
        1 => Just(Rights::ALL),
        2 => some.prop_map(|some| some.iter().map(|entry| entry.right).collect()),
    ];
    let expect =
        prop_oneof![3 => Just(Expect::Any), 1 => (1_u32..30).prop_map(|at| Expect::Version(Version(at)))];
    let fence = prop_oneof![2 => Just(None), 3 => (0_u32..8).prop_map(|fence| Some(Fence(fence)))];
    let intent = prop_oneof![
        Just(Intent::Message),
        prop::option::of(status()).prop_map(|status| Intent::Reply { status }),
        Just(Intent::Note),
        prop::sample::select(vec![Right::Edit, Right::MoveQueue]).prop_map(|right| Intent::Set {
            needs: Rights::one(right),
            into: None,
            status: None
        }),
        status().prop_map(|to| Intent::Move { to }),
        Just(Intent::Claim),
        Just(Intent::Release),
        Just(Intent::Link),
        Just(Intent::Merge),
        Just(Intent::Delete),
        Just(Intent::Restore),
        Just(Intent::Erase),
        Just(Intent::Feedback),
        Just(Intent::Teach),
        (1_u32..4).prop_map(|agent| Intent::Assign { agent: AgentId(agent) }),
    ];
    (actor, rights, expect, fence, intent).prop_map(|(actor, rights, expect, fence, intent)| Step {
        authority: Authority { actor, rights },
        expect,
        fence,
        intent,
    })
}

impl Model {
    /// The rules as the documentation tells them, one after the other.
    fn apply(self, step: Step) -> Option<Model> {
        let table = Lifecycles::built_in();
        let has = |right| step.authority.rights.has(right);
        let may = match step.intent {
            Intent::Message => has(Right::Create),
            Intent::Reply { .. } => has(Right::Reply),
            Intent::Note => has(Right::Note),
            Intent::Set { needs, .. } => needs.iter().all(has),
            Intent::Move { .. } | Intent::Release | Intent::Settle { .. } | Intent::Erase => true,
            Intent::Claim => has(Right::Claim),
            Intent::Assign { .. } => has(Right::Assign),
            Intent::Link | Intent::Merge => has(Right::Merge),
            Intent::Delete | Intent::Restore => has(Right::Delete),
            Intent::Feedback => has(Right::Reply) || has(Right::Note),
            Intent::Teach => has(Right::Administer),
        };
        let is_own = step.intent == Intent::Erase && step.authority.actor == Actor::System;
        if !may || (self.deleted != (step.intent == Intent::Restore) && !is_own) {
            return None;
        }
        let mut next = Model { version: self.version + 1, ..self };
        if matches!(step.expect, Expect::Version(expected) if expected.0 != self.version) {
            return None;
        }
        if step.fence.is_some_and(|fence| self.holder.is_none() || fence.0 != self.fence) {
            return None;
        }
        match step.intent {
            Intent::Link | Intent::Teach => return Some(next),
            Intent::Feedback => return matches!(step.authority.actor, Actor::Agent(_)).then_some(next),
            Intent::Erase => return is_own.then_some(next),
            Intent::Delete => return Some(Model { deleted: true, ..next }),
            Intent::Restore => return Some(Model { deleted: false, ..next }),
            _ => {}
        }
        if table.category(self.status) == Category::Closed {
            return None;
        }
        let reopened = match table.category(self.status) {
            Category::Pending | Category::OnHold | Category::Solved => Status::from_index(1),
            _ => self.status,
        };
        let taken =
            if table.category(self.status) == Category::New { Status::from_index(1) } else { self.status };
        let is_system = step.authority.actor == Actor::System;
        let Actor::Agent(AgentId(agent)) = step.authority.actor else {
            // Waggle itself answers and hands over where nobody is at it.
            next.status = match step.intent {
                Intent::Message => reopened,
                Intent::Note if is_system => next.status,
                Intent::Set { .. } if is_system && self.holder.is_none() => next.status,
                Intent::Reply { status: None } if is_system && self.holder.is_none() => taken,
                Intent::Reply { status: Some(to) } if is_system && self.holder.is_none() => {
                    if to == self.status { taken } else { self.edge(step, to)? }
                }
                _ => return None,
            };
            return Some(next);
        };
        let is_admin = has(Right::Administer);
        let may_write = match self.holder {
            None => true,
            Some(_) if is_admin => true,
            Some(holder) => step.fence.is_some() && holder == agent,
        };
        let to = |target| self.edge(step, target);
        match step.intent {
            Intent::Message => next.status = reopened,
            Intent::Note => {}
            Intent::Claim if self.holder.is_some() && step.fence.is_none() => return None,
            Intent::Claim => {
                (next.holder, next.fence, next.status) = (Some(agent), self.fence + 1, taken);
            }
            _ if !may_write => return None,
            Intent::Set { .. }
            | Intent::Settle { .. }
            | Intent::Link
            | Intent::Delete
            | Intent::Restore
            | Intent::Erase
            | Intent::Feedback
            | Intent::Teach => {}
            Intent::Merge => next.status = Status::from_index(5),
            Intent::Reply { status: None } => next.status = taken,
            Intent::Reply { status: Some(target) } if target == self.status => next.status = taken,
            Intent::Reply { status: Some(target) } | Intent::Move { to: target } => next.status = to(target)?,
            Intent::Release => {
                self.holder?;
                next.holder = None;
            }
            Intent::Assign { agent } => {
                (next.holder, next.fence, next.status) = (Some(agent.0), self.fence + 1, taken);
            }
        }
        Some(next)
    }

    fn edge(self, step: Step, target: Status) -> Option<Status> {
        let table = Lifecycles::built_in();
        let edge = table.edge(self.status, target).copied()?;
        let needed = if table.category(target) == Category::Closed { Right::Close } else { Right::Edit };
        step.authority.rights.has(needed).then_some(edge.to)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_cell_does_what_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let table = Lifecycles::built_in();
        let initial = table.of_queue(QueueId(1)).initial();
        let cell = Cell::new(Version(1), initial, Fence(0), None);
        let mut model = Model { version: 1, status: initial, fence: 0, holder: None, deleted: false };
        for step in steps {
            let before = cell.load();
            let result = cell.reserve(&table, step.authority, step.expect, step.fence, step.intent);
            match (model.apply(step), result) {
                (None, Err(_)) => prop_assert_eq!(cell.load(), before, "a refusal changes nothing"),
                (Some(next), Ok(reserved)) => {
                    let word = reserved.word;
                    prop_assert_eq!(word, cell.load());
                    prop_assert_eq!(reserved.transition.version, word.version());
                    let seen = (word.version().0, word.status(), word.fence().0, word.hold() == Hold::Held);
                    prop_assert_eq!(seen, (next.version, next.status, next.fence, next.holder.is_some()));
                    prop_assert_eq!(word.is_deleted(), next.deleted);
                    if let Some(holder) = reserved.transition.holder {
                        prop_assert_eq!(holder.map(|agent| agent.0), next.holder);
                    }
                    model = next;
                }
                (wanted, got) => prop_assert!(false, "{step:?} on {model:?}: wanted {wanted:?}, got {got:?}"),
            }
        }
    }
}

#[test]
fn numbers_end_with_an_error() {
    let table = Lifecycles::built_in();
    let open = Status::from_index(1);
    let ana = Authority { actor: Actor::Agent(AgentId(1)), rights: Rights::AGENT };
    let last = Cell::new(Version(u32::MAX - 1), open, Fence(0), None);
    assert!(last.reserve(&table, ana, Expect::Any, None, Intent::Note).is_ok());
    let refused = last.reserve(&table, ana, Expect::Any, None, Intent::Note);
    assert!(matches!(refused, Err(Refusal::Exhausted { what: "events", .. })));
    let fenced = Cell::new(Version(1), open, Fence(Word::FENCE_MAX - 1), None);
    assert!(fenced.reserve(&table, ana, Expect::Any, None, Intent::Claim).is_ok());
    let refused = fenced.reserve(&table, ana, Expect::Any, Some(Fence(Word::FENCE_MAX)), Intent::Claim);
    assert!(matches!(refused, Err(Refusal::Exhausted { what: "claims", .. })));
    // A fence from when words had more room for it: the ticket is worked on, and never claimed again.
    let beyond = Cell::new(Version(1), open, Fence(1 << 24), None);
    assert!(beyond.reserve(&table, ana, Expect::Any, None, Intent::Reply { status: None }).is_ok());
    let refused = beyond.reserve(&table, ana, Expect::Any, None, Intent::Claim);
    assert!(matches!(refused, Err(Refusal::Exhausted { what: "claims", .. })));
}
