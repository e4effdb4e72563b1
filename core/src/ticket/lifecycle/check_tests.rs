//! Every fault that a lifecycle and a change of it may have, each from a sound one by one alteration.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Change, Fault, LifecycleRow, LifecycleSpec, Lifecycles, QueueChange, Status, StatusRow, StatusSet, check,
};
use crate::id::{LifecycleId, QueueId};
use crate::limits::{LIFECYCLE_EDGES_MAX, LIFECYCLE_STATUSES_MAX, LIFECYCLES_MAX, STATUS_NAME_BYTES_MAX};

/// A sound lifecycle of four statuses.
fn sound() -> Value {
    json!({
        "statuses": [
            {"name": "triage", "category": "new"},
            {"name": "working", "category": "open"},
            {"name": "waiting", "category": "pending"},
            {"name": "done", "category": "closed"},
        ],
        "edges": [
            {"from": "triage", "to": "working", "guard": "assigned"},
            {"from": "working", "to": "waiting", "guard": "reply"},
            {"from": "waiting", "to": "working", "right": "edit"},
            {"from": "working", "to": "done", "guard": "holder"},
        ],
        "defaults": {"initial": "triage", "taken": "working", "message": "working", "reopen": "working"},
    })
}

fn spec(value: Value) -> LifecycleSpec {
    serde_json::from_value(value).unwrap()
}

/// The sound one with the value at `pointer` replaced; one past a list's end is added to it.
fn with(pointer: &str, value: Value) -> LifecycleSpec {
    let mut altered = sound();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match altered.pointer_mut(parent).unwrap() {
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => list[last.parse::<usize>().unwrap()] = value,
        Value::Object(members) => drop(members.insert(last.to_owned(), value)),
        other => panic!("{other}"),
    }
    spec(altered)
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn each_fault_is_found_and_says_what_would_be_right() {
    let status = |name: &str, category: &str| json!({"name": name, "category": category});
    let edge = |from: &str, to: &str| json!({"from": from, "to": to});
    assert_eq!(check("returns", &spec(sound())), []);
    for (altered, wanted) in [
        (with("/statuses/-", status("", "open")), "status: it is empty"),
        (with("/statuses/-", status("On hold", "open")), "U+004F; expected a to z"),
        (with("/statuses/-", status("w\u{43e}rking", "open")), "U+043E"),
        (with("/statuses/-", status("a\u{202e}b", "open")), "U+202E"),
        (with("/statuses/-", status("a\nb", "open")), "U+000A"),
        (with("/statuses/-", status("9th", "open")), "beginning with a letter"),
        (with("/statuses/-", status(&"x".repeat(STATUS_NAME_BYTES_MAX + 1), "open")), "33 bytes; at most 32"),
        (with("/statuses/-", status("working", "open")), "status \"working\" is there twice"),
        (with("/statuses/-", status("w0rk_ing", "open")), "\"w0rk_ing\" looks like \"working\""),
        (
            with("/statuses/1/category", json!("busy")),
            "category \"busy\"; expected one of new, open, pending",
        ),
        (
            with("/statuses/3/category", json!("solved")),
            "no status of category closed; a lifecycle needs one",
        ),
        (with("/statuses/1/category", json!("on_hold")), "no status of category open"),
        (with("/edges/-", edge("working", "gone")), "to \"gone\" names \"gone\", which is no status"),
        (with("/edges/-", edge("lost", "working")), "from \"lost\" to \"working\" names \"lost\""),
        (with("/edges/-", edge("working", "working")), "\"working\" to itself"),
        (with("/edges/-", edge("triage", "working")), "from \"triage\" to \"working\" is there twice"),
        (with("/edges/-", edge("done", "working")), "leaves a closed status"),
        (with("/edges/0/right", json!("fly")), "right \"fly\"; expected one of see create"),
        (with("/edges/0/guard", json!("moon")), "guard \"moon\"; expected one of assigned, holder, reply"),
        (
            with("/defaults/initial", Value::Null),
            "defaults.initial is missing; it names a status of category new or open",
        ),
        (with("/defaults/taken", Value::Null), "defaults.taken is missing"),
        (with("/defaults/message", Value::Null), "defaults.message is missing"),
        (with("/defaults/reopen", Value::Null), "defaults.reopen is missing"),
        (with("/defaults/reply", json!("lost")), "defaults.reply is \"lost\", which is no status"),
        (with("/defaults/message", json!("waiting")), "of category pending; expected one of category open"),
        (
            with("/defaults/initial", json!("done")),
            "of category closed; expected one of category new or open",
        ),
        (with("/statuses/-", status("lonely", "solved")), "no ticket can come to \"lonely\""),
        (with("/statuses/-", status("lonely", "solved")), "a ticket in \"lonely\" can go nowhere"),
        (with("/edges/3", edge("triage", "done")), "from \"working\" no edges lead to a closed status"),
    ] {
        let faults = told(&check("returns", &altered));
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:?}");
    }
    assert!(told(&check("Returns", &spec(sound())))[0].contains("\"Returns\" is no name for a lifecycle"));
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = check(
        "a b",
        &spec(json!({
            "statuses": [{"name": "x y", "category": "busy"}, {"name": "z", "category": "open"}],
            "edges": [{"from": "z", "to": "q", "right": "fly", "guard": "moon"}],
        })),
    );
    let kinds = told(&faults);
    for wanted in [
        "\"a b\"",
        "\"x y\" is no name",
        "\"busy\"",
        "category closed",
        "names \"q\"",
        "\"fly\"",
        "\"moon\"",
        "defaults.initial",
        "defaults.taken",
        "defaults.message",
        "defaults.reopen",
        "\"x y\" can go nowhere",
    ] {
        assert!(kinds.iter().any(|fault| fault.contains(wanted)), "{wanted}: {kinds:#?}");
    }
}

#[test]
fn sizes_end_at_their_limits() {
    let of = |statuses: usize, edges: usize| LifecycleSpec {
        statuses: (0..statuses)
            .map(|place| {
                serde_json::from_value(json!({"name": format!("s{place}"), "category": "open"})).unwrap()
            })
            .collect(),
        edges: (0..edges)
            .map(|place| serde_json::from_value(json!({"from": format!("s{place}"), "to": "s1"})).unwrap())
            .collect(),
        ..LifecycleSpec::default()
    };
    let has =
        |spec: &LifecycleSpec, text: &str| told(&check("x", spec)).iter().any(|fault| fault.contains(text));
    assert!(!has(&of(LIFECYCLE_STATUSES_MAX, 1), "a lifecycle has at most"));
    assert!(has(&of(LIFECYCLE_STATUSES_MAX + 1, 1), "there are 65 statuses; a lifecycle has at most 64"));
    assert!(!has(&of(2, LIFECYCLE_EDGES_MAX), "a lifecycle has at most"));
    assert!(has(&of(2, LIFECYCLE_EDGES_MAX + 1), "there are 1025 edges; a lifecycle has at most 1024"));
}

/// Rows of a plan, as storage makes them.
fn row(id: u32, name: &str, spec: &LifecycleSpec, lifecycles: &Lifecycles) -> LifecycleRow {
    let map = BTreeMap::new();
    let plan = Change { name, spec, map: &map }.plan(lifecycles, &StatusSet::default()).unwrap();
    let statuses = plan.statuses.into_iter().map(|(status, name, category)| StatusRow {
        status,
        name,
        category,
        successor: None,
        is_settled: false,
    });
    LifecycleRow {
        id: LifecycleId(id),
        name: Some(name.to_owned()),
        spec: spec.clone(),
        statuses: statuses.collect(),
    }
}

fn two() -> Lifecycles {
    let built_in = LifecycleRow::built_in();
    let returns = row(2, "returns", &spec(sound()), &Lifecycles::built_in());
    Lifecycles::new(&[built_in, returns], [(QueueId(5), LifecycleId(2))])
}

#[test]
fn statuses_keep_their_indexes_and_new_ones_get_others() {
    let all = two();
    let returns = all.named("returns").unwrap();
    assert_eq!(returns.statuses().iter().map(|status| status.index()).collect::<Vec<_>>(), [6, 7, 8, 9]);
    assert_eq!(all.of_queue(QueueId(5)).name(), "returns");
    assert_eq!(all.of_queue(QueueId(1)).name(), "default");
    let altered = with("/statuses/-", json!({"name": "parked", "category": "on_hold"}));
    let map = BTreeMap::new();
    let change = Change { name: "returns", spec: &altered, map: &map };
    let faults = told(&change.plan(&all, &StatusSet::default()).unwrap_err());
    assert_eq!(faults.len(), 2, "unreachable, and nowhere to go: {faults:?}");
    let mut sound = altered.clone();
    for (from, to) in [("working", "parked"), ("parked", "working")] {
        sound.edges.push(serde_json::from_value(json!({"from": from, "to": to})).unwrap());
    }
    let plan = Change { spec: &sound, ..change }.plan(&all, &StatusSet::default()).unwrap();
    let indexes: Vec<u8> = plan.statuses.iter().map(|(status, ..)| status.index()).collect();
    assert_eq!((indexes.as_slice(), plan.retired.len()), ([6, 7, 8, 9, 10].as_slice(), 0));
}

#[test]
fn removed_statuses_need_a_map_where_tickets_have_them() {
    let all = two();
    let mut smaller = sound();
    smaller["statuses"].as_array_mut().unwrap().remove(2);
    smaller["edges"].as_array_mut().unwrap().drain(1..3);
    let smaller = spec(smaller);
    let waiting = Status::from_index(8);
    let plan = |map: Value, in_use: StatusSet| {
        let map: BTreeMap<String, String> = serde_json::from_value(map).unwrap();
        let change = Change { name: "returns", spec: &smaller, map: &map };
        assert_eq!(change.removed(&all), StatusSet::from(waiting));
        change.plan(&all, &in_use).map(|plan| plan.retired).map_err(|faults| told(&faults))
    };
    let used = StatusSet::from(waiting);
    let working = Status::from_index(7);
    assert_eq!(plan(json!({"waiting": "working"}), used), Ok(vec![(waiting, working)]));
    assert_eq!(plan(json!({}), StatusSet::default()), Ok(vec![(waiting, working)]), "the like of it");
    for (map, wanted) in [
        (
            json!({}),
            "tickets have the status \"waiting\", which is removed; say in map which of triage, working, done",
        ),
        (json!({"waiting": "gone"}), "map gives \"gone\" to tickets of \"waiting\"; expected one of"),
        (json!({"waiting": "done", "triage": "done"}), "map names \"triage\", which is not removed"),
    ] {
        let faults = plan(map, used).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:?}");
    }
}

#[test]
fn closed_stays_closed() {
    let all = two();
    let mut other = sound();
    other["statuses"][3] = json!({"name": "over", "category": "closed"});
    other["edges"][3]["to"] = json!("over");
    let renamed = spec(other);
    let done = StatusSet::from(Status::from_index(9));
    let faults = |map: Value| {
        let map = serde_json::from_value(map).unwrap();
        told(
            &Change { name: "returns", spec: &renamed, map: &map }
                .plan(&all, &done)
                .err()
                .unwrap_or_default(),
        )
    };
    assert_eq!(faults(json!({"done": "over"})), Vec::<String>::new());
    assert!(
        faults(json!({"done": "working"}))[0].contains("closed is final: expected one of category closed")
    );
    let mut reopened = sound();
    reopened["statuses"][3]["category"] = json!("solved");
    let map = BTreeMap::new();
    let change = Change { name: "returns", spec: &spec(reopened), map: &map };
    let faults = told(&change.plan(&all, &done).unwrap_err());
    assert!(faults.iter().any(|fault| fault.contains("\"done\" was of category closed")), "{faults:?}");
}

#[test]
fn maps_from_other_lifecycles_name_what_is_there() {
    let all = two();
    let plan = |from: Value| {
        let mut altered = sound();
        altered["from"] = from;
        let map = BTreeMap::new();
        let spec = spec(altered);
        let change = Change { name: "returns", spec: &spec, map: &map };
        change.plan(&all, &StatusSet::default()).map(|_| ()).map_err(|faults| told(&faults))
    };
    assert_eq!(plan(json!({"default": {"new": "triage", "closed": "done"}})), Ok(()));
    for (from, wanted) in [
        (json!({"nothing": {}}), "from.nothing: there is no such other lifecycle"),
        (json!({"returns": {}}), "from.returns: there is no such other lifecycle"),
        (json!({"default": {"lost": "triage"}}), "the other lifecycle has no such status"),
        (json!({"default": {"new": "lost"}}), "this lifecycle has no such status"),
        (json!({"default": {"closed": "triage"}}), "closed is final"),
    ] {
        let faults = plan(from).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:?}");
    }
}

#[test]
fn a_queue_gets_another_lifecycle_by_a_whole_map() {
    let all = two();
    let (from, to) = (all.named("default").unwrap(), all.named("returns").unwrap());
    let used: StatusSet = [0, 5].map(Status::from_index).into_iter().collect();
    let plan = |map: Value| {
        let map = serde_json::from_value(map).unwrap();
        QueueChange { from, to, map: &map }.plan(&all, &used).map_err(|faults| told(&faults))
    };
    let pairs = plan(json!({"new": "triage", "closed": "done"})).unwrap();
    let indexes: Vec<(u8, u8)> = pairs.iter().map(|(from, to)| (from.index(), to.index())).collect();
    assert_eq!(indexes, [(0, 6), (1, 7), (2, 8), (3, 7), (4, 7), (5, 9)]);
    for (map, wanted) in [
        (json!({"new": "triage"}), "tickets have the status \"closed\""),
        (json!({"new": "lost", "closed": "done"}), "map gives \"lost\" to tickets of \"new\""),
        (json!({"lost": "done", "new": "triage", "closed": "done"}), "map names \"lost\""),
        (json!({"new": "triage", "closed": "working"}), "closed is final"),
    ] {
        let faults = plan(map).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{wanted}: {faults:?}");
    }
}

#[test]
fn a_tenant_has_256_statuses_and_takes_old_indexes_last() {
    let mut rows = vec![LifecycleRow::built_in()];
    let big = |prefix: &str, count: usize| {
        let mut big = sound();
        for place in 0..count - 4 {
            let name = format!("{prefix}{place}");
            big["statuses"].as_array_mut().unwrap().push(json!({"name": name, "category": "open"}));
            for (from, to) in [("working", name.as_str()), (name.as_str(), "working")] {
                big["edges"].as_array_mut().unwrap().push(json!({"from": from, "to": to}));
            }
        }
        spec(big)
    };
    for (id, count) in [(2, 64), (3, 64), (4, 64), (5, 58)] {
        let all = Lifecycles::new(&rows, []);
        let name = ["a", "b", "c", "d"][id as usize - 2];
        rows.push(row(id, name, &big("s", count), &all));
    }
    let all = Lifecycles::new(&rows, []);
    assert_eq!(all.known().count(), Status::MAX);
    let map = BTreeMap::new();
    let four = spec(sound());
    let change = Change { name: "e", spec: &four, map: &map };
    let faults = told(&change.plan(&all, &StatusSet::default()).unwrap_err());
    assert!(faults[0].contains("no place for 4 new statuses: 0 of 256"), "{faults:?}");
    // The last lifecycle is deleted: its places are free once no ticket has its statuses.
    rows[4].name = None;
    for status in &mut rows[4].statuses {
        status.successor = Some(Status::from_index(5));
    }
    let retiring = Lifecycles::new(&rows, []);
    assert_eq!((retiring.retiring().count(), retiring.current(Status::from_index(255)).index()), (58, 5));
    assert!(change.plan(&retiring, &StatusSet::default()).is_err());
    rows[4].statuses.iter_mut().for_each(|status| status.is_settled = true);
    let settled = Lifecycles::new(&rows, []);
    let plan = change.plan(&settled, &StatusSet::default()).unwrap();
    assert_eq!(plan.statuses[0].0.index(), 198, "the first of those that are free again");
}

#[test]
fn a_tenant_has_no_more_lifecycles_than_its_limit() {
    let mut rows = vec![LifecycleRow::built_in()];
    for id in 2..=u32::try_from(LIFECYCLES_MAX).unwrap() {
        let all = Lifecycles::new(&rows, []);
        rows.push(row(id, &format!("l{}", "x".repeat(id as usize - 2)), &spec(sound()), &all));
    }
    let all = Lifecycles::new(&rows, []);
    let map = BTreeMap::new();
    let spec = spec(sound());
    let faults = Change { name: "more", spec: &spec, map: &map }.plan(&all, &StatusSet::default());
    assert_eq!(faults.unwrap_err(), [Fault::TooManyLifecycles]);
    assert!(Change { name: "l", spec: &spec, map: &map }.plan(&all, &StatusSet::default()).is_ok());
}
