//! Changes of a tenant's lifecycles: what becomes of statuses, and of the tickets that have them.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::shown;
use super::{Category, Fault, Lifecycle, LifecycleSpec, Lifecycles, Status, StatusSet, check};
use crate::limits::LIFECYCLES_MAX;

/// A lifecycle that is to be saved, new or in place of what has its name.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is to be.
    pub spec: &'a LifecycleSpec,
    /// What tickets get whose status is removed, by names.
    pub map: &'a BTreeMap<String, String>,
}

/// What a change does to statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusPlan {
    /// All statuses that the lifecycle has from now on, with their indexes, in the order in which people see them.
    pub statuses: Vec<(Status, String, Category)>,
    /// Those that it has no more, each with what its tickets get.
    pub retired: Vec<(Status, Status)>,
}

impl Change<'_> {
    /// The statuses that the change removes: of those it must be known whether tickets have them.
    #[must_use]
    pub fn removed(&self, lifecycles: &Lifecycles) -> StatusSet {
        let kept: BTreeSet<&str> = self.spec.statuses.iter().map(|status| status.name.as_str()).collect();
        let old = lifecycles.named(self.name).map(Lifecycle::statuses).unwrap_or_default();
        old.iter().copied().filter(|status| !kept.contains(lifecycles.name(*status))).collect()
    }

    /// Decides what becomes of statuses; `in_use` are those that tickets have. A removed status that no ticket has
    /// needs no entry in the map; a ticket that comes to it at this very moment gets the like of it.
    ///
    /// # Errors
    /// All faults, of the lifecycle on its own and of the change.
    pub fn plan(&self, lifecycles: &Lifecycles, in_use: &StatusSet) -> Result<StatusPlan, Vec<Fault>> {
        let mut faults = check(self.name, self.spec);
        let old = lifecycles.named(self.name);
        if old.is_none() && lifecycles.all().len() >= LIFECYCLES_MAX {
            faults.push(Fault::TooManyLifecycles);
        }
        self.check_from(lifecycles, &mut faults);
        if let Some(old) = old {
            let was_closed = |name: &str| {
                lifecycles.find(old, name).is_some_and(|was| lifecycles.category(was) == Category::Closed)
            };
            let reopened = self.spec.statuses.iter().filter(|status| {
                was_closed(&status.name) && Category::from_name(&status.category) != Some(Category::Closed)
            });
            faults.extend(reopened.map(|status| Fault::Reopened(shown(&status.name))));
        }
        let removed = self.removed(lifecycles);
        self.check_map(lifecycles, &removed, in_use, &mut faults);
        let statuses = self.indexes(lifecycles, old, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let index =
            |name: &str| statuses.iter().find(|(_, known, _)| known == name).map(|(status, ..)| *status);
        let successor = |status: Status| {
            let mapped = self.map.get(lifecycles.name(status)).and_then(|name| index(name));
            mapped.or_else(|| index(self.like(lifecycles.category(status))?))
        };
        let retired = removed.iter().filter_map(|status| Some((status, successor(status)?))).collect();
        Ok(StatusPlan { statuses, retired })
    }

    /// The name of the status that is most like one of `category`. There is always one: every lifecycle has a
    /// closed status, and an initial one.
    fn like(&self, category: Category) -> Option<&str> {
        let same = self.spec.statuses.iter().find(|status| status.category == category.name());
        let default = match category {
            Category::New => &self.spec.defaults.initial,
            _ => &self.spec.defaults.taken,
        };
        same.map(|status| status.name.as_str()).or(default.as_deref())
    }

    fn check_from(&self, lifecycles: &Lifecycles, faults: &mut Vec<Fault>) {
        for (other, map) in &self.spec.from {
            let Some(known) = lifecycles.named(other).filter(|known| known.name() != self.name) else {
                faults.push(Fault::UnknownLifecycle(shown(other)));
                continue;
            };
            for (status, to) in map {
                let from = lifecycles.find(known, status);
                let why = match (from, self.spec.category(to)) {
                    (None, _) => "the other lifecycle has no such status",
                    (_, None) => "this lifecycle has no such status",
                    (Some(from), Some(to))
                        if lifecycles.category(from) == Category::Closed && to != Category::Closed =>
                    {
                        "closed is final; map it to one of category closed"
                    }
                    _ => continue,
                };
                let (lifecycle, status, to) = (shown(other), shown(status), shown(to));
                faults.push(Fault::BadMap { lifecycle, status, to, why });
            }
        }
    }

    fn check_map(
        &self,
        lifecycles: &Lifecycles,
        removed: &StatusSet,
        in_use: &StatusSet,
        faults: &mut Vec<Fault>,
    ) {
        let expected =
            || self.spec.statuses.iter().map(|status| shown(&status.name)).collect::<Vec<_>>().join(", ");
        for (from, to) in self.map {
            let Some(status) = removed.iter().find(|status| lifecycles.name(*status) == from) else {
                faults.push(Fault::NotRemoved(shown(from)));
                continue;
            };
            match self.spec.category(to) {
                None => faults.push(Fault::UnknownTarget {
                    from: shown(from),
                    status: shown(to),
                    expected: expected(),
                }),
                Some(Category::Closed) => {}
                Some(_) if lifecycles.category(status) == Category::Closed => {
                    faults.push(Fault::MapReopens { from: shown(from), to: shown(to) });
                }
                Some(_) => {}
            }
        }
        let unmapped = removed.iter().filter(|status| in_use.contains(*status));
        for status in unmapped.filter(|status| !self.map.contains_key(lifecycles.name(*status))) {
            faults.push(Fault::Unmapped { status: lifecycles.name(status).to_owned(), expected: expected() });
        }
    }

    /// Indexes for all statuses: what has one keeps it. Those of statuses that were removed are taken again only
    /// when all others are, and only where no ticket has them: old events name them.
    fn indexes(
        &self,
        lifecycles: &Lifecycles,
        old: Option<&Lifecycle>,
        faults: &mut Vec<Fault>,
    ) -> Vec<(Status, String, Category)> {
        let known: StatusSet = lifecycles.known().collect();
        let mut free = Status::all().filter(|status| !known.contains(*status)).chain(lifecycles.settled());
        let kept = |name: &str| old.and_then(|old| lifecycles.find(old, name));
        let mut statuses = Vec::with_capacity(self.spec.statuses.len());
        let mut wanting = 0;
        for status in &self.spec.statuses {
            let Some(category) = Category::from_name(&status.category) else { continue };
            match kept(&status.name).or_else(|| free.next()) {
                Some(index) => statuses.push((index, status.name.clone(), category)),
                None => wanting += 1,
            }
        }
        if wanting > 0 {
            let new = self.spec.statuses.iter().filter(|status| kept(&status.name).is_none()).count();
            faults.push(Fault::NoIndex { wanted: new, free: new - wanting });
        }
        statuses
    }
}

/// Another lifecycle for a queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueChange<'a> {
    /// The lifecycle that its tickets have,
    pub from: &'a Lifecycle,
    /// the one that they are to have,
    pub to: &'a Lifecycle,
    /// and what statuses become, by names; what is not said here is taken from what was saved with `to`.
    pub map: &'a BTreeMap<String, String>,
}

impl QueueChange<'_> {
    /// What becomes of each status of the old lifecycle; `in_use` are those that the queue's tickets have.
    ///
    /// # Errors
    /// All faults of the map.
    pub fn plan(
        &self,
        lifecycles: &Lifecycles,
        in_use: &StatusSet,
    ) -> Result<Vec<(Status, Status)>, Vec<Fault>> {
        let mut faults = Vec::new();
        let expected = || {
            self.to.statuses().iter().map(|status| lifecycles.name(*status)).collect::<Vec<_>>().join(", ")
        };
        for (from, to) in self.map {
            let (old, new) = (lifecycles.find(self.from, from), lifecycles.find(self.to, to));
            match (old, new) {
                (None, _) => faults.push(Fault::NotRemoved(shown(from))),
                (_, None) => faults.push(Fault::UnknownTarget {
                    from: shown(from),
                    status: shown(to),
                    expected: expected(),
                }),
                (Some(old), Some(new)) if reopens(lifecycles, old, new) => {
                    faults.push(Fault::MapReopens { from: shown(from), to: shown(to) });
                }
                _ => {}
            }
        }
        let target = |status: Status| {
            let said = self.map.get(lifecycles.name(status)).and_then(|name| lifecycles.find(self.to, name));
            said.or_else(|| self.to.mapped(status))
        };
        let mut pairs = Vec::new();
        for status in self.from.statuses() {
            match target(*status) {
                Some(to) => pairs.push((*status, to)),
                None if in_use.contains(*status) => {
                    let status = lifecycles.name(*status).to_owned();
                    faults.push(Fault::Unmapped { status, expected: expected() });
                }
                // No ticket has it; one that comes to it at this very moment gets the like of it.
                None => pairs.extend(like(lifecycles, self.to, *status).map(|to| (*status, to))),
            }
        }
        if faults.is_empty() { Ok(pairs) } else { Err(faults) }
    }
}

fn reopens(lifecycles: &Lifecycles, from: Status, to: Status) -> bool {
    lifecycles.category(from) == Category::Closed && lifecycles.category(to) != Category::Closed
}

fn like(lifecycles: &Lifecycles, to: &Lifecycle, status: Status) -> Option<Status> {
    let category = lifecycles.category(status);
    let same = to.statuses().iter().copied().find(|other| lifecycles.category(*other) == category);
    let open = |other: &Status| lifecycles.category(*other) == Category::Open;
    same.or_else(|| to.statuses().iter().copied().find(open))
}
