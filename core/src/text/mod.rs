//! Texts as people write them: words, what reads the same, and what must not be kept of them.

mod dictionary;
mod mask;
mod normalise;
mod split;
mod words;

pub use mask::{Masked, Personal, Span, mask};
pub use normalise::normalise;
pub use words::{Word, words};

pub(crate) use dictionary::dictionary_words;
pub(crate) use split::{Stretch, composed, is_run_on, is_without_capitals, stretches};
pub(crate) use words::{each_word, fold_word, folded, is_without_spaces};
