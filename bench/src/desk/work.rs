//! What a load asks for.

use crate::clock::Random;
use crate::wire::http::{Head, Requests};

/// A request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Which of [`Work::kinds`].
    pub kind: usize,
    /// Where the work keeps what the request is about.
    pub place: usize,
    /// What the work has to know of it when the answer is there.
    pub version: u32,
}

/// A source of requests that learns from their answers.
pub trait Work {
    /// What its requests are called, as figures begin.
    fn kinds(&self) -> &[&'static str];

    /// Writes the next request; `None`, and nothing written, where nothing can be asked for now.
    fn ask(&mut self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Option<Ask>;

    /// An answer is there.
    ///
    /// # Errors
    /// Says what is wrong with it.
    fn answered(&mut self, ask: Ask, head: &Head, body: &[u8]) -> Result<(), String>;

    /// The connection was lost: what became of the request is not known.
    fn lost(&mut self, ask: Ask);
}

/// What is wrong with an answer whose status was not expected.
#[must_use]
pub(super) fn unexpected(head: &Head) -> String {
    format!("http {}", head.status)
}
