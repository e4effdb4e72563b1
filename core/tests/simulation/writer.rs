//! The one writer, in the steps and the order of the gateway's.

use std::collections::BTreeMap;
use std::sync::Arc;

use waggle_core::id::{Offset, TenantId};
use waggle_core::ledger::Placed;
use waggle_core::ticket::Entry;

use crate::ledger::{Caller, Commit, Failure, Fate, Generation, Item, LedgerStep, WriterState};
use crate::model::Model;
use crate::store::CommitEvent;
use crate::world::World;

impl World {
    /// Takes what has queued; a batch is what came while the last one was being written.
    pub(crate) fn writer_turn(&mut self) {
        let batch_max = self.plan.batch_max;
        while matches!(self.ledger().writer, WriterState::Idle) && !self.ledger().channel.is_empty() {
            let received = self.ledger().channel.len().min(batch_max);
            for _ in 0..received {
                self.take_next();
            }
            while self.ledger().assembler.len() < batch_max && self.take_next() {}
            if !self.ledger().assembler.is_empty() {
                self.commit();
            }
        }
    }

    fn take_next(&mut self) -> bool {
        let Some(item) = self.ledger().channel.pop_front() else { return false };
        self.take(item);
        true
    }

    fn take(&mut self, item: Item) {
        let ledger = self.ledger();
        if item.caller.generation != ledger.writer_generation {
            return self.answer(item.caller.request, Err(Failure::Again));
        }
        ledger.assembler.offer(item);
        let early = ledger.assembler.early();
        if early > 0 {
            self.reached.early += 1;
        }
    }

    fn commit(&mut self) {
        let placed = self.ledger().assembler.take();
        let batch: Vec<CommitEvent> = placed.iter().map(commit_event).collect();
        let fate = if self.goes_wrong(self.plan.commit_fails_per_mille) {
            Fate::Fails
        } else if self.goes_wrong(self.plan.commit_answer_lost_per_mille) {
            Fate::AnswerLost
        } else {
            Fate::Succeeds
        };
        self.ledger().writer = WriterState::Committing(Commit { placed, batch, fate, is_landed: false });
        let lands = self.store_delay();
        let answers = lands + self.store_delay();
        self.later(lands, LedgerStep::CommitLands);
        self.later(answers, LedgerStep::CommitAnswers);
    }

    pub(crate) fn commit_lands(&mut self) {
        let state = std::mem::replace(&mut self.ledger().writer, WriterState::Idle);
        let WriterState::Committing(mut commit) = state else { panic!("a commit that nobody began") };
        if commit.fate != Fate::Fails {
            self.land(&mut commit);
        }
        self.ledger().writer = WriterState::Committing(commit);
    }

    /// Makes a batch durable, and checks what it writes.
    pub(crate) fn land(&mut self, commit: &mut Commit) {
        let placed = &commit.placed;
        let landed = self.store.land(&commit.batch, |index, row, written| {
            Model::check_write(row, written, &placed[index].admitted.caller.terms);
        });
        match landed {
            Ok(()) => {
                commit.is_landed = true;
                for placed in &commit.placed {
                    let tenant = placed.admitted.tenant;
                    self.trace.note(self.now, "lands", &[tenant.0.into(), placed.entry.offset.0]);
                }
            }
            Err(conflict) => {
                let outdated = std::mem::take(&mut self.ledger().outdated);
                let is_outdated =
                    |commit: &CommitEvent| outdated.contains(&(commit.tenant, commit.event.ticket));
                assert!(
                    commit.batch.iter().any(is_outdated),
                    "{conflict:?} of a batch with {:?}",
                    commit.batch
                );
                self.reached.conflicts += 1;
                commit.fate = Fate::Fails;
            }
        }
    }

    pub(crate) fn commit_answers(&mut self) {
        let state = std::mem::replace(&mut self.ledger().writer, WriterState::Idle);
        let WriterState::Committing(commit) = state else { panic!("a commit that nobody began") };
        match commit.fate {
            Fate::Succeeds => {
                self.publish(&commit.placed);
                for Placed { admitted, entry, .. } in commit.placed {
                    self.answer(admitted.caller.request, Ok(entry));
                }
                self.writer_turn();
            }
            Fate::Fails | Fate::AnswerLost => self.recover(commit.placed),
        }
    }

    fn publish(&mut self, placed: &[Placed<Caller>]) {
        let mut by_tenant: BTreeMap<TenantId, Vec<Arc<Entry>>> = BTreeMap::new();
        for Placed { admitted, entry, .. } in placed {
            by_tenant.entry(admitted.tenant).or_default().push(Arc::clone(entry));
        }
        for (tenant, entries) in by_tenant {
            self.publish_entries(tenant, entries);
        }
    }

    fn publish_entries(&mut self, tenant: TenantId, entries: Vec<Arc<Entry>>) {
        let log = self.ledger().logs.get_mut(&tenant).expect("a known tenant");
        for entry in &entries {
            log.ring.push(Arc::clone(entry));
        }
        self.send_to_shards(tenant, entries);
    }

    /// Every reservation that is not in storage is void from here on.
    fn recover(&mut self, placed: Vec<Placed<Caller>>) {
        self.reached.recoveries += 1;
        let ledger = self.ledger();
        let next = ledger.generation.number + 1;
        ledger.writer_generation = next;
        ledger.writer = WriterState::Recovering { next };
        for Placed { admitted, .. } in placed {
            self.answer(admitted.caller.request, Err(Failure::Again));
        }
        let delay = self.store_delay();
        self.later(delay, LedgerStep::ReadHeads);
    }

    pub(crate) fn read_heads(&mut self) {
        if self.goes_wrong(self.plan.read_fails_per_mille * 4) {
            while let Some(item) = self.ledger().channel.pop_front() {
                self.answer(item.caller.request, Err(Failure::Again));
            }
            return self.later(200, LedgerStep::ReadHeads);
        }
        let heads = self.store.heads().into_iter().map(|(tenant, head, _)| (tenant, head.offset)).collect();
        let delay = self.store_delay();
        self.later(delay, LedgerStep::HeadsKnown(heads));
    }

    pub(crate) fn heads_known(&mut self, heads: Vec<(TenantId, Offset)>) {
        for admitted in self.ledger().assembler.reset(heads.iter().copied()) {
            self.answer(admitted.caller.request, Err(Failure::Again));
        }
        self.read_unpublished(heads);
    }

    /// Publishes what storage has beyond what was published; then admission goes on.
    pub(crate) fn read_unpublished(&mut self, mut heads: Vec<(TenantId, Offset)>) {
        while let Some((tenant, head)) = heads.last().copied() {
            let published = self.ledger().head(tenant).offset;
            if published >= head {
                heads.pop();
                continue;
            }
            if self.goes_wrong(self.plan.read_fails_per_mille * 4) {
                return self.later(200, LedgerStep::ReadUnpublished(heads));
            }
            let entries = self.store.events_after(tenant, published, self.plan.page_events_max);
            let delay = self.store_delay();
            return self.later(delay, LedgerStep::UnpublishedKnown(heads, entries));
        }
        let ledger = self.ledger();
        let WriterState::Recovering { next } = ledger.writer else { panic!("no recovery") };
        ledger.generation = Generation::numbered(next);
        ledger.writer = WriterState::Idle;
        self.writer_turn();
    }

    pub(crate) fn unpublished_known(&mut self, heads: Vec<(TenantId, Offset)>, entries: Vec<Arc<Entry>>) {
        let (tenant, _) = *heads.last().expect("a head to catch up with");
        self.reached.published_late += 1;
        self.publish_entries(tenant, entries);
        self.read_unpublished(heads);
    }

    /// The process dies in the middle of a commit: it is there whole, or not at all.
    pub(crate) fn writer_dies(&mut self) {
        let state = std::mem::replace(&mut self.ledger().writer, WriterState::Idle);
        if let WriterState::Committing(mut commit) = state
            && !commit.is_landed
            && commit.fate != Fate::Fails
            && self.random.chance(500)
        {
            self.land(&mut commit);
        }
    }
}

fn commit_event(placed: &Placed<Caller>) -> CommitEvent {
    let Placed { admitted, entry, .. } = placed;
    CommitEvent {
        tenant: admitted.tenant,
        offset: entry.offset,
        event: admitted.event.clone(),
        followers: entry.followers.clone(),
        route: entry.route,
        key: admitted.caller.key.clone(),
    }
}
