//! All that is wrong with a lifecycle on its own, at once.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::shown;
use super::{BadName, Category, Fault, Guard, LifecycleSpec};
use crate::limits::{LIFECYCLE_EDGES_MAX, LIFECYCLE_STATUSES_MAX, STATUS_NAME_BYTES_MAX};

/// Everything that is wrong with a lifecycle, in the order in which it is written; nothing where it is right.
/// What depends on the tenant's other lifecycles is for [`Change`](super::Change).
#[must_use]
pub fn check(name: &str, spec: &LifecycleSpec) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Err(why) = check_name(name) {
        faults.push(Fault::Name { kind: "lifecycle", name: shown(name), why });
    }
    // Beyond these it is not looked at one by one: what is checked below takes time with the square of them.
    if spec.statuses.len() > LIFECYCLE_STATUSES_MAX {
        faults.push(Fault::TooManyStatuses(spec.statuses.len()));
    }
    if spec.edges.len() > LIFECYCLE_EDGES_MAX {
        faults.push(Fault::TooManyEdges(spec.edges.len()));
    }
    if faults.iter().any(|fault| matches!(fault, Fault::TooManyStatuses(_) | Fault::TooManyEdges(_))) {
        return faults;
    }
    check_statuses(spec, &mut faults);
    check_edges(spec, &mut faults);
    check_defaults(spec, &mut faults);
    check_ways(spec, &mut faults);
    faults
}

fn check_name(name: &str) -> Result<(), BadName> {
    let is_taken =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    if name.len() > STATUS_NAME_BYTES_MAX {
        return Err(BadName::TooLong(name.len()));
    }
    match name.chars().next() {
        None => return Err(BadName::Empty),
        Some(first) if !first.is_ascii_lowercase() => return Err(BadName::Character(first)),
        Some(_) => {}
    }
    name.chars()
        .find(|character| !is_taken(*character))
        .map_or(Ok(()), |other| Err(BadName::Character(other)))
}

/// The same for names that people take for each other.
fn skeleton(name: &str) -> String {
    name.replace('_', "").replace('0', "o").replace('1', "l").replace("rn", "m").replace("vv", "w")
}

fn check_statuses(spec: &LifecycleSpec, faults: &mut Vec<Fault>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for status in &spec.statuses {
        let name = status.name.as_str();
        if let Err(why) = check_name(name) {
            faults.push(Fault::Name { kind: "status", name: shown(name), why });
        }
        match seen.get(&skeleton(name)) {
            Some(other) if *other == name => faults.push(Fault::Twice(shown(name))),
            Some(other) => faults.push(Fault::Confusable { name: shown(name), other: shown(other) }),
            None => {
                seen.insert(skeleton(name), name);
            }
        }
        if Category::from_name(&status.category).is_none() {
            let category = shown(&status.category);
            faults.push(Fault::UnknownCategory { status: shown(name), category });
        }
    }
    for needed in [Category::Open, Category::Closed] {
        if !spec.statuses.iter().any(|status| status.category == needed.name()) {
            faults.push(Fault::NoStatusOf(needed));
        }
    }
}

fn check_edges(spec: &LifecycleSpec, faults: &mut Vec<Fault>) {
    let names: BTreeSet<&str> = spec.statuses.iter().map(|status| status.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for edge in &spec.edges {
        let (from, to) = (shown(&edge.from), shown(&edge.to));
        for end in [&edge.from, &edge.to] {
            if !names.contains(end.as_str()) {
                let unknown = shown(end);
                faults.push(Fault::UnknownEnd { from: from.clone(), to: to.clone(), unknown });
            }
        }
        if edge.from == edge.to {
            faults.push(Fault::Loop(from.clone()));
        }
        if !seen.insert((edge.from.as_str(), edge.to.as_str())) {
            faults.push(Fault::EdgeTwice { from: from.clone(), to: to.clone() });
        }
        if spec.category(&edge.from) == Some(Category::Closed) {
            faults.push(Fault::LeavesClosed { from: from.clone(), to: to.clone() });
        }
        if let Some(right) = &edge.right
            && edge.needs(Category::Open).is_none()
        {
            faults.push(Fault::UnknownRight { from: from.clone(), to: to.clone(), right: shown(right) });
        }
        if let Some(guard) = &edge.guard
            && Guard::from_name(guard).is_none()
        {
            faults.push(Fault::UnknownGuard { from, to, guard: shown(guard) });
        }
    }
}

fn check_defaults(spec: &LifecycleSpec, faults: &mut Vec<Fault>) {
    for (default, name, categories) in spec.defaults.each() {
        let wanted = || categories.iter().map(|category| category.name()).collect::<Vec<_>>().join(" or ");
        let Some(name) = name else {
            if default != "reply" {
                faults.push(Fault::MissingDefault(default, wanted()));
            }
            continue;
        };
        if !spec.statuses.iter().any(|status| status.name == name) {
            faults.push(Fault::UnknownDefault { default, name: shown(name) });
        }
        if let Some(category) = spec.category(name)
            && !categories.contains(&category)
        {
            faults.push(Fault::DefaultCategory { default, name: shown(name), category, wanted: wanted() });
        }
    }
}

/// Where tickets come to and how they get away. Only edges count as ways out; what happens by itself brings
/// tickets to a status, too.
fn check_ways(spec: &LifecycleSpec, faults: &mut Vec<Fault>) {
    let steps = spec.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str()));
    let forward: Vec<(&str, &str)> = steps.clone().chain(automatic(spec)).collect();
    let initial: Vec<&str> = spec.defaults.initial.as_deref().into_iter().collect();
    let reached = spread(initial, &forward);
    let backward: Vec<(&str, &str)> = steps.map(|(from, to)| (to, from)).collect();
    let closed = spec.statuses.iter().filter(|status| status.category == Category::Closed.name());
    let closed: Vec<&str> = closed.map(|status| status.name.as_str()).collect();
    let ending = spread(closed.clone(), &backward);
    let leaving: BTreeSet<&str> =
        spec.edges.iter().filter(|edge| edge.from != edge.to).map(|edge| edge.from.as_str()).collect();
    let names: BTreeSet<&str> = spec.statuses.iter().map(|status| status.name.as_str()).collect();
    let in_order = spec.statuses.iter().map(|status| status.name.as_str());
    let mut told = BTreeSet::new();
    for name in in_order.filter(|name| told.insert(*name)) {
        // Without a start nothing is reached, which that fault says already.
        if spec.defaults.initial.as_deref().is_some_and(|initial| names.contains(initial))
            && !reached.contains(name)
        {
            faults.push(Fault::Unreachable(shown(name)));
        }
        if closed.contains(&name) {
            continue;
        }
        if !leaving.contains(name) {
            faults.push(Fault::DeadEnd(shown(name)));
        } else if !closed.is_empty() && !ending.contains(name) {
            faults.push(Fault::NeverEnds(shown(name)));
        }
    }
}

/// The moves that tickets make without an edge.
fn automatic(spec: &LifecycleSpec) -> impl Iterator<Item = (&str, &str)> {
    let defaults = &spec.defaults;
    spec.statuses.iter().flat_map(move |status| {
        let (taken, message) = match Category::from_name(&status.category) {
            Some(Category::New) => (defaults.taken.as_deref(), None),
            Some(Category::Pending | Category::OnHold) => (None, defaults.message.as_deref()),
            Some(Category::Solved) => (None, defaults.reopen.as_deref()),
            Some(Category::Open | Category::Closed) | None => (None, None),
        };
        let is_final = status.category == Category::Closed.name();
        let reply = defaults.reply.as_deref().filter(|_| !is_final);
        [taken, message, reply].into_iter().flatten().map(|to| (status.name.as_str(), to))
    })
}

fn spread<'a>(start: Vec<&'a str>, steps: &[(&'a str, &'a str)]) -> BTreeSet<&'a str> {
    let mut reached: BTreeSet<&str> = start.iter().copied().collect();
    let mut waiting = start;
    while let Some(from) = waiting.pop() {
        for (_, to) in steps.iter().filter(|(start, _)| *start == from) {
            if reached.insert(to) {
                waiting.push(to);
            }
        }
    }
    reached
}
