//! What must hold: knows every answer that left the gateway, and every log that there was.

use std::collections::BTreeMap;
use std::sync::Arc;

use waggle_core::id::{Cursor, Epoch, Fence, Offset, TenantId};
use waggle_core::right::{Right, Rights};
use waggle_core::ticket::{Actor, Entry, Expect, Intent, Kind};

use crate::store::{CommitEvent, Key, Logged, Row, Store};

/// What an author gave with a command, and who it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) actor: Actor,
    pub(crate) rights: Rights,
    pub(crate) expect: Expect,
    pub(crate) fence: Option<Fence>,
    /// None for create.
    pub(crate) intent: Option<Intent>,
}

#[derive(Default)]
pub(crate) struct Model {
    /// Answers that left the gateway, by place in a log: the bytes.
    answered: BTreeMap<(TenantId, Offset), Arc<Entry>>,
    /// The one place of every key that was answered.
    by_key: BTreeMap<Key, Offset>,
    /// Keys that were refused at their only attempt.
    refused: Vec<Key>,
    /// Logs that were replaced by an older copy, as they were.
    replaced: BTreeMap<(TenantId, u64), Vec<Arc<Logged>>>,
}

impl Model {
    /// The log of an epoch.
    pub(crate) fn log<'a>(&'a self, store: &'a Store, tenant: TenantId, epoch: Epoch) -> &'a [Arc<Logged>] {
        let table = &store.tenants[&tenant];
        if table.epoch == epoch {
            return &table.log;
        }
        self.replaced.get(&(tenant, epoch.0)).map_or(&[], Vec::as_slice)
    }

    /// A write lands: its terms must hold on the row as it is right before.
    pub(crate) fn check_write(row: Option<&Row>, commit: &CommitEvent, terms: &Terms) {
        let event = &commit.event;
        let Some(row) = row else {
            assert!(event.kind == Kind::Created && terms.intent.is_none(), "{event:?} of no ticket");
            return;
        };
        assert_ne!(event.kind, Kind::Created, "a ticket created twice: {event:?}");
        assert_eq!(event.version, row.version.next(), "versions without gaps: {event:?} on {row:?}");
        if let Some(expected) = terms.expect.version() {
            assert_eq!(expected, row.version, "decided on another version: {event:?}");
        }
        if let Some(fence) = terms.fence {
            assert!(row.assignee.is_some(), "a fence, but no claim is in force: {event:?} on {row:?}");
            assert_eq!(fence, row.fence, "another fence is in force: {event:?} on {row:?}");
        }
        Self::check_hold(row, commit, terms);
        let raised = u32::from(matches!(event.holder, Some(Some(_))));
        assert_eq!(event.fence.0, row.fence.0 + raised, "claims alone raise fences: {event:?} on {row:?}");
        let queue = event.queue.unwrap_or(row.queue);
        let agent = event.holder.unwrap_or(row.assignee);
        let route = commit.route;
        assert_eq!((route.queue, route.agent), (queue, agent), "{event:?} on {row:?}");
        assert_eq!(route.queue_from, (row.queue != queue).then_some(row.queue), "{event:?} on {row:?}");
        assert_eq!(route.agent_from, row.assignee.filter(|_| row.assignee != agent), "{event:?} on {row:?}");
    }

    fn check_hold(row: &Row, commit: &CommitEvent, terms: &Terms) {
        let is_holder = row.assignee.is_some_and(|holder| terms.actor == Actor::Agent(holder));
        let may = match terms.intent {
            None => false,
            Some(Intent::Message | Intent::Note) => true,
            Some(Intent::Claim) => row.assignee.is_none() || terms.fence.is_some(),
            Some(Intent::Release) if row.assignee.is_none() => false,
            Some(_) => {
                let is_free = row.assignee.is_none();
                is_free || terms.rights.has(Right::Administer) || (is_holder && terms.fence.is_some())
            }
        };
        assert!(may, "written without the claim: {:?} on {row:?} with {terms:?}", commit.event);
    }

    /// An answer leaves the gateway: it must be durable, and the same as any before it.
    pub(crate) fn answer_leaves(
        &mut self,
        store: &Store,
        tenant: TenantId,
        key: Option<&Key>,
        entry: &Arc<Entry>,
    ) {
        let logged = store.tenants[&tenant].log.get(entry.offset.0 as usize - 1);
        let logged = logged.unwrap_or_else(|| panic!("acknowledged and not durable: {entry:?}"));
        assert_eq!(logged.entry.frame, entry.frame, "acknowledged otherwise than stored");
        self.answered.insert((tenant, entry.offset), Arc::clone(entry));
        if let Some(key) = key {
            let earlier = self.by_key.insert(key.clone(), entry.offset);
            assert!(earlier.is_none_or(|earlier| earlier == entry.offset), "two answers to {key:?}");
        }
    }

    pub(crate) fn refused(&mut self, key: Key) {
        self.refused.push(key);
    }

    /// The log is about to be replaced by its first `keep` events; what comes after was lost by the
    /// operator, not by the gateway.
    pub(crate) fn before_restore(&mut self, store: &Store, tenant: TenantId, keep: usize) {
        let table = &store.tenants[&tenant];
        self.replaced.insert((tenant, table.epoch.0), table.log.clone());
        let is_kept = |owner: TenantId, offset: &Offset| owner != tenant || offset.0 as usize <= keep;
        self.answered.retain(|(owner, offset), _| is_kept(*owner, offset));
        self.by_key.retain(|key, offset| is_kept(key.0, offset));
    }

    /// Whatever was ever acknowledged is there; whatever was refused is not.
    pub(crate) fn check_durable(&self, store: &Store) {
        for ((tenant, offset), entry) in &self.answered {
            let logged = store.tenants[tenant].log.get(offset.0 as usize - 1);
            let logged = logged.unwrap_or_else(|| panic!("acknowledged and gone: {entry:?}"));
            assert_eq!(logged.entry.frame, entry.frame, "acknowledged and changed");
        }
        for (key, offset) in &self.by_key {
            let found = store.event_by_key(key).map(|entry| entry.offset);
            assert_eq!(found, Some(*offset), "acknowledged and gone: {key:?}");
        }
        for key in &self.refused {
            assert!(store.event_by_key(key).is_none(), "refused, and in the log: {key:?}");
        }
        for (tenant, table) in &store.tenants {
            for (index, logged) in table.log.iter().enumerate() {
                assert_eq!(logged.stored.offset.0, index as u64 + 1, "offsets of {tenant} have a gap");
            }
        }
    }
}

/// A place in a tenant's log.
pub(crate) fn at(cursor: Cursor) -> [u64; 2] {
    [cursor.epoch.0, cursor.offset.0]
}
