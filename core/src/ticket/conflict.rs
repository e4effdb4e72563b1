//! Field-level merge: whether what a command changes was changed by others since its author looked.
//!
//! Changes of different fields commute, so a command goes through although others have changed the ticket; a change of
//! the same field to another value is a conflict, which only its author can decide.

use serde_json::{Map, Value};

use super::{Actor, Command, Kind, Patch, StoredEvent};
use crate::id::Version;
use crate::time::Timestamp;

/// Two changes of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldConflict {
    /// Which: `status`, `fields.order_no`.
    pub field: String,
    /// What it is now; `null` for none.
    pub theirs: Value,
    /// What it was to become.
    pub yours: Value,
    /// Who changed it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// With which version of the ticket.
    pub version: Version,
}

/// A field by its names from the ticket on, and its new value.
type FieldChange = (Vec<String>, Value);

/// The newest change among `events`, oldest first, that `command` would overwrite with another value. `patch` is what
/// the command changes of the ticket's details.
#[must_use]
pub fn find_conflict(command: &Command<'_>, patch: &Patch, events: &[StoredEvent]) -> Option<FieldConflict> {
    let wanted = changes_of_command(command, patch);
    if wanted.is_empty() {
        return None;
    }
    // The newest change of a field is what it is now.
    let mut decided: Vec<Vec<String>> = Vec::new();
    for event in events.iter().rev() {
        for (field, theirs) in changes_of_event(event) {
            if decided.contains(&field) {
                continue;
            }
            let yours = wanted.iter().find(|(own, _)| own.starts_with(&field) || field.starts_with(own));
            if let Some((own, yours)) = yours
                && (*own != field || *yours != theirs)
            {
                return Some(FieldConflict {
                    field: field.join("."),
                    theirs,
                    yours: yours.clone(),
                    by: event.actor,
                    at: event.at,
                    version: event.version,
                });
            }
            decided.push(field);
        }
    }
    None
}

fn changes_of_command(command: &Command<'_>, patch: &Patch) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut change = |field: &str, value: Value| changes.push((vec![field.to_owned()], value));
    match command {
        Command::Set { subject, priority, queue, status, .. } => {
            if let Some(subject) = subject {
                change("subject", subject.decode().into());
            }
            if let Some(priority) = priority {
                change("priority", priority.name().into());
            }
            if let Some(queue) = queue {
                change("queue", queue.0.into());
            }
            if let Some(status) = status {
                change("status", status.decode().into());
            }
        }
        Command::Move { to } | Command::Reply { status: Some(to), .. } => {
            change("status", to.decode().into())
        }
        Command::Assign { agent } => change("assignee", agent.0.into()),
        // Claims and releases are decided by fences.
        _ => {}
    }
    flatten(&mut Vec::new(), patch.members(), &mut changes);
    changes
}

fn changes_of_event(event: &StoredEvent) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    if event.kind == Kind::Released {
        changes.push((vec!["assignee".to_owned()], Value::Null));
    }
    // It was JSON when it was written.
    let Ok(Value::Object(mut data)) = serde_json::from_str(&event.data) else { return changes };
    for beside in ["text", "from", "fence", "attachment", "html", "mentions", "erased"] {
        data.remove(beside);
    }
    if let Some(agent) = data.remove("agent") {
        data.insert("assignee".to_owned(), agent);
    }
    flatten(&mut Vec::new(), &data, &mut changes);
    changes
}

/// Each value that is no object, by the names that lead to it.
fn flatten(path: &mut Vec<String>, members: &Map<String, Value>, into: &mut Vec<FieldChange>) {
    for (name, value) in members {
        path.push(name.clone());
        match value {
            Value::Object(members) => flatten(path, members, into),
            value => into.push((path.clone(), value.clone())),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{FieldSet, Followers, Request, Route};
    use super::*;
    use crate::id::{AgentId, Offset, TicketId};

    fn event(version: u32, kind: Kind, data: Value) -> StoredEvent {
        StoredEvent {
            offset: Offset(u64::from(version)),
            ticket: TicketId(1),
            version: Version(version),
            kind,
            actor: Actor::Agent(AgentId(2)),
            at: Timestamp(17),
            route: Route::default(),
            followers: Followers::default(),
            data: data.to_string(),
        }
    }

    fn fields() -> FieldSet {
        let defs = json!([
            {"key": "size", "name": "Size", "type": "number"},
            {"key": "colours", "name": "Colours", "type": "multi_choice", "choices": ["red", "blue"]},
        ]);
        FieldSet::new(serde_json::from_value(defs).unwrap())
    }

    fn conflict(command: Value, events: &[StoredEvent]) -> Option<FieldConflict> {
        let text = command.to_string();
        let request = Request::parse(text.as_bytes()).unwrap();
        let patch = match request.command {
            Command::Set { details, .. } => details.check(&fields()).unwrap(),
            _ => Patch::default(),
        };
        find_conflict(&request.command, &patch, events)
    }

    #[test]
    fn the_same_field_is_a_conflict_and_others_are_none() {
        let set = |data: Value| vec![event(2, Kind::Set, data)];
        let moved = vec![event(2, Kind::Moved, json!({"from": "open", "status": "solved"}))];
        let assigned =
            vec![event(2, Kind::Assigned, json!({"agent": 3, "fence": 1, "from": "new", "status": "open"}))];
        let released = vec![event(2, Kind::Released, json!({}))];
        let said =
            vec![event(2, Kind::Message, json!({"text": "x"})), event(3, Kind::Note, json!({"text": "y"}))];
        let cases = [
            (json!({"type": "set", "priority": "high"}), set(json!({"priority": "low"})), Some("priority")),
            (json!({"type": "set", "priority": "high"}), set(json!({"priority": "high"})), None),
            (json!({"type": "set", "priority": "high"}), set(json!({"subject": "b", "queue": 2})), None),
            (json!({"type": "set", "subject": "a"}), set(json!({"subject": "b"})), Some("subject")),
            (json!({"type": "set", "tags": {"x": true}}), set(json!({"tags": {"y": true}})), None),
            (json!({"type": "set", "tags": {"x": true}}), set(json!({"tags": {"x": null}})), Some("tags.x")),
            (json!({"type": "set", "tags": {"x": null}}), set(json!({"tags": {"x": null}})), None),
            (
                json!({"type": "set", "fields": {"size": 3}}),
                set(json!({"fields": {"size": 4}})),
                Some("fields.size"),
            ),
            (
                json!({"type": "set", "fields": {"colours": {"red": true}}}),
                set(json!({"fields": {"colours": {"blue": true}}})),
                None,
            ),
            (
                json!({"type": "set", "fields": {"colours": {"red": true}}}),
                set(json!({"fields": {"colours": null}})),
                Some("fields.colours"),
            ),
            (json!({"type": "set", "due_at": 5}), set(json!({"due_at": null})), Some("due_at")),
            (json!({"type": "move", "to": "pending"}), moved.clone(), Some("status")),
            (json!({"type": "move", "to": "solved"}), moved.clone(), None),
            (json!({"type": "move", "to": "pending"}), set(json!({"priority": "low"})), None),
            (json!({"type": "reply", "text": "a", "status": "pending"}), moved.clone(), Some("status")),
            (json!({"type": "reply", "text": "a"}), moved, None),
            (json!({"type": "assign", "agent": 4}), assigned.clone(), Some("assignee")),
            (json!({"type": "assign", "agent": 3}), assigned.clone(), None),
            (json!({"type": "claim"}), assigned.clone(), None),
            (json!({"type": "assign", "agent": 4}), released, Some("assignee")),
            (json!({"type": "set", "priority": "high"}), said, None),
            (json!({"type": "note", "text": "a"}), assigned, None),
        ];
        for (command, events, wanted) in cases {
            let found = conflict(command.clone(), &events);
            assert_eq!(found.map(|found| found.field).as_deref(), wanted, "{command} {events:?}");
        }
    }

    #[test]
    fn a_conflict_tells_both_values_and_whose_the_other_is() {
        let events = [
            event(2, Kind::Set, json!({"priority": "low"})),
            event(3, Kind::Set, json!({"priority": "urgent", "tags": {"a": true}})),
            event(4, Kind::Set, json!({"subject": "b"})),
        ];
        let found = conflict(json!({"type": "set", "priority": "high"}), &events).unwrap();
        let wanted = FieldConflict {
            field: "priority".to_owned(),
            theirs: json!("urgent"),
            yours: json!("high"),
            by: Actor::Agent(AgentId(2)),
            at: Timestamp(17),
            version: Version(3),
        };
        assert_eq!(found, wanted);
        // What was changed back to what the command wants is none.
        assert_eq!(conflict(json!({"type": "set", "priority": "urgent"}), &events), None);
    }
}
