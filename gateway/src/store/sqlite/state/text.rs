//! The part of a ticket that is as long as people make it: in storage, with what has changed since in memory.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::Value;
use waggle_core::id::{Offset, TicketId};
use waggle_core::ticket::{merge_patch, redact_patch};

/// A ticket's texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TicketText {
    /// Of the newest event that changed them.
    pub(super) newest: Offset,
    pub(super) subject: String,
    pub(super) requester: String,
    pub(super) follow_up_of: Option<TicketId>,
    /// A JSON object.
    pub(super) extra: String,
}

/// What events have changed of a ticket's texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store::sqlite) struct TextChange {
    /// Of the newest of the events.
    pub(super) newest: Offset,
    /// Where it is new: who asked, and the ticket that it follows.
    pub(super) created: Option<(String, Option<TicketId>)>,
    pub(super) subject: Option<String>,
    /// RFC 7396 merge patches of `extra`, in order. Two cannot be made one: a member that was removed and
    /// then given an object again has nothing of the old one.
    pub(super) patches: Vec<Vec<u8>>,
    /// Whether all that people wrote before goes.
    pub(super) erases: bool,
}

impl TicketText {
    fn erase(&mut self) {
        self.subject.clear();
        self.requester.clear();
        self.extra = redact_patch(&self.extra).unwrap_or_else(|| std::mem::take(&mut self.extra));
    }
}

impl TextChange {
    pub(super) fn is_empty(&self) -> bool {
        self.created.is_none() && self.subject.is_none() && self.patches.is_empty() && !self.erases
    }

    /// Roughly what it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        let requester = self.created.as_ref().map_or(0, |(requester, _)| requester.len());
        let patches: usize = self.patches.iter().map(|patch| patch.len() + size_of::<Vec<u8>>()).sum();
        size_of::<Self>() + requester + self.subject.as_ref().map_or(0, String::len) + patches
    }

    /// This change, and then `later`.
    pub(super) fn extend(&mut self, later: TextChange) {
        self.newest = later.newest;
        if later.erases {
            self.erase();
        }
        self.created = self.created.take().or(later.created);
        self.subject = later.subject.or_else(|| self.subject.take());
        self.patches.extend(later.patches);
    }

    /// What is pending of before goes, too.
    fn erase(&mut self) {
        self.erases = true;
        if let Some((requester, _)) = &mut self.created {
            requester.clear();
        }
        self.subject = self.subject.take().map(|_| String::new());
        for patch in &mut self.patches {
            if let Some(left) = redact_patch(&String::from_utf8_lossy(patch)) {
                *patch = left.into_bytes();
            }
        }
    }

    /// The texts after the change; one that they have already changes nothing.
    pub(super) fn apply(self, stored: Option<TicketText>) -> Option<TicketText> {
        let mut text = match (stored, self.created) {
            (Some(stored), _) if stored.newest >= self.newest => return Some(stored),
            (Some(stored), _) => stored,
            (None, Some((requester, follow_up_of))) => TicketText {
                newest: self.newest,
                subject: String::new(),
                requester,
                follow_up_of,
                extra: "{}".to_owned(),
            },
            (None, None) => return None,
        };
        text.newest = self.newest;
        if self.erases {
            text.erase();
        }
        text.subject = self.subject.unwrap_or(text.subject);
        if !self.patches.is_empty() {
            text.extra = patched(&text.extra, &self.patches);
        }
        Some(text)
    }
}

fn patched(extra: &str, patches: &[Vec<u8>]) -> String {
    // Both were JSON when they were written.
    let mut value: Value = serde_json::from_str(extra).unwrap_or_default();
    for patch in patches {
        merge_patch(&mut value, serde_json::from_slice(patch).unwrap_or_default());
    }
    value.to_string()
}

/// Changes that are not in storage yet.
#[derive(Debug, Default)]
pub(super) struct PendingTexts {
    current: FxHashMap<TicketId, TextChange>,
    bytes: usize,
    /// Those that are being written.
    flushing: Arc<FxHashMap<TicketId, TextChange>>,
}

impl PendingTexts {
    pub(super) fn add(&mut self, ticket: TicketId, change: TextChange) {
        self.bytes += change.bytes();
        match self.current.entry(ticket) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut().extend(change),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(change);
            }
        }
    }

    /// Roughly what is not in storage.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What has changed of a ticket's texts beyond storage. Ask before reading storage: what is written
    /// meanwhile is then known by its offset.
    pub(super) fn of(&self, ticket: TicketId) -> TextChange {
        let mut change = self.flushing.get(&ticket).cloned().unwrap_or_default();
        if let Some(current) = self.current.get(&ticket) {
            change.extend(current.clone());
        }
        change
    }

    /// Begins to write: all that has changed so far.
    pub(super) fn begin(&mut self) -> Arc<FxHashMap<TicketId, TextChange>> {
        debug_assert!(self.flushing.is_empty(), "one flush at a time");
        self.flushing = Arc::new(std::mem::take(&mut self.current));
        self.bytes = 0;
        Arc::clone(&self.flushing)
    }

    /// Storage has what was begun.
    pub(super) fn finish(&mut self) {
        self.flushing = Arc::default();
    }

    /// Storage has nothing of what was begun: it is pending again.
    pub(super) fn give_back(&mut self) {
        let flushing = std::mem::take(&mut self.flushing);
        let mut all = Arc::unwrap_or_clone(flushing);
        for (ticket, change) in self.current.drain() {
            all.entry(ticket).or_default().extend(change);
        }
        self.bytes = all.values().map(TextChange::bytes).sum();
        self.current = all;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(offset: u64, json: &str) -> TextChange {
        TextChange { newest: Offset(offset), patches: vec![json.into()], ..TextChange::default() }
    }

    fn created() -> TextChange {
        let created = Some(("ana".to_owned(), None));
        let subject = Some("card".to_owned());
        TextChange { newest: Offset(1), created, subject, ..TextChange::default() }
    }

    #[test]
    fn a_change_that_storage_has_already_changes_nothing() {
        let text = created().apply(None).unwrap();
        let text = patch(2, r#"{"tags":{"vip":true}}"#).apply(Some(text)).unwrap();
        assert_eq!((text.subject.as_str(), text.extra.as_str()), ("card", r#"{"tags":{"vip":true}}"#));
        let again = patch(2, r#"{"tags":{"vip":null}}"#).apply(Some(text.clone()));
        assert_eq!(again, Some(text));
    }

    #[test]
    fn what_is_erased_is_nowhere_whether_it_was_written_or_not() {
        let erase = || TextChange { newest: Offset(3), erases: true, ..TextChange::default() };
        let tag = || patch(2, r#"{"tags":{"kim":true},"due_at":5}"#);
        let wanted = TicketText {
            newest: Offset(4),
            subject: String::new(),
            requester: String::new(),
            follow_up_of: None,
            extra: r#"{"due_at":5,"tags":{"new":true}}"#.to_owned(),
        };
        // Written before, and by which of the changes.
        for written in 0..4 {
            let mut changes = [created(), tag(), erase(), patch(4, r#"{"tags":{"new":true}}"#)].into_iter();
            let mut stored = None;
            for change in changes.by_ref().take(written) {
                stored = change.apply(stored);
            }
            let mut pending = PendingTexts::default();
            changes.for_each(|change| pending.add(TicketId(1), change));
            let rest = pending.of(TicketId(1));
            assert!(
                !format!("{rest:?}").contains("kim") && !format!("{rest:?}").contains("card"),
                "{rest:?}"
            );
            assert_eq!(rest.apply(stored), Some(wanted.clone()), "{written}");
        }
    }

    #[test]
    fn what_is_pending_is_in_order_whatever_a_flush_does() {
        let mut pending = PendingTexts::default();
        pending.add(TicketId(1), created());
        pending.add(TicketId(1), patch(2, r#"{"a":{"x":1}}"#));
        pending.begin();
        pending.add(TicketId(1), patch(3, r#"{"a":null}"#));
        pending.add(TicketId(1), patch(4, r#"{"a":{"y":2}}"#));
        let before = pending.of(TicketId(1)).apply(None).unwrap();
        assert_eq!((before.extra.as_str(), before.newest), (r#"{"a":{"y":2}}"#, Offset(4)));
        pending.give_back();
        assert_eq!(pending.of(TicketId(1)).apply(None).unwrap(), before);
        assert_eq!(pending.bytes(), pending.of(TicketId(1)).bytes());
        pending.begin();
        pending.finish();
        assert!(pending.of(TicketId(1)).is_empty());
    }
}
