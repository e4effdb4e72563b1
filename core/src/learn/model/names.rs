//! Intents by name. One that an agent's reply has founded has none until somebody says what its messages want.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::id::Offset;
use crate::learn::intent::IntentId;
use crate::limits::{INTENT_ALIASES_MAX, INTENT_NAME_BYTES_MAX, INTENTS_MAX, UNNAMED_INTENTS_MAX};

/// What messages are of that want nothing which is known.
pub(super) const NONE: IntentId = IntentId(0);

/// An intent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: Option<String>,
    /// Offset of the event that founded it, by which it is called while it has no name: the same in each fold.
    pub(super) founded: Offset,
    /// Lessons that taught it.
    pub(super) lessons: u32,
    /// Number of the newest of them.
    pub(super) newest: u64,
    /// Names that its messages were given, while it has none.
    pub(super) votes: BTreeMap<IntentId, u32>,
}

/// All intents of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    next: u32,
    pub(super) entries: BTreeMap<IntentId, Entry>,
    /// By name without case, those that were merged included.
    by_name: BTreeMap<String, IntentId>,
}

impl Default for Names {
    fn default() -> Self {
        Self { next: NONE.0 + 1, entries: BTreeMap::new(), by_name: BTreeMap::new() }
    }
}

/// A name as it is shown: composed, single spaces, no control characters; nothing where none is left.
pub(super) fn tidy(name: &str) -> Option<String> {
    let clean: String = name.nfc().filter(|c| !c.is_control()).collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    let joined = words.join(" ");
    // `#17` is how an intent without a name is shown.
    let name = joined.trim_start_matches(['#', ' ']);
    let name = name.get(..name.floor_char_boundary(INTENT_NAME_BYTES_MAX)).unwrap_or_default().trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

impl Names {
    pub(super) fn find(&self, name: &str) -> Option<IntentId> {
        if let Some(number) = name.trim().strip_prefix('#') {
            let founded = Offset(number.parse().ok()?);
            let is_it = |entry: &Entry| entry.name.is_none() && entry.founded == founded;
            return self.entries.iter().find(|(_, entry)| is_it(entry)).map(|(intent, _)| *intent);
        }
        let known = tidy(name).and_then(|name| self.by_name.get(&name.to_lowercase()).copied());
        known.filter(|intent| self.entries.contains_key(intent))
    }

    /// As it is shown.
    pub(super) fn name(&self, intent: IntentId) -> String {
        let Some(entry) = self.entries.get(&intent) else { return "#0".to_owned() };
        entry.name.clone().unwrap_or_else(|| format!("#{}", entry.founded))
    }

    pub(super) fn is_named(&self, intent: IntentId) -> bool {
        self.entries.get(&intent).is_some_and(|entry| entry.name.is_some())
    }

    /// A new intent of this name; nothing where there are as many as there may be.
    pub(super) fn create(&mut self, name: &str) -> Option<IntentId> {
        // That is how one without a name is called.
        if name.trim().starts_with('#') {
            return None;
        }
        let name = tidy(name)?;
        if self.is_full() {
            return None;
        }
        let intent = self.add(Some(name.clone()), Offset(0))?;
        self.by_name.insert(name.to_lowercase(), intent);
        Some(intent)
    }

    /// A new intent without a name.
    pub(super) fn found(&mut self, at: Offset) -> Option<IntentId> {
        self.add(None, at)
    }

    /// The one without a name that is to be forgotten so that another one may come.
    pub(super) fn stalest(&self) -> Option<IntentId> {
        let unnamed = || self.entries.iter().filter(|(_, entry)| entry.name.is_none());
        let oldest = unnamed().min_by_key(|(intent, entry)| (entry.newest, **intent));
        oldest.map(|(intent, _)| *intent).filter(|_| unnamed().count() >= UNNAMED_INTENTS_MAX)
    }

    fn add(&mut self, name: Option<String>, founded: Offset) -> Option<IntentId> {
        let intent = IntentId(self.next);
        self.next = self.next.checked_add(1)?;
        self.entries.insert(intent, Entry { name, founded, ..Entry::default() });
        Some(intent)
    }

    /// Gives it another name; the old one is free, those of intents that were merged into it stay. False where it has no name
    /// yet and there are as many with one as there may be.
    pub(super) fn rename(&mut self, intent: IntentId, name: String) -> bool {
        if !self.is_named(intent) && self.is_full() {
            return false;
        }
        let Some(entry) = self.entries.get_mut(&intent) else { return false };
        if let Some(old) = entry.name.replace(name.clone()) {
            self.by_name.remove(&old.to_lowercase());
        }
        self.by_name.insert(name.to_lowercase(), intent);
        true
    }

    /// Whether there are as many intents with a name as there may be.
    fn is_full(&self) -> bool {
        let named = self.entries.values().filter(|entry| entry.name.is_some()).count();
        named >= INTENTS_MAX - UNNAMED_INTENTS_MAX - 1
    }

    /// Its names are names of another one from now on.
    pub(super) fn merge(&mut self, from: IntentId, into: IntentId) {
        let Some(gone) = self.entries.remove(&from) else { return };
        self.by_name.values_mut().filter(|known| **known == from).for_each(|known| *known = into);
        for entry in self.entries.values_mut() {
            if let Some(votes) = entry.votes.remove(&from) {
                *entry.votes.entry(into).or_default() += votes;
            }
        }
        if let Some(entry) = self.entries.get_mut(&into) {
            entry.lessons = entry.lessons.saturating_add(gone.lessons);
            entry.newest = entry.newest.max(gone.newest);
            // A name stays, whichever way it was merged.
            if entry.name.is_none() {
                entry.name = gone.name;
            }
        }
        if self.by_name.len() > INTENT_ALIASES_MAX {
            let shown =
                self.entries.get(&into).and_then(|entry| entry.name.as_ref()).map(|name| name.to_lowercase());
            self.by_name.retain(|name, known| *known != into || Some(name) == shown.as_ref());
        }
    }

    pub(super) fn remove(&mut self, intent: IntentId) {
        self.entries.remove(&intent);
        self.by_name.retain(|_, known| *known != intent);
        self.entries.values_mut().for_each(|entry| {
            entry.votes.remove(&intent);
        });
    }

    /// Counts a message for an intent, and no longer for the one that it was taken for before.
    pub(super) fn count(&mut self, before: Option<IntentId>, intent: IntentId, lesson: u64) {
        if before != Some(intent) {
            let gone = before.and_then(|before| self.entries.get_mut(&before));
            gone.into_iter().for_each(|entry| entry.lessons = entry.lessons.saturating_sub(1));
        }
        if let Some(entry) = self.entries.get_mut(&intent) {
            entry.lessons = entry.lessons.saturating_add(u32::from(before != Some(intent)));
            entry.newest = lesson;
        }
    }

    /// Takes note that a message of one without a name was said to be of `named`; tells how many were, and how many messages it
    /// has had, those that are gone included.
    pub(super) fn vote(&mut self, unnamed: IntentId, named: IntentId) -> (u32, u32) {
        let Some(entry) = self.entries.get_mut(&unnamed) else { return (0, 0) };
        let others: u32 = entry.votes.values().sum();
        let votes = entry.votes.entry(named).or_default();
        *votes = votes.saturating_add(1);
        (*votes, entry.lessons.saturating_add(others))
    }

    /// Takes such a note back: the message is of another one after all.
    pub(super) fn take_back_vote(&mut self, unnamed: IntentId, named: IntentId) {
        if let Some(entry) = self.entries.get_mut(&unnamed)
            && let Some(votes) = entry.votes.get_mut(&named)
        {
            *votes = votes.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_with_a_name_than_there_may_be() {
        let most = INTENTS_MAX - UNNAMED_INTENTS_MAX - 1;
        let mut names = Names::default();
        for number in 0..most - 1 {
            assert!(names.create(&format!("n{number}")).is_some());
        }
        let unnamed: Vec<IntentId> = (1..=3).filter_map(|at| names.found(Offset(at))).collect();
        assert!(names.rename(unnamed[0], "last".to_owned()), "there is room for one");
        assert!(!names.rename(unnamed[1], "more".to_owned()) && names.create("more").is_none());
        assert_eq!((names.find("more"), names.find("#2")), (None, Some(unnamed[1])));
        assert!(names.rename(unnamed[0], "Last".to_owned()), "another name is no further one");
        assert_eq!(names.entries.values().filter(|entry| entry.name.is_some()).count(), most);
    }

    #[test]
    fn the_name_that_is_shown_stays_where_there_are_too_many() {
        let mut names = Names::default();
        let kept = names.create("kept").unwrap();
        for number in 1..INTENT_ALIASES_MAX {
            let gone = names.create(&format!("n{number}")).unwrap();
            names.merge(gone, kept);
        }
        let (unnamed, named) = (names.found(Offset(1)).unwrap(), names.create("last").unwrap());
        names.merge(named, unnamed);
        assert_eq!((names.name(unnamed).as_str(), names.find("last")), ("last", Some(unnamed)));
    }

    #[test]
    fn a_new_name_keeps_those_that_were_merged_and_frees_the_old_one() {
        let mut names = Names::default();
        let [kept, gone] = ["refund", "money back"].map(|name| names.create(name).unwrap());
        names.merge(gone, kept);
        assert!(names.rename(kept, "Refunds".to_owned()));
        assert_eq!(
            ["refunds", "Money Back", "refund"].map(|name| names.find(name)),
            [Some(kept), Some(kept), None]
        );
        assert!(names.rename(kept, "money back".to_owned()), "one of its own names");
        assert_eq!(["money back", "refunds"].map(|name| names.find(name)), [Some(kept), None]);
    }
}
