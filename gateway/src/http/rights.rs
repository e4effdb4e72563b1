//! Whether whoever asks may. What one may not see does not exist for him: the answer is the one for a thing that there
//! is not. What one sees and may not do is refused by the name of the right that it needs.

use waggle_core::id::QueueId;
use waggle_core::right::{Right, Rights};

use super::Api;
use crate::directory::Principal;
use crate::problem::Problem;

/// The right in all queues: what settings of the tenant need.
pub(super) fn needs_everywhere(api: &Api, principal: &Principal, right: Right) -> Result<(), Problem> {
    if api.directory.rights_everywhere(principal).has(right) {
        return Ok(());
    }
    Err(Problem::lacking(right, format!("this needs the right {right} in all queues")))
}

/// The right in any queue: what belongs to no queue, and helps with the work in each.
pub(super) fn needs_somewhere(api: &Api, principal: &Principal, right: Right) -> Result<(), Problem> {
    if api.directory.rights_somewhere(principal).has(right) {
        return Ok(());
    }
    Err(Problem::lacking(right, format!("this needs the right {right} in at least one queue")))
}

/// The right in this queue; tells what else one may do there.
pub(super) fn needs_in(
    api: &Api,
    principal: &Principal,
    queue: QueueId,
    right: Right,
) -> Result<Rights, Problem> {
    let rights = api.directory.rights(principal, queue);
    match rights.has(right) {
        true => Ok(rights),
        false if rights.has(Right::See) => {
            let detail = format!("this needs the right {right} in queue {queue}");
            Err(Problem::lacking(right, detail).with("queue", queue.0))
        }
        false => Err(Problem::new("no_such_queue", format!("there is no queue {queue}"))),
    }
}
