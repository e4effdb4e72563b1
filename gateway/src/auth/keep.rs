//! Writes when sessions and tokens were last used, and ends the sessions whose time is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use waggle_core::limits::{SEEN_BATCH_MAX, SEEN_STEP_MS};

use super::login::now;
use crate::directory::Directory;
use crate::store::{Store, StoreError};

/// Does so once a minute, until `stop` changes or its sender is gone, and once more then.
pub async fn keep_credentials(directory: Directory, store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(SEEN_STEP_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_last = false;
    while !is_last {
        tokio::select! {
            _ = stop.changed() => is_last = true,
            _ = ticks.tick() => {}
        }
        if let Err(error) = keep(&directory, store.as_ref()).await {
            tracing::warn!(%error, "when sessions were last used could not be written");
        }
    }
}

async fn keep(directory: &Directory, store: &dyn Store) -> Result<(), StoreError> {
    loop {
        let seen = directory.unwritten(SEEN_BATCH_MAX);
        if seen.sessions.is_empty() && seen.tokens.is_empty() {
            break;
        }
        store.seen(&seen).await?;
        directory.written(&seen);
    }
    let ended = store.end_old_sessions(now()).await?;
    if ended > 0 {
        tracing::debug!(ended, "sessions whose time was over");
        directory.refresh(store).await?;
    }
    Ok(())
}
