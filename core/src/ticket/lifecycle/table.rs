//! All lifecycles of a tenant, arranged for admission: everything about a status is found by its index.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use super::{Category, Edge, Guard, LifecycleSpec, Status, StatusSet};
use crate::id::{LifecycleId, QueueId};

/// A status as storage has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// Its index.
    pub status: Status,
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: Category,
    /// Where its tickets go, of a status that was removed.
    pub successor: Option<Status>,
    /// Whether no ticket has it any more, of a status that was removed.
    pub is_settled: bool,
}

/// A lifecycle as storage has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRow {
    /// Its number in its tenant; the built-in one is 1.
    pub id: LifecycleId,
    /// Its name, unique in its tenant; `None` of one that was deleted, whose statuses are all removed.
    pub name: Option<String>,
    /// As it was saved.
    pub spec: LifecycleSpec,
    /// Its statuses, removed ones included.
    pub statuses: Vec<StatusRow>,
}

/// One lifecycle: statuses, edges, and what happens by itself.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    id: LifecycleId,
    name: String,
    spec: LifecycleSpec,
    /// In the order in which people see them.
    statuses: Vec<Status>,
    initial: Status,
    taken: Status,
    message: Status,
    reopen: Status,
    reply: Option<Status>,
    /// What statuses of other lifecycles become.
    from: Vec<(Status, Status)>,
}

impl Lifecycle {
    /// Its number in its tenant.
    #[must_use]
    pub fn id(&self) -> LifecycleId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As it was saved.
    #[must_use]
    pub fn spec(&self) -> &LifecycleSpec {
        &self.spec
    }

    /// Its statuses, in the order in which people see them.
    #[must_use]
    pub fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    /// Where a new ticket starts.
    #[must_use]
    pub fn initial(&self) -> Status {
        self.initial
    }

    /// What `status` of another lifecycle becomes in this one, where that was saved with it.
    #[must_use]
    pub fn mapped(&self, status: Status) -> Option<Status> {
        self.from.iter().find(|(from, _)| *from == status).map(|(_, to)| *to)
    }
}

/// What there is to know about one status.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    category: Category,
    /// Its lifecycle's place in the list; none where that was deleted.
    lifecycle: Option<usize>,
    edges: Vec<Edge>,
    successor: Option<Status>,
    is_settled: bool,
}

/// All lifecycles of a tenant, and which queue has which. Never changed: replaced whole.
#[derive(Debug, Clone)]
pub struct Lifecycles {
    /// By index of status; [`Status::MAX`] of them.
    places: Vec<Option<Place>>,
    /// By number; never empty.
    lifecycles: Vec<Lifecycle>,
    /// Queues with another lifecycle than the first, by number, with its place in the list.
    queues: Vec<(QueueId, usize)>,
}

static BUILT_IN: LazyLock<Arc<Lifecycles>> = LazyLock::new(|| Arc::new(Lifecycles::new(&[], [])));

/// The number of the lifecycle that every tenant has.
const FIRST: LifecycleId = LifecycleId(1);

impl LifecycleRow {
    /// The lifecycle that every tenant has from the start: its statuses have the indexes 0 to 5.
    #[must_use]
    pub fn built_in() -> Self {
        let spec = LifecycleSpec::built_in();
        let statuses = Status::all().zip(&spec.statuses).map(|(status, def)| StatusRow {
            status,
            name: def.name.clone(),
            category: Category::from_name(&def.category).unwrap_or(Category::Closed),
            successor: None,
            is_settled: false,
        });
        Self { id: FIRST, name: Some("default".to_owned()), statuses: statuses.collect(), spec }
    }

    fn status(&self, name: &str) -> Option<Status> {
        let current = self.statuses.iter().filter(|row| row.successor.is_none());
        current.clone().find(|row| row.name == name).map(|row| row.status)
    }
}

impl Lifecycles {
    /// Those of a tenant that has set no other.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        Arc::clone(&BUILT_IN)
    }

    /// Arranges rows, which were checked when they were saved: what one of them names and none has is left
    /// out. Without any that is not deleted, the built-in one is there. A queue that is not named has the first.
    #[must_use]
    pub fn new(rows: &[LifecycleRow], queues: impl IntoIterator<Item = (QueueId, LifecycleId)>) -> Self {
        let built_in;
        let rows = if rows.iter().any(|row| row.name.is_some()) {
            rows
        } else {
            built_in = [LifecycleRow::built_in()];
            &built_in
        };
        let mut all = Self { places: vec![None; Status::MAX], lifecycles: Vec::new(), queues: Vec::new() };
        for row in rows {
            let lifecycle = all.add(row);
            all.lifecycles.extend(lifecycle);
        }
        for row in rows {
            all.add_map(row, rows);
        }
        for (queue, id) in queues {
            match all.lifecycles.iter().position(|lifecycle| lifecycle.id == id) {
                Some(place) if place > 0 => all.queues.push((queue, place)),
                _ => {}
            }
        }
        all.queues.sort_unstable();
        all
    }

    /// Puts a row's statuses in their places, and gives its lifecycle where it was not deleted.
    fn add(&mut self, row: &LifecycleRow) -> Option<Lifecycle> {
        let number = row.name.is_some().then_some(self.lifecycles.len());
        for status in &row.statuses {
            let edges = if status.successor.is_none() { edges(row, &status.name) } else { Vec::new() };
            if let Some(place) = self.places.get_mut(usize::from(status.status.index())) {
                *place = Some(Place {
                    name: status.name.clone(),
                    category: status.category,
                    lifecycle: number,
                    edges,
                    successor: status.successor,
                    is_settled: status.is_settled,
                });
            }
        }
        let name = row.name.clone()?;
        let statuses: Vec<Status> =
            row.spec.statuses.iter().filter_map(|def| row.status(&def.name)).collect();
        let first = statuses.first().copied().unwrap_or(Status::from_index(0));
        let default = |name: &Option<String>| name.as_deref().and_then(|name| row.status(name));
        let defaults = &row.spec.defaults;
        Some(Lifecycle {
            id: row.id,
            name,
            initial: default(&defaults.initial).unwrap_or(first),
            taken: default(&defaults.taken).unwrap_or(first),
            message: default(&defaults.message).unwrap_or(first),
            reopen: default(&defaults.reopen).unwrap_or(first),
            reply: default(&defaults.reply),
            from: Vec::new(),
            statuses,
            spec: row.spec.clone(),
        })
    }

    fn add_map(&mut self, row: &LifecycleRow, rows: &[LifecycleRow]) {
        let mut from = Vec::new();
        for (other, map) in &row.spec.from {
            let Some(other) = rows.iter().find(|row| row.name.as_ref() == Some(other)) else { continue };
            let pairs = map.iter().filter_map(|(old, new)| Some((other.status(old)?, row.status(new)?)));
            from.extend(pairs);
        }
        if let Some(lifecycle) = self.lifecycles.iter_mut().find(|lifecycle| lifecycle.id == row.id) {
            lifecycle.from = from;
        }
    }

    /// All that are not deleted, by number.
    #[must_use]
    pub fn all(&self) -> &[Lifecycle] {
        &self.lifecycles
    }

    /// The one called `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Lifecycle> {
        self.lifecycles.iter().find(|lifecycle| lifecycle.name == name)
    }

    /// The one of this number.
    #[must_use]
    pub fn get(&self, id: LifecycleId) -> Option<&Lifecycle> {
        self.lifecycles.iter().find(|lifecycle| lifecycle.id == id)
    }

    /// The lifecycle of a queue's tickets.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "there is always a first one, and `new` takes places from the list"
    )]
    pub fn of_queue(&self, queue: QueueId) -> &Lifecycle {
        let place = self.queues.binary_search_by_key(&queue, |(queue, _)| *queue);
        let place = place.ok().and_then(|found| self.queues.get(found)).map_or(0, |(_, place)| *place);
        &self.lifecycles[place]
    }

    /// The lifecycle of a status; none where that was deleted, or there is no such status.
    #[must_use]
    pub fn of(&self, status: Status) -> Option<&Lifecycle> {
        self.lifecycles.get(self.place(status)?.lifecycle?)
    }

    /// Whether two statuses are of one lifecycle.
    #[must_use]
    pub fn is_of(&self, status: Status, lifecycle: LifecycleId) -> bool {
        self.of(status).is_some_and(|of| of.id == lifecycle)
    }

    /// The name of `status`, of a removed one, too; `"?"` where there is none.
    #[must_use]
    pub fn name(&self, status: Status) -> &str {
        self.place(status).map_or("?", |place| &place.name)
    }

    /// The category of `status`; closed, which admits nothing, where there is none.
    #[must_use]
    pub fn category(&self, status: Status) -> Category {
        self.place(status).map_or(Category::Closed, |place| place.category)
    }

    /// The status called `name` in the lifecycle of `beside`.
    #[must_use]
    pub fn beside(&self, beside: Status, name: &str) -> Option<Status> {
        self.find(self.of(self.current(beside))?, name)
    }

    /// The status called `name` in `lifecycle`.
    #[must_use]
    pub fn find(&self, lifecycle: &Lifecycle, name: &str) -> Option<Status> {
        lifecycle.statuses.iter().copied().find(|status| self.name(*status) == name)
    }

    /// All statuses called `name`, removed ones included: tickets may still have them.
    #[must_use]
    pub fn called(&self, name: &str) -> StatusSet {
        self.known().filter(|status| self.name(*status) == name).collect()
    }

    /// All statuses with a place, removed ones included.
    pub fn known(&self) -> impl Iterator<Item = Status> {
        Status::all().filter(|status| self.place(*status).is_some())
    }

    /// Statuses that were removed and that tickets may still have, each with what becomes of those.
    pub fn retiring(&self) -> impl Iterator<Item = (Status, Status)> {
        let is_retiring = |place: &Place| place.successor.is_some() && !place.is_settled;
        self.known()
            .filter(move |status| self.place(*status).is_some_and(is_retiring))
            .map(|status| (status, self.current(status)))
    }

    /// Statuses that were removed and that no ticket has.
    pub fn settled(&self) -> impl Iterator<Item = Status> {
        self.known().filter(|status| self.place(*status).is_some_and(|place| place.is_settled))
    }

    /// What a status is by now: itself, or what became of it when it was removed.
    #[must_use]
    pub fn current(&self, status: Status) -> Status {
        let mut current = status;
        // A chain of successors has no place twice, so it ends.
        for _ in 0..Status::MAX {
            match self.place(current).and_then(|place| place.successor) {
                Some(successor) => current = successor,
                None => break,
            }
        }
        current
    }

    /// The first status of the same lifecycle that is closed.
    #[must_use]
    pub fn closed_beside(&self, beside: Status) -> Option<Status> {
        let statuses = self.of(beside)?.statuses();
        statuses.iter().copied().find(|status| self.category(*status) == Category::Closed)
    }

    /// The edge between two statuses, where there is one.
    #[must_use]
    pub fn edge(&self, from: Status, to: Status) -> Option<&Edge> {
        self.place(from)?.edges.iter().find(|edge| edge.to == to)
    }

    /// Names of the statuses that can be reached from `from` in one move.
    pub fn targets(&self, from: Status) -> impl Iterator<Item = &str> {
        let edges = self.place(self.current(from)).map(|place| place.edges.as_slice()).unwrap_or_default();
        edges.iter().map(|edge| self.name(edge.to))
    }

    /// Where an agent taking the ticket up (claim, assignment) puts it.
    #[must_use]
    pub fn after_taken(&self, from: Status) -> Status {
        match (self.category(from), self.of(from)) {
            (Category::New, Some(lifecycle)) => lifecycle.taken,
            _ => from,
        }
    }

    /// Where a reply that names no status puts it.
    #[must_use]
    pub fn after_reply(&self, from: Status) -> Status {
        match self.of(from).and_then(|lifecycle| lifecycle.reply) {
            Some(reply) if self.category(from) != Category::Closed => reply,
            _ => self.after_taken(from),
        }
    }

    /// Where a requester's message puts it; closed takes none.
    #[must_use]
    pub fn after_requester(&self, from: Status) -> Option<Status> {
        let of = || self.of(from);
        match self.category(from) {
            Category::New | Category::Open => Some(from),
            Category::Pending | Category::OnHold => Some(of().map_or(from, |lifecycle| lifecycle.message)),
            Category::Solved => Some(of().map_or(from, |lifecycle| lifecycle.reopen)),
            Category::Closed => None,
        }
    }

    /// Every pair of different statuses that a ticket can go between without a change of its queue: by edges, by
    /// itself, and out of removed statuses that it may still have. What storage lets pass.
    #[must_use]
    pub fn steps(&self) -> BTreeSet<(Status, Status)> {
        let mut steps = BTreeSet::new();
        for from in self.known().filter(|status| !self.place(*status).is_some_and(|place| place.is_settled)) {
            let current = self.current(from);
            let edges = self.place(current).map(|place| place.edges.as_slice()).unwrap_or_default();
            let by_itself = [current, self.after_taken(current), self.after_reply(current)];
            let targets =
                edges.iter().map(|edge| edge.to).chain(by_itself).chain(self.after_requester(current));
            steps.extend(targets.filter(|to| *to != from).map(|to| (from, to)));
        }
        steps
    }

    fn place(&self, status: Status) -> Option<&Place> {
        self.places.get(usize::from(status.index()))?.as_ref()
    }
}

fn edges(row: &LifecycleRow, from: &str) -> Vec<Edge> {
    let edges = row.spec.edges.iter().filter(|edge| edge.from == from);
    edges
        .filter_map(|edge| {
            let to = row.status(&edge.to)?;
            let right = edge.needs(row.spec.category(&edge.to)?)?;
            Some(Edge { to, right, guard: edge.guard.as_deref().and_then(Guard::from_name) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::right::Right;
    use crate::ticket::check;

    #[test]
    fn the_built_in_lifecycle_is_sound_and_has_the_first_indexes() {
        assert_eq!(check("default", &LifecycleSpec::built_in()), []);
        let all = Lifecycles::built_in();
        let lifecycle = all.of_queue(QueueId(9));
        let indexes: Vec<u8> = lifecycle.statuses().iter().map(|status| status.index()).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
        assert_eq!(lifecycle.initial(), Status::from_index(0));
        for status in lifecycle.statuses() {
            assert_eq!(all.category(*status).name(), all.name(*status));
            assert_eq!(all.beside(lifecycle.initial(), all.name(*status)), Some(*status));
        }
        let [new, open, pending, _, solved, closed] = [0, 1, 2, 3, 4, 5].map(Status::from_index);
        assert_eq!(all.edge(solved, closed).map(|edge| edge.right), Some(Right::Close));
        assert_eq!(all.edge(new, open).map(|edge| edge.right), Some(Right::Edit));
        assert_eq!((all.after_taken(new), all.after_requester(pending)), (open, Some(open)));
        assert_eq!((all.after_requester(closed), all.after_reply(solved)), (None, solved));
        assert_eq!(all.steps().len(), 15, "nothing happens by itself that has no edge");
        let unknown = Status::from_index(200);
        assert_eq!((all.name(unknown), all.category(unknown)), ("?", Category::Closed));
    }
}
