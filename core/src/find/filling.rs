//! An index of very many tickets at once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::facet::{Facet, Facets};
use super::index::{Index, TicketColumns};
use crate::id::TicketId;

/// An index that is being filled: values are found by their hashes, and put in order once, at the end.
#[derive(Debug, Default)]
pub struct Filling {
    index: Index,
    numbers: FxHashMap<Arc<Facet>, u32>,
}

impl Filling {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Index::put`].
    pub fn put(&mut self, ticket: TicketId, columns: &TicketColumns) {
        self.index.put(ticket, columns);
    }

    /// As [`Index::describe`], for each ticket once.
    pub fn describe(&mut self, ticket: TicketId, facets: Facets) {
        let numbers = facets.values.into_iter().map(|facet| self.number(facet)).collect();
        self.index.describe_by(ticket, numbers, facets.due_at);
    }

    fn number(&mut self, facet: Facet) -> u32 {
        if let Some(number) = self.numbers.get(&facet) {
            return *number;
        }
        let facet = Arc::new(facet);
        let number = self.index.add_posting(&facet);
        self.numbers.insert(facet, number);
        number
    }

    /// The index.
    #[must_use]
    pub fn finish(self) -> Index {
        self.index.with_facets(self.numbers)
    }
}
