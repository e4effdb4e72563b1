//! Merge patches (RFC 7396): how events say what they change of a ticket's `extra` object.

use serde_json::{Map, Value};

/// Applies `patch` to `target`: RFC 7396, section 2. `null` removes a member.
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            match value {
                Value::Null => drop(target.remove(&name)),
                value => merge_patch(target.entry(name).or_insert(Value::Null), value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn as_in_the_rfc() {
        // Appendix A, the cases that an object's patch can meet.
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": "foo"}), json!({"a": {"b": "c"}}), json!({"a": {"b": "c"}})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut target, patch, wanted) in cases {
            merge_patch(&mut target, patch);
            assert_eq!(target, wanted);
        }
    }

    /// A patch of members of the sets that a ticket has, and of single values.
    fn patches(names: &'static str) -> impl Strategy<Value = Value> {
        let value = prop_oneof![Just(Value::Null), Just(json!(true)), any::<u32>().prop_map(Value::from)];
        let set = prop_oneof![Just("tags"), Just("fields"), Just("followers")];
        prop::collection::vec((set, names, value), 0..8).prop_map(|members| {
            let mut patch = json!({});
            for (set, name, value) in members {
                patch[set][name] = value;
            }
            patch
        })
    }

    proptest! {
        #[test]
        fn changes_to_different_members_commute(
            start in patches("[a-d]"),
            one in patches("[ab]"),
            other in patches("[cd]"),
        ) {
            let both = |first: &Value, second: &Value| {
                let mut target = json!({});
                for patch in [&start, first, second] {
                    merge_patch(&mut target, patch.clone());
                }
                target
            };
            prop_assert_eq!(both(&one, &other), both(&other, &one));
        }

        #[test]
        fn applied_again_it_changes_nothing(start in patches("[a-d]"), patch in patches("[a-d]")) {
            let mut once = start;
            merge_patch(&mut once, patch.clone());
            let mut twice = once.clone();
            merge_patch(&mut twice, patch);
            prop_assert_eq!(once, twice);
        }
    }
}
