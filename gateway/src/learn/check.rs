//! Folds a log beside a gateway that may be running, and compares what comes out with the file of the model.

use std::path::Path;

use serde::Serialize;
use waggle_core::id::{Cursor, Epoch, Offset, TenantId};
use waggle_core::learn::{Happening, Model, Skips};
use waggle_core::ticket::{Kind, StoredEvent};

use super::dialogues::Dialogues;
use super::fold::{Fold, is_rollback};
use super::{digest_of, snapshot};
use crate::store::{Store, StoreError};

/// Events that are read at once.
const READ_EVENTS: u32 = 4_096;

/// What the fold of a log has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Whose.
    pub tenant: TenantId,
    /// The log's newest event.
    pub offset: Offset,
    /// SHA-256 of the model there.
    pub digest: String,
    /// What the file has.
    pub snapshot: CheckedSnapshot,
}

/// A file against the fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum CheckedSnapshot {
    /// There is none.
    None,
    /// It is the fold of the log up to its event.
    Same {
        /// The event.
        offset: Offset,
    },
    /// It is not: a gateway that starts with it learns on from something else.
    Different {
        /// The event.
        offset: Offset,
        /// Of the file.
        digest: String,
        /// Of the fold.
        folded: String,
    },
    /// After its event something was rolled back or erased: a gateway folds the log anew.
    Superseded {
        /// The event.
        offset: Offset,
    },
    /// It cannot be used: a gateway folds the log anew.
    Unusable {
        /// Why.
        why: String,
    },
}

/// Folds a tenant's log, of this epoch, as it is now.
///
/// # Errors
/// As storage tells them.
pub async fn check(
    store: &dyn Store,
    folder: &Path,
    tenant: TenantId,
    epoch: Epoch,
) -> Result<Checked, StoreError> {
    let (skips, head) = look_ahead(store, tenant).await?;
    let file = snapshot::read(folder, tenant, Cursor { epoch, offset: head });
    let known = file.as_ref().ok().and_then(Option::as_ref);
    let known = known.map(|model| (model.position(), digest_of(&model.encode())));
    let mut fold = Fold { dialogues: Dialogues::default(), skips, covered: head };
    let mut model = Model::new();
    let (mut there, mut is_superseded) = (None, false);
    while model.position() < head {
        let events = read(store, tenant, model.position(), head).await?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            let event = Happening::of(event);
            match fold.lesson(store, tenant, &event).await? {
                Some(lesson) => drop(model.learn(event.offset, &lesson)),
                None => model.pass(event.offset),
            }
            if let Some((offset, _)) = &known {
                is_superseded |=
                    event.offset > *offset && (event.kind == Kind::Erased || is_rollback(&event));
                if event.offset == *offset {
                    there = Some(digest_of(&model.encode()));
                }
            }
        }
    }
    let snapshot = match (file, known, there) {
        (Err(fault), ..) => CheckedSnapshot::Unusable { why: fault.to_string() },
        (Ok(_), Some((offset, _)), _) if is_superseded => CheckedSnapshot::Superseded { offset },
        (Ok(_), Some((offset, digest)), Some(folded)) if digest == folded => CheckedSnapshot::Same { offset },
        (Ok(_), Some((offset, digest)), Some(folded)) => {
            CheckedSnapshot::Different { offset, digest, folded }
        }
        _ => CheckedSnapshot::None,
    };
    Ok(Checked { tenant, offset: model.position(), digest: digest_of(&model.encode()), snapshot })
}

/// What rollbacks leave out, and the log's newest event: from the log alone, for the tickets' file may be a running
/// gateway's.
async fn look_ahead(store: &dyn Store, tenant: TenantId) -> Result<(Skips, Offset), StoreError> {
    let (mut skips, mut head) = (Skips::default(), Offset(0));
    loop {
        let events = read(store, tenant, head, Offset(u64::MAX)).await?;
        let Some(last) = events.last() else { return Ok((skips, head)) };
        head = last.offset;
        events.iter().for_each(|event| skips.note(&Happening::of(event)));
    }
}

async fn read(
    store: &dyn Store,
    tenant: TenantId,
    after: Offset,
    until: Offset,
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut events = store.events_after(tenant, after, READ_EVENTS).await?;
    events.retain(|event| event.offset <= until);
    Ok(events)
}
