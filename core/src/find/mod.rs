//! Finding tickets: the language in which people ask, and an index in memory that answers.
//!
//! [`Query::parse`] reads `status:open tag:refund created>2026-01-01 "lost card"`; it is printed back in one
//! canonical form. A [`Plan`] is a query whose names are known: `queue:billing` is a number, `me` an agent, `-7d` an
//! instant. The [`Index`] gives the tickets of a plan as a set, counts it, and cuts pages out of it in any [`Order`].

mod about;
mod bits;
mod error;
mod evaluate;
mod facet;
mod filling;
mod index;
mod leaf;
mod moment;
mod order;
mod page;
mod parse;
mod past;
mod phrase;
mod plan;
mod posting;
mod print;
mod query;
mod rank;
mod single;
mod snippet;
mod time_column;
mod tokens;
mod value;

#[cfg(test)]
mod differential_tests;

pub use about::about;
pub use error::{QueryError, QueryFault};
pub use evaluate::Texts;
pub use facet::Facets;
pub use filling::Filling;
pub use index::{Index, TicketColumns};
pub use moment::Moment;
pub use order::{BadOrder, Direction, Order, SortKey};
pub use page::{BadPosition, Position};
pub use past::{Past, PastPage};
pub use phrase::{WordPhrase, phrase};
pub use plan::{Names, Plan, UnknownName};
pub use query::{Compare, Has, Instant, Is, Pattern, PatternEnd, Person, Query, Term};
pub use rank::{Hit, TermRows, rank};
pub use single::{Anchor, Single};
pub use snippet::Snippet;
