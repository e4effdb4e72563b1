//! What has arrived and waits for the application.

use std::collections::VecDeque;

use waggle_core::limits::WINDOW_BYTES_MAX;
use waggle_core::push::Receipt;

use crate::item::Item;

/// Items that wait at most, however small.
const ITEMS_MAX: usize = 32_768;

/// Items in order. A server keeps to its window, so the bounds are met only by one that does not, or
/// after several reconnects while the application read nothing; the sockets are not read then.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<(Item, Option<Receipt>)>,
    bytes: u64,
}

impl Backlog {
    pub(crate) fn push(&mut self, item: Item, receipt: Option<Receipt>) {
        // A newer notice of a kind takes the place of the one right before it.
        let is_newer = matches!(
            (self.waiting.back(), &item),
            (Some((Item::CaughtUp { .. }, _)), Item::CaughtUp { .. })
                | (Some((Item::Disconnected { .. }, _)), Item::Disconnected { .. })
        );
        if is_newer {
            self.waiting.pop_back();
        }
        self.bytes += receipt.map_or(0, |receipt| receipt.bytes);
        self.waiting.push_back((item, receipt));
    }

    pub(crate) fn pop(&mut self) -> Option<(Item, Option<Receipt>)> {
        let (item, receipt) = self.waiting.pop_front()?;
        self.bytes -= receipt.map_or(0, |receipt| receipt.bytes);
        Some((item, receipt))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < ITEMS_MAX && self.bytes < u64::from(WINDOW_BYTES_MAX)
    }
}
