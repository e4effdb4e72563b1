//! A fold from the log's start, beside the model that is in force and follows the log meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use waggle_core::id::TenantId;
use waggle_core::learn::{Happening, Model};
use waggle_core::limits::LEARN_EVENTS_PER_TURN_MAX;
use waggle_core::ticket::Kind;

use super::Forgotten;
use super::fold::{Fold, is_rollback};
use super::follower::{Course, FORGETTING, Follower, ROLLBACK};
use super::snapshot::{self, SnapshotState};
use crate::store::StoreError;

/// One that is under way.
pub(super) struct Anew {
    model: Model,
    pub(super) fold: Fold,
    before: Option<String>,
    tell: Vec<oneshot::Sender<Forgotten>>,
    began: Instant,
}

/// Somebody who waits for a model to have forgotten, and its digest before.
pub(super) struct Wait {
    tell: oneshot::Sender<Forgotten>,
    before: Option<String>,
}

impl Follower {
    /// Begins a fold from the log's start, as the log is now.
    pub(super) async fn begin_anew(
        &self,
        tenant: TenantId,
        course: &mut Course,
        why: &'static str,
    ) -> Result<(), StoreError> {
        let Some(head) = self.head(tenant).await? else { return Ok(()) };
        let fold = Fold::begin(&*self.store, tenant, head.offset).await?;
        // Only now: where storage fails, they wait for the next turn.
        let mut tell = self.hub.waiting(tenant);
        let mut before = match &course.stale {
            Some(stale) => stale.digest.clone(),
            None if tell.is_empty() => None,
            None => course.model.digest_when_ready(),
        };
        if let Some(unfinished) = course.anew.take() {
            before = unfinished.before.or(before);
            tell.extend(unfinished.tell);
        }
        tracing::info!(tenant = tenant.0, why, "the assistant's model is folded from the log's start");
        course.model.set_folding(why);
        course.wants = None;
        course.anew = Some(Anew { model: Model::new(), fold, before, tell, began: Instant::now() });
        Ok(())
    }

    /// Folds some events. The model takes over as soon as it has all that the one in force has learned, where `is_at_head`
    /// says that this is all there is; never more, or nobody would tell what it changed. Whether there is more to fold.
    pub(super) async fn turn_anew(
        &self,
        tenant: TenantId,
        course: &mut Course,
        is_at_head: bool,
    ) -> Result<bool, StoreError> {
        let until = course.model.position();
        let Some(anew) = &mut course.anew else { return Ok(false) };
        let limit = u32::try_from(LEARN_EVENTS_PER_TURN_MAX).unwrap_or(u32::MAX);
        // From storage: what is in memory may be from before it was erased.
        let events = self.store.events_after(tenant, anew.model.position(), limit).await?;
        for event in events.iter().filter(|event| event.offset <= until) {
            let event = Happening::of(event);
            match anew.fold.lesson(&*self.store, tenant, &event).await? {
                // What it changed was told when it was new.
                Some(lesson) => drop(anew.model.learn(event.offset, &lesson)),
                None => anew.model.pass(event.offset),
            }
            if event.offset > anew.fold.covered {
                course.wants = match event.kind {
                    Kind::Erased => course.wants.or(Some(FORGETTING)),
                    _ if is_rollback(&event) => Some(ROLLBACK),
                    _ => course.wants,
                };
            }
        }
        if course.wants.is_some() || !is_at_head || anew.model.position() < until {
            return Ok(true);
        }
        if let Some(anew) = course.anew.take() {
            self.swap(tenant, course, anew).await;
        }
        Ok(false)
    }

    /// The model that was folded anew is in force from now on. Its promotions get no rows: those of the model before have
    /// theirs, and what was taken back has a row of its own.
    async fn swap(&self, tenant: TenantId, course: &mut Course, anew: Anew) {
        let Anew { model, fold, before, tell, began } = anew;
        let position = model.position();
        let shared = Arc::clone(&course.model);
        let outdated = {
            let mut in_force = shared.model.write();
            // Whoever reads it finds either the one or the other, with how it stands.
            shared.set_in_force();
            std::mem::replace(&mut *in_force, model)
        };
        // Not while nobody can suggest: it takes its time.
        drop(outdated);
        (course.fold, course.stale, course.lessons) = (fold, None, 0);
        self.tenants.stats.folds.add(1);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(tenant = tenant.0, events = position.0, ms, "the assistant's model is folded anew");
        let digest = self.save(tenant, course);
        self.audit(tenant, course).await;
        course.forgotten.extend(tell.into_iter().map(|tell| Wait { tell, before: before.clone() }));
        if let Err(error) = self.tell_forgotten(tenant, course, digest) {
            tracing::error!(%error, tenant = tenant.0, "the file of a model cannot be taken away; it is tried again");
        }
    }

    /// Tells whoever waits for somebody to be forgotten, as soon as no file has him any more. `digest` is the model's, where
    /// it was just written.
    ///
    /// # Errors
    /// Where the file of the model before cannot be taken away: they wait on then.
    pub(super) fn tell_forgotten(
        &self,
        tenant: TenantId,
        course: &mut Course,
        mut digest: Option<String>,
    ) -> io::Result<()> {
        if course.forgotten.is_empty() {
            return Ok(());
        }
        if !matches!(course.model.snapshot(), SnapshotState::Written { .. }) {
            snapshot::erase(&self.folder, tenant)?;
            digest = self.save(tenant, course);
        }
        let after = digest.unwrap_or_else(|| course.model.digest());
        for Wait { tell, before } in course.forgotten.drain(..) {
            // Whoever asked may not wait any more.
            let _ = tell.send(Forgotten { before, after: after.clone() });
        }
        Ok(())
    }
}
