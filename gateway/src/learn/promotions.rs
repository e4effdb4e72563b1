//! Promotions in the audit log: one row for each, whatever fails or ends in between.
//!
//! Which there were is in the model, so a start finds those again whose rows were not written.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use waggle_core::id::TenantId;
use waggle_core::learn::Promotion;
use waggle_core::limits::PROMOTIONS_MAX;

use crate::store::{AuditActor, AuditEntry, AuditFilter, Store, StoreError};

/// Pause after the audit log could not be written.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Promotions of two models: of the one in force, and of the one before it.
const WAITING_MAX: usize = 2 * PROMOTIONS_MAX;
const ACTION: &str = "learn.promoted";

/// Promotions of one tenant that may have no row yet, the oldest first.
#[derive(Default)]
pub(super) struct Promotions {
    waiting: VecDeque<Promotion>,
    failed_at: Option<Instant>,
}

impl Promotions {
    /// One that came about; or that was found in a model, and may have its row.
    pub(super) fn add(&mut self, promotion: Promotion) {
        if self.waiting.iter().any(|known| known.offset == promotion.offset) {
            return;
        }
        if self.waiting.len() >= WAITING_MAX
            && let Some(lost) = self.waiting.pop_front()
        {
            tracing::error!(offset = lost.offset.0, recipe = lost.recipe, "a promotion is in no audit log");
        }
        self.waiting.push_back(promotion);
    }

    /// Writes the rows that are not there; how many. Where storage fails, the rest waits for the next time.
    pub(super) async fn audit(&mut self, store: &dyn Store, tenant: TenantId) -> u64 {
        let mut written = 0;
        if self.failed_at.is_some_and(|at| at.elapsed() < RETRY_PAUSE) {
            return written;
        }
        while let Some(promotion) = self.waiting.front() {
            match write(store, tenant, promotion).await {
                Ok(is_new) => {
                    written += u64::from(is_new);
                    self.failed_at = None;
                    self.waiting.pop_front();
                }
                Err(error) => {
                    if self.failed_at.replace(Instant::now()).is_none() {
                        tracing::warn!(%error, tenant = tenant.0, "a promotion is not in the audit log; it is tried again");
                    }
                    return written;
                }
            }
        }
        written
    }
}

/// Whether the row was not there.
async fn write(store: &dyn Store, tenant: TenantId, promotion: &Promotion) -> Result<bool, StoreError> {
    let object = format!("model:{}", promotion.offset);
    let (action, same) = (Some(ACTION.to_owned()), Some(object.clone()));
    let filter = AuditFilter { action, object: same, ..AuditFilter::default() };
    if !store.audit_rows(tenant, &filter, None, 1).await?.is_empty() {
        return Ok(false);
    }
    let entry = AuditEntry::new(tenant, AuditActor::System, ACTION, object);
    let entry = entry.with("recipe", promotion.recipe.as_str()).with("why", promotion.why.as_str());
    store.audit(entry).await.map(|_| true)
}
