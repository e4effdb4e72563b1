//! Follows the logs and learns, on a thread that gives way to all others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use waggle_core::id::{Cursor, Offset, TenantId};
use waggle_core::learn::{Happening, Notice, Promotion};
use waggle_core::limits::{
    LEARN_EVENTS_PER_TURN_MAX, LEARN_LESSONS_PER_SNAPSHOT, LEARN_SETTLE_MS, LEARN_SNAPSHOT_MS,
};
use waggle_core::ticket::{Kind, Verdict};

use super::Shared;
use super::anew::{Anew, Wait};
use super::fold::{Fold, is_rollback};
use super::hub::LearnHub;
use super::promotions::Promotions;
use super::seen::Seen;
use super::snapshot::{self, SnapshotState};
use super::state::Tenants;
use crate::find::Log;
use crate::priority::background_priority;
use crate::store::{Store, StoreError};

/// Why a model is folded from the log's start.
pub(super) const FORGETTING: &str = "somebody is forgotten";
pub(super) const ROLLBACK: &str = "a rollback";

/// Pause after storage could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Time between two looks at whether something is due.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Follower {
    pub(super) hub: LearnHub,
    pub(super) folder: PathBuf,
    pub(super) store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    pub(super) tenants: Arc<Tenants>,
    courses: BTreeMap<TenantId, Course>,
    /// Those whose logs could not be read, and until when each is left alone.
    failing: BTreeMap<TenantId, Instant>,
}

/// Where one tenant's learning is.
pub(super) struct Course {
    pub(super) model: Shared,
    pub(super) fold: Fold,
    /// A fold from the log's start, beside the one that is in force.
    pub(super) anew: Option<Anew>,
    /// Why the model has to be folded from the log's start.
    pub(super) wants: Option<&'static str>,
    /// Somebody was erased, and the model has not forgotten him yet.
    pub(super) stale: Option<Stale>,
    /// Those who wait to be told that somebody is forgotten, as he is, but perhaps for the file of the model.
    pub(super) forgotten: Vec<Wait>,
    pub(super) promotions: Promotions,
    pub(super) lessons: u64,
    saved_at: Instant,
}

pub(super) struct Stale {
    pub(super) newest: Instant,
    /// Digest of the model that had it; none where that had not read all of its log yet.
    pub(super) digest: Option<String>,
}

impl Follower {
    pub(super) fn new(
        hub: LearnHub,
        folder: PathBuf,
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
        tenants: Arc<Tenants>,
    ) -> Self {
        Self { hub, folder, store, log, tenants, courses: BTreeMap::new(), failing: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) {
        background_priority();
        self.all().await;
        loop {
            // Whoever looks whether something is due needs no news.
            let news = tokio::time::timeout(LOOK, self.hub.grown().some()).await;
            self.round(news.unwrap_or_default()).await;
        }
    }

    /// A turn for each of these, and what is due. Nobody waits for one whose log cannot be read: it comes later.
    pub(super) async fn round(&mut self, tenants: BTreeSet<TenantId>) {
        for tenant in tenants {
            if self.failing.contains_key(&tenant) {
                continue;
            }
            if let Err(error) = self.catch_up(tenant).await {
                tracing::warn!(%error, tenant = tenant.0, "the assistant cannot follow the log; it tries again");
                self.failing.insert(tenant, Instant::now() + RETRY_PAUSE);
            }
        }
        self.look_what_is_due().await;
    }

    /// All tenants, as soon as storage tells them.
    async fn all(&self) {
        loop {
            match self.store.heads().await {
                Ok(heads) => return heads.iter().for_each(|head| self.hub.grown().tell(head.tenant)),
                Err(error) => tracing::warn!(%error, "tenants cannot be read"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// One turn of a tenant's; there is another one where there is more.
    pub(super) async fn catch_up(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        let mut course = match self.courses.remove(&tenant) {
            Some(course) => course,
            None => match self.open(tenant).await? {
                Some(course) => course,
                None => return Ok(()),
            },
        };
        let turn = self.turn(tenant, &mut course).await;
        self.courses.insert(tenant, course);
        if turn? {
            self.hub.grown().tell(tenant);
        }
        Ok(())
    }

    pub(super) async fn head(&self, tenant: TenantId) -> Result<Option<Cursor>, StoreError> {
        let heads = self.store.heads().await?;
        Ok(heads.into_iter().find(|head| head.tenant == tenant).map(|head| head.cursor))
    }

    /// Where to learn on: from the file, or from the log's start.
    async fn open(&self, tenant: TenantId) -> Result<Option<Course>, StoreError> {
        let Some(head) = self.head(tenant).await? else { return Ok(None) };
        let shared = self.tenants.of(tenant);
        let (folder, reading) =
            (self.folder.clone(), move |folder: PathBuf| snapshot::read(&folder, tenant, head));
        let read = tokio::task::spawn_blocking(move || reading(folder)).await;
        let read = read.map_err(|_| StoreError::Database(sqlx::Error::WorkerCrashed))?;
        let mut fold = Fold::begin(&*self.store, tenant, head.offset).await?;
        let mut promotions = Promotions::default();
        let state = match read {
            Ok(Some(model)) => {
                let offset = model.position();
                fold.covered = offset;
                // Their rows may not have been written before the gateway ended.
                model.promotions().for_each(|promotion| promotions.add(promotion.clone()));
                *shared.model.write() = model;
                SnapshotState::Written { offset }
            }
            Ok(None) => SnapshotState::None,
            Err(fault) => {
                self.tenants.stats.bad_snapshots.add(1);
                tracing::warn!(error = %fault, tenant = tenant.0, "the file of a model is not used; the model is folded from the log");
                fault.state()
            }
        };
        if !matches!(state, SnapshotState::Written { .. }) {
            self.tenants.stats.folds.add(1);
        }
        shared.open(head.epoch, state);
        let now = Instant::now();
        Ok(Some(Course {
            model: shared,
            fold,
            anew: None,
            wants: None,
            stale: None,
            forgotten: Vec::new(),
            promotions,
            lessons: 0,
            saved_at: now,
        }))
    }

    /// Learns some events, and folds some anew where that is to be; whether there may be more.
    async fn turn(&self, tenant: TenantId, course: &mut Course) -> Result<bool, StoreError> {
        let is_waited_for = self.hub.is_waited_for(tenant);
        if let Some(why) = course.wants.or(is_waited_for.then_some(FORGETTING)) {
            self.begin_anew(tenant, course, why).await?;
        }
        let has_more = self.turn_live(tenant, course).await?;
        let folds_on = self.turn_anew(tenant, course, !has_more).await?;
        Ok(has_more || folds_on || course.wants.is_some())
    }

    async fn turn_live(&self, tenant: TenantId, course: &mut Course) -> Result<bool, StoreError> {
        let shared = Arc::clone(&course.model);
        let after = shared.position();
        let entries = self.log.read_after(tenant, after, LEARN_EVENTS_PER_TURN_MAX).await?;
        for entry in &entries {
            let Some(seen) = Seen::of(entry) else {
                shared.model.write().pass(entry.offset);
                continue;
            };
            let event = seen.happening();
            let lesson = course.fold.lesson(&*self.store, tenant, &event).await?;
            self.count(&event);
            let takes_back = event.offset > course.fold.covered && is_rollback(&event);
            if takes_back {
                // Before it is learned: a file of a model that is past it would hide that it has to be folded anew.
                shared.supersede(ROLLBACK);
                if course.anew.as_ref().is_none_or(|anew| anew.fold.covered < event.offset) {
                    course.wants = Some(ROLLBACK);
                }
            }
            match lesson {
                Some(lesson) => {
                    let began = Instant::now();
                    let notices = shared.model.write().learn(event.offset, &lesson);
                    self.tenants.stats.lesson_time.observe(began.elapsed());
                    self.tenants.stats.lessons.add(1);
                    course.lessons += 1;
                    self.tell(tenant, course, event.offset, &notices).await;
                }
                None => shared.model.write().pass(event.offset),
            }
            if event.kind == Kind::Erased && event.offset > course.fold.covered {
                self.note_erased(tenant, course);
            }
        }
        let has_more = entries.len() == LEARN_EVENTS_PER_TURN_MAX;
        if !has_more {
            shared.set_ready();
        }
        shared.reach(shared.position());
        Ok(has_more)
    }

    /// Somebody is being erased: what the model and its file have of him goes, when all of it is out of the log.
    fn note_erased(&self, tenant: TenantId, course: &mut Course) {
        let digest = match course.stale.take() {
            Some(stale) => stale.digest,
            None => course.model.digest_when_ready(),
        };
        course.stale = Some(Stale { newest: Instant::now(), digest });
        course.model.set_erased();
        if let Err(error) = snapshot::erase(&self.folder, tenant) {
            tracing::error!(%error, tenant = tenant.0, "the file of a model that has erased texts cannot be taken away");
        }
    }

    /// Writes the model where there is something to write; the digest of what was written.
    pub(super) fn save(&self, tenant: TenantId, course: &mut Course) -> Option<String> {
        (course.lessons, course.saved_at) = (0, Instant::now());
        let digest = course.model.save(&self.folder, tenant)?;
        self.tenants.stats.snapshots.add(1);
        Some(digest)
    }

    /// Files and rows that are to be written, and models that are to be folded though nobody waits for it.
    pub(super) async fn look_what_is_due(&mut self) {
        let now = Instant::now();
        let (again, failing) =
            std::mem::take(&mut self.failing).into_iter().partition(|(_, until)| *until <= now);
        self.failing = failing;
        let again: BTreeMap<TenantId, Instant> = again;
        again.into_keys().for_each(|tenant| self.hub.grown().tell(tenant));
        let mut courses = std::mem::take(&mut self.courses);
        for (tenant, course) in &mut courses {
            let is_old = course.saved_at.elapsed() >= Duration::from_millis(LEARN_SNAPSHOT_MS);
            if course.lessons >= LEARN_LESSONS_PER_SNAPSHOT || (is_old && course.lessons > 0) {
                self.save(*tenant, course);
            }
            let settle = Duration::from_millis(LEARN_SETTLE_MS);
            // The lock is asked last: there is seldom a reason for it.
            if course.stale.as_ref().is_some_and(|stale| stale.newest.elapsed() >= settle)
                && course.anew.is_none()
                && !self.hub.is_waited_for(*tenant)
            {
                let (tell, _) = oneshot::channel();
                self.hub.fold_anew(*tenant, tell);
            }
            self.audit(*tenant, course).await;
            if let Err(error) = self.tell_forgotten(*tenant, course, None) {
                tracing::debug!(%error, tenant = tenant.0, "the file of a model is still there");
            }
        }
        self.courses = courses;
    }

    fn count(&self, event: &Happening<'_>) {
        let stats = &self.tenants.stats;
        match event.kind {
            Kind::Feedback => {
                let has =
                    |verdict: Verdict| event.data.contains(&format!(r#""verdict":"{}""#, verdict.name()));
                stats.accepted.add(u64::from(has(Verdict::Accepted)));
                stats.edited.add(u64::from(has(Verdict::Edited)));
                stats.rejected.add(u64::from(has(Verdict::Rejected)));
            }
            Kind::Reply => stats.suggested_replies.add(u64::from(event.data.contains(r#""suggestion":{"#))),
            _ => {}
        }
    }

    async fn tell(&self, tenant: TenantId, course: &mut Course, offset: Offset, notices: &[Notice]) {
        for notice in notices {
            if let Notice::Promoted { recipe, why } = notice {
                let (recipe, why) = ((*recipe).to_owned(), why.clone());
                course.promotions.add(Promotion { offset, recipe, why });
                self.audit(tenant, course).await;
            }
            let notice = serde_json::to_string(notice).unwrap_or_default();
            tracing::info!(tenant = tenant.0, notice, "the assistant has learned");
        }
    }

    pub(super) async fn audit(&self, tenant: TenantId, course: &mut Course) {
        let written = course.promotions.audit(&*self.store, tenant).await;
        self.tenants.stats.promotions.add(written);
    }
}
