//! What a lesson has changed beyond weights, for logs and the audit log.

use serde::Serialize;

use crate::id::QueueId;

/// What a lesson has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// An intent with a name came to be.
    NewIntent {
        /// Its name.
        intent: String,
    },
    /// An intent has another name.
    Renamed {
        /// Its name before.
        from: String,
        /// Its name now.
        to: String,
    },
    /// An intent was folded into another one.
    Merged {
        /// The one that is gone.
        from: String,
        /// The one that goes on.
        into: String,
    },
    /// An intent was forgotten.
    Removed {
        /// Its name.
        intent: String,
    },
    /// The challenger was better, or an administrator said so: it is the champion now.
    Promoted {
        /// The recipe that suggests from now on.
        recipe: &'static str,
        /// Why.
        why: String,
    },
    /// A recipe is not promoted any more.
    Barred {
        /// Its name.
        recipe: &'static str,
    },
    /// A recipe may be promoted again.
    Allowed {
        /// Its name.
        recipe: &'static str,
    },
    /// A queue has another mode.
    ModeSet {
        /// Which queue.
        queue: QueueId,
    },
    /// The tenant's settings of learning have changed.
    SettingsSet,
    /// The model goes on from what it was at an earlier offset.
    RolledBack {
        /// That offset.
        to: u64,
    },
    /// Something was taught that cannot be: nothing has changed.
    Ignored {
        /// What was wrong, and what would be right.
        why: String,
    },
}
