//! What time it is for people.

use std::time::{SystemTime, UNIX_EPOCH};

use waggle_core::time::Timestamp;

/// Wall-clock time; 0 on a machine whose clock is before 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
