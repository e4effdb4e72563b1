//! Agents whom a text names: `@ana`.

use crate::id::AgentId;
use crate::limits::{MENTION_SIGNS_MAX, MENTIONS_MAX};

/// The agents whom `text` names, each once, at most [`MENTIONS_MAX`]. A name follows an `@` that is not within a word,
/// as that of an address is, and ends where a word ends; letters' case does not count, and of several names the longest
/// is meant. Of very many signs the first [`MENTION_SIGNS_MAX`] are looked at.
pub fn mentions<'a>(text: &str, agents: impl Iterator<Item = (AgentId, &'a str)> + Clone) -> Vec<AgentId> {
    let mut found: Vec<AgentId> = Vec::new();
    let signs = text.match_indices('@').filter(|(at, _)| !text[..*at].ends_with(is_of_word));
    for (at, sign) in signs.take(MENTION_SIGNS_MAX) {
        let rest = &text[at + sign.len()..];
        let named = agents.clone().filter(|(_, name)| begins_with(rest, name));
        let named = named.max_by_key(|(_, name)| name.len()).map(|(agent, _)| agent);
        if let Some(agent) = named.filter(|agent| !found.contains(agent)) {
            found.push(agent);
            if found.len() == MENTIONS_MAX {
                break;
            }
        }
    }
    found
}

/// A character before an `@` that makes it one of an address.
fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || "._-+@".contains(character)
}

/// Whether `text` begins with `name`, and a word ends there.
fn begins_with(text: &str, name: &str) -> bool {
    let mut rest = text.chars();
    for wanted in name.chars() {
        let is_same = |found: char| found == wanted || found.to_lowercase().eq(wanted.to_lowercase());
        if !rest.next().is_some_and(is_same) {
            return false;
        }
    }
    !name.is_empty() && !rest.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_meant() {
        let agents = [(1, "ana"), (2, "Ana Lee"), (3, "李雷"), (4, "o.b"), (5, "an")];
        let named = |text: &str| -> Vec<u32> {
            let agents = agents.iter().map(|(agent, name)| (AgentId(*agent), *name));
            mentions(text, agents).into_iter().map(|agent| agent.0).collect()
        };
        for (text, wanted) in [
            ("@ana, look", vec![1]),
            ("(@ANA) and @ana", vec![1]),
            ("@ana lee and @ana leek", vec![2, 1]),
            ("请@李雷看", vec![]),
            ("请 @李雷 看", vec![3]),
            ("@o.b.", vec![4]),
            ("@an @anna @ana-lee", vec![5, 1]),
            ("kim@ana, me.@ana, @@ana", vec![]),
            ("@", vec![]),
            ("ana", vec![]),
        ] {
            assert_eq!(named(text), wanted, "{text}");
        }
    }

    #[test]
    fn they_are_bounded() {
        let names: Vec<String> = (0..200).map(|number| format!("agent {number}")).collect();
        let agents = (1..).map(AgentId).zip(names.iter().map(String::as_str));
        let text: String = names.iter().map(|name| format!("@{name} ")).collect();
        assert_eq!(mentions(&text, agents.clone()).len(), MENTIONS_MAX);
        let late = " @nobody".repeat(MENTION_SIGNS_MAX) + " @agent 1";
        assert!(mentions(&late, agents).is_empty());
    }
}
