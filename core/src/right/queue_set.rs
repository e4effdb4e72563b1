//! The queues that one may see.

use std::sync::Arc;

use crate::id::QueueId;
use crate::ticket::Route;

/// Queues of one tenant. Cheap to clone: sessions of agents with the same rights share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QueueSet {
    /// All, those made later included.
    All,
    /// These: a bit for each queue, 64 of them in a word, from queue 0, which there is not.
    Some(Arc<[u64]>),
}

impl QueueSet {
    /// No queue.
    #[must_use]
    pub fn none() -> Self {
        Self::of([])
    }

    /// These queues.
    #[must_use]
    pub fn of(queues: impl IntoIterator<Item = QueueId>) -> Self {
        let mut words: Vec<u64> = Vec::new();
        for queue in queues {
            let (word, bit) = place(queue);
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            if let Some(word) = words.get_mut(word) {
                *word |= bit;
            }
        }
        Self::Some(words.into())
    }

    /// Whether `queue` is one of them.
    #[must_use]
    pub fn contains(&self, queue: QueueId) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => {
                let (word, bit) = place(queue);
                words.get(word).is_some_and(|word| word & bit != 0)
            }
        }
    }

    /// Whether it is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::All => false,
            Self::Some(words) => words.iter().all(|word| *word == 0),
        }
    }

    /// Its queues in order; `None` where it is all.
    #[must_use]
    pub fn listed(&self) -> Option<Vec<QueueId>> {
        let Self::Some(words) = self else { return None };
        let queues = (0_u32..).zip(words.iter()).flat_map(|(place, word)| {
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| QueueId(place * 64 + bit))
        });
        Some(queues.collect())
    }

    /// Whether an event is one to see: its ticket is in one of the queues, or was until the event. So whoever
    /// saw a ticket is told that it goes away.
    #[must_use]
    pub fn shows(&self, route: &Route) -> bool {
        match self {
            Self::All => true,
            Self::Some(_) => {
                self.contains(route.queue) || route.queue_from.is_some_and(|queue| self.contains(queue))
            }
        }
    }
}

fn place(queue: QueueId) -> (usize, u64) {
    (queue.0 as usize / 64, 1 << (queue.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_these_and_no_others() {
        let queues = [1, 63, 64, 65, 200].map(QueueId);
        let set = QueueSet::of(queues);
        for queue in (0..300).map(QueueId) {
            assert_eq!(set.contains(queue), queues.contains(&queue), "{queue}");
        }
        assert_eq!(set.listed(), Some(queues.to_vec()));
        assert!(!set.is_empty() && QueueSet::none().is_empty() && !QueueSet::All.is_empty());
        assert!(QueueSet::All.contains(QueueId(u32::MAX)) && !set.contains(QueueId(u32::MAX)));
        assert_eq!(QueueSet::All.listed(), None);
    }

    #[test]
    fn an_event_shows_where_its_ticket_is_and_was() {
        let set = QueueSet::of([QueueId(2)]);
        let route = |queue, from: Option<u32>| Route {
            queue: QueueId(queue),
            queue_from: from.map(QueueId),
            ..Route::default()
        };
        for (route, shown) in [
            (route(2, None), true),
            (route(3, None), false),
            (route(3, Some(2)), true),
            (route(2, Some(3)), true),
            (route(3, Some(1)), false),
        ] {
            assert_eq!(set.shows(&route), shown, "{route:?}");
            assert!(QueueSet::All.shows(&route) && !QueueSet::none().shows(&route));
        }
    }
}
