//! A fold from the log's start, beside the model that is in force and follows the log meanwhile.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use waggle_core::id::TenantId;
use waggle_core::learn::{Happening, Model};
use waggle_core::limits::LEARN_EVENTS_PER_TURN_MAX;
use waggle_core::ticket::Kind;

use super::Forgotten;
use super::fold::{Fold, is_rollback};
use super::follower::{Course, FORGETTING, Follower, ROLLBACK, Stale};
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
        let mut before = course.stale.as_ref().map(|stale| stale.digest.clone());
        if let Some(unfinished) = course.anew.take() {
            before = unfinished.before.or(before);
            tell.extend(unfinished.tell);
        }
        if !tell.is_empty() && before.is_none() {
            before = Some(course.model.digest());
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
            self.swap(tenant, course, anew).await?;
        }
        Ok(false)
    }

    /// The model that was folded anew is in force from now on. Whoever waits for somebody to be forgotten is told only when
    /// no file has him any more; else it is all done again.
    async fn swap(&self, tenant: TenantId, course: &mut Course, anew: Anew) -> Result<(), StoreError> {
        let Anew { model, fold, before, tell, began } = anew;
        let position = model.position();
        let shared = Arc::clone(&course.model);
        model.promotions().for_each(|promotion| course.promotions.add(promotion.clone()));
        let outdated = std::mem::replace(&mut *shared.model.write(), model);
        // Not while nobody can suggest: it takes its time.
        drop(outdated);
        (course.fold, course.stale, course.lessons) = (fold, None, 0);
        shared.set_in_force();
        self.tenants.stats.folds.add(1);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(tenant = tenant.0, events = position.0, ms, "the assistant's model is folded anew");
        self.save(tenant, course);
        self.audit(tenant, course).await;
        if !tell.is_empty() && !matches!(shared.snapshot(), SnapshotState::Written { .. }) {
            // The file before this one may be there still.
            if let Err(error) = snapshot::erase(&self.folder, tenant) {
                course.stale = before.map(|digest| Stale { newest: Instant::now(), digest });
                tell.into_iter().for_each(|tell| self.hub.fold_anew(tenant, tell));
                return Err(StoreError::Database(sqlx::Error::Io(error)));
            }
        }
        if !tell.is_empty() {
            let after = shared.digest();
            for tell in tell {
                // Whoever asked may not wait any more.
                let _ = tell.send(Forgotten { before: before.clone(), after: after.clone() });
            }
        }
        Ok(())
    }
}
