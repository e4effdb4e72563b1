//! What is wrong with a query, and where.

use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX};

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {fault}")]
pub struct QueryError {
    /// Where, in characters from 1.
    pub position: usize,
    /// What.
    pub fault: QueryFault,
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// Longer than [`QUERY_BYTES_MAX`].
    #[error("the query has {bytes} bytes; at most {QUERY_BYTES_MAX} are taken")]
    TooLong {
        /// As given.
        bytes: usize,
    },
    /// More than [`QUERY_TERMS_MAX`].
    #[error("a query has at most {QUERY_TERMS_MAX} terms")]
    TooManyTerms,
    /// More than [`QUERY_DEPTH_MAX`].
    #[error("brackets and `-` are at most {QUERY_DEPTH_MAX} deep")]
    TooDeep,
    /// A `(` without `)`.
    #[error("the bracket is not closed; expected `)`")]
    Unclosed,
    /// A `)` without `(`.
    #[error("there is no `(` before this `)`")]
    Unopened,
    /// A `"` without another.
    #[error("the quote is not closed; expected `\"`")]
    Unquoted,
    /// Brackets with nothing in them, `OR` with nothing beside it, `-` with nothing after it.
    #[error("expected a term {place}")]
    NoTerm {
        /// Where it is missing.
        place: &'static str,
    },
    /// A name before `:` that is none.
    #[error("there is no {name:?} to ask for; expected one of {}, field.<name>, or a text in quotes", known.join(", "))]
    UnknownKey {
        /// As given.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// Nothing after `:`.
    #[error("{key} has no value; expected {expected}")]
    NoValue {
        /// The name before `:`.
        key: String,
        /// What could be there.
        expected: String,
    },
    /// A value that the key does not take.
    #[error("{key} is {value:?}; expected {expected}")]
    BadValue {
        /// The name before `:`.
        key: String,
        /// As given.
        value: String,
        /// What could be there.
        expected: String,
    },
    /// `<` or `>` with something that has no order.
    #[error("{key} takes `:` only")]
    NoOrder {
        /// The name before the sign.
        key: String,
    },
}
