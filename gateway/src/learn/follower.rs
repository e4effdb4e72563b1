//! Follows the logs and learns, on a thread that gives way to all others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use waggle_core::id::{Cursor, Offset, TenantId, TicketId, Version};
use waggle_core::learn::{Happening, Lesson, Model, Notice, Skips};
use waggle_core::limits::{
    LEARN_EVENTS_PER_READ, LEARN_EVENTS_PER_TURN_MAX, LEARN_LESSONS_PER_SNAPSHOT, LEARN_SETTLE_MS,
    LEARN_SNAPSHOT_MS,
};
use waggle_core::ticket::{Kind, Verdict};

use super::dialogues::Dialogues;
use super::hub::LearnHub;
use super::seen::Seen;
use super::snapshot::{self, SnapshotState};
use super::state::Tenants;
use super::{Forgotten, Shared};
use crate::find::Log;
use crate::priority::background_priority;
use crate::store::{AuditActor, AuditEntry, AuditFilter, EventKinds, Store, StoreError};

/// Why a model is folded from the log's start.
const FORGETTING: &str = "somebody is forgotten";
const ROLLBACK: &str = "a rollback";

/// Pause after storage could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Time between two looks at whether something is due.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Follower {
    hub: LearnHub,
    folder: PathBuf,
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    tenants: Arc<Tenants>,
    courses: BTreeMap<TenantId, Course>,
}

/// One fold of a log.
pub(super) struct Fold {
    pub(super) dialogues: Dialogues,
    pub(super) skips: Skips,
    /// Rollbacks and erasures up to this event are in what it was made of.
    pub(super) covered: Offset,
}

/// Where one tenant's learning is.
struct Course {
    model: Shared,
    fold: Fold,
    /// A fold from the log's start, beside the one that is in force.
    anew: Option<Anew>,
    /// Why the model has to be folded from the log's start.
    wants: Option<&'static str>,
    /// Somebody was erased, and the model has not forgotten him yet.
    stale: Option<Stale>,
    lessons: u64,
    saved_at: Instant,
}

struct Anew {
    model: Model,
    fold: Fold,
    before: Option<String>,
    tell: Vec<oneshot::Sender<Forgotten>>,
    began: Instant,
}

struct Stale {
    newest: Instant,
    /// Digest of the model that had it.
    digest: String,
}

impl Fold {
    /// One that begins at the log's start, when its head is `head`.
    pub(super) async fn begin(store: &dyn Store, tenant: TenantId, head: Offset) -> Result<Self, StoreError> {
        let skips = skips(store, tenant, head).await?;
        Ok(Self { dialogues: Dialogues::default(), skips, covered: head })
    }

    /// What is to be learned of the next event.
    pub(super) async fn lesson(
        &mut self,
        store: &dyn Store,
        tenant: TenantId,
        event: &Happening<'_>,
    ) -> Result<Option<Lesson>, StoreError> {
        let lesson = self.dialogues.follow(store, tenant, event).await?;
        Ok(lesson.filter(|lesson| !self.skips.leaves_out(event.offset, lesson)))
    }
}

/// What rollbacks up to `head` leave out.
async fn skips(store: &dyn Store, tenant: TenantId, head: Offset) -> Result<Skips, StoreError> {
    let (mut skips, mut after) = (Skips::default(), Version(0));
    loop {
        let tenant_itself = TicketId::TENANT;
        let events =
            store.ticket_events(tenant, tenant_itself, after, LEARN_EVENTS_PER_READ, EventKinds::All).await?;
        let Some(last) = events.last() else { return Ok(skips) };
        events.iter().filter(|it| it.offset <= head).for_each(|it| skips.note(&Happening::of(it)));
        after = last.version;
    }
}

/// Whether a rollback is taught.
pub(super) fn is_rollback(event: &Happening<'_>) -> bool {
    event.kind == Kind::Taught && event.data.contains(r#""rollback""#)
}

impl Follower {
    pub(super) fn new(
        hub: LearnHub,
        folder: PathBuf,
        store: Arc<dyn Store>,
        log: Arc<dyn Log>,
        tenants: Arc<Tenants>,
    ) -> Self {
        Self { hub, folder, store, log, tenants, courses: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) {
        background_priority();
        self.all().await;
        loop {
            // Whoever looks whether something is due needs no news.
            let news = tokio::time::timeout(LOOK, self.hub.grown().some()).await;
            for tenant in news.unwrap_or_default() {
                if let Err(error) = self.catch_up(tenant).await {
                    tracing::warn!(%error, tenant = tenant.0, "the assistant cannot follow the log; it tries again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    self.hub.grown().tell(tenant);
                }
            }
            self.look_what_is_due();
        }
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
    async fn catch_up(&mut self, tenant: TenantId) -> Result<(), StoreError> {
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

    async fn head(&self, tenant: TenantId) -> Result<Option<Cursor>, StoreError> {
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
        let state = match read {
            Ok(Some(model)) => {
                let offset = model.position();
                fold.covered = offset;
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
            lessons: 0,
            saved_at: now,
        }))
    }

    /// Learns some events; whether there may be more.
    async fn turn(&self, tenant: TenantId, course: &mut Course) -> Result<bool, StoreError> {
        let tell = self.hub.waiting(tenant);
        if let Some(why) = course.wants.or((!tell.is_empty()).then_some(FORGETTING)) {
            course.wants = Some(why);
            self.begin_anew(tenant, course, why, tell).await?;
        }
        match course.anew.take() {
            Some(anew) => self.turn_anew(tenant, course, anew).await,
            None => self.turn_live(tenant, course).await,
        }
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
            }
            match lesson {
                Some(lesson) => {
                    let began = Instant::now();
                    let notices = shared.model.write().learn(event.offset, &lesson);
                    self.tenants.stats.lesson_time.observe(began.elapsed());
                    self.tenants.stats.lessons.add(1);
                    course.lessons += 1;
                    self.tell(tenant, event.offset, &notices).await;
                }
                None => shared.model.write().pass(event.offset),
            }
            if event.kind == Kind::Erased && event.offset > course.fold.covered {
                self.note_erased(tenant, course);
            }
            if takes_back {
                course.wants = Some(ROLLBACK);
                return Ok(true);
            }
        }
        shared.reach(shared.position());
        Ok(entries.len() == LEARN_EVENTS_PER_TURN_MAX)
    }

    /// Somebody is being erased: what the model and its file have of him goes, when all of it is out of the log.
    fn note_erased(&self, tenant: TenantId, course: &mut Course) {
        let digest = match course.stale.take() {
            Some(stale) => stale.digest,
            None => {
                let model = course.model.model.read();
                course.model.digest(&model)
            }
        };
        course.stale = Some(Stale { newest: Instant::now(), digest });
        course.model.set_erased();
        if let Err(error) = snapshot::erase(&self.folder, tenant) {
            tracing::error!(%error, tenant = tenant.0, "the file of a model that has erased texts cannot be taken away");
        }
    }

    /// Begins a fold from the log's start, as the log is now.
    async fn begin_anew(
        &self,
        tenant: TenantId,
        course: &mut Course,
        why: &'static str,
        mut tell: Vec<oneshot::Sender<Forgotten>>,
    ) -> Result<(), StoreError> {
        let Some(head) = self.head(tenant).await? else { return Ok(()) };
        let fold = Fold::begin(&*self.store, tenant, head.offset).await?;
        let mut before = course.stale.as_ref().map(|stale| stale.digest.clone());
        if let Some(unfinished) = course.anew.take() {
            before = unfinished.before.or(before);
            tell.extend(unfinished.tell);
        }
        if !tell.is_empty() && before.is_none() {
            let model = course.model.model.read();
            before = Some(course.model.digest(&model));
        }
        tracing::info!(tenant = tenant.0, why, "the assistant's model is folded from the log's start");
        course.model.set_folding(why);
        course.wants = None;
        course.anew = Some(Anew { model: Model::new(), fold, before, tell, began: Instant::now() });
        Ok(())
    }

    async fn turn_anew(
        &self,
        tenant: TenantId,
        course: &mut Course,
        mut anew: Anew,
    ) -> Result<bool, StoreError> {
        // From storage: what is in memory may be from before it was erased.
        let (after, limit) = (anew.model.position(), LEARN_EVENTS_PER_TURN_MAX);
        let events = self.store.events_after(tenant, after, u32::try_from(limit).unwrap_or(u32::MAX)).await;
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                course.anew = Some(anew);
                return Err(error);
            }
        };
        let is_end = events.len() < limit;
        let mut again = None;
        for event in &events {
            let event = Happening::of(event);
            match anew.fold.lesson(&*self.store, tenant, &event).await {
                // What it changed was told when it was new.
                Ok(Some(lesson)) => drop(anew.model.learn(event.offset, &lesson)),
                Ok(None) => anew.model.pass(event.offset),
                Err(error) => {
                    course.anew = Some(anew);
                    return Err(error);
                }
            }
            if event.offset > anew.fold.covered {
                again = match event.kind {
                    Kind::Erased => again.or(Some(FORGETTING)),
                    _ if is_rollback(&event) => Some(ROLLBACK),
                    _ => again,
                };
            }
        }
        course.wants = again.or(course.wants);
        if again.is_some() || !is_end {
            course.anew = Some(anew);
            return Ok(true);
        }
        self.swap(tenant, course, anew);
        Ok(true)
    }

    /// The model that was folded anew is in force from now on.
    fn swap(&self, tenant: TenantId, course: &mut Course, anew: Anew) {
        let Anew { model, fold, before, tell, began } = anew;
        let position = model.position();
        *course.model.model.write() = model;
        (course.fold, course.stale, course.lessons) = (fold, None, 0);
        course.model.forget_digest();
        course.model.set_in_force();
        self.tenants.stats.folds.add(1);
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(tenant = tenant.0, events = position.0, ms, "the assistant's model is folded anew");
        self.save(tenant, course);
        course.model.reach(position);
        if !tell.is_empty() {
            let after = course.model.digest(&course.model.model.read());
            for tell in tell {
                // Whoever asked may not wait any more.
                let _ = tell.send(Forgotten { before: before.clone(), after: after.clone() });
            }
        }
    }

    fn save(&self, tenant: TenantId, course: &mut Course) {
        (course.lessons, course.saved_at) = (0, Instant::now());
        if course.model.save(&self.folder, tenant) {
            self.tenants.stats.snapshots.add(1);
        }
    }

    /// Files that are to be written, and models that are to be folded though nobody waits for it.
    fn look_what_is_due(&mut self) {
        let mut courses = std::mem::take(&mut self.courses);
        for (tenant, course) in &mut courses {
            let is_old = course.saved_at.elapsed() >= Duration::from_millis(LEARN_SNAPSHOT_MS);
            if course.lessons >= LEARN_LESSONS_PER_SNAPSHOT || (is_old && course.lessons > 0) {
                self.save(*tenant, course);
            }
            let settle = Duration::from_millis(LEARN_SETTLE_MS);
            if course.anew.is_none()
                && course.stale.as_ref().is_some_and(|stale| stale.newest.elapsed() >= settle)
            {
                let (tell, _) = oneshot::channel();
                self.hub.fold_anew(*tenant, tell);
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

    async fn tell(&self, tenant: TenantId, offset: Offset, notices: &[Notice]) {
        for notice in notices {
            if let Notice::Promoted { recipe, why } = notice {
                self.tenants.stats.promotions.add(1);
                if let Err(error) = self.audit_promotion(tenant, offset, recipe, why).await {
                    tracing::warn!(%error, tenant = tenant.0, "a promotion is not in the audit log");
                }
            }
            let notice = serde_json::to_string(notice).unwrap_or_default();
            tracing::info!(tenant = tenant.0, notice, "the assistant has learned");
        }
    }

    /// One row for each, though the event is learned from again after a crash.
    async fn audit_promotion(
        &self,
        tenant: TenantId,
        offset: Offset,
        recipe: &str,
        why: &str,
    ) -> Result<(), StoreError> {
        const ACTION: &str = "learn.promoted";
        let object = format!("model:{offset}");
        let (action, same) = (Some(ACTION.to_owned()), Some(object.clone()));
        let filter = AuditFilter { action, object: same, ..AuditFilter::default() };
        if !self.store.audit_rows(tenant, &filter, None, 1).await?.is_empty() {
            return Ok(());
        }
        let entry = AuditEntry::new(tenant, AuditActor::System, ACTION, object);
        self.store.audit(entry.with("recipe", recipe).with("why", why)).await.map(drop)
    }
}
