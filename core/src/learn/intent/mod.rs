//! What a text wants: a linear learner of many classes that is told one example at a time.
//!
//! A text is a bag of hashed words, neighbouring words and runs of characters, and of one feature that every text has.
//! Its score for an intent is that of a linear learner with adaptive regularisation (AROW) plus, with a small weight, the
//! evidence that naive Bayes sees in how often an intent's texts had each feature: the first is the better judge of what
//! it has seen often, the second needs an example less. Both are in one sparse table.

mod baseline;
mod calibration;
mod encoding;
mod features;
mod intents;
mod ranking;
mod recipe;
mod row;
mod table;

#[cfg(test)]
mod tests;

pub use baseline::{Baseline, Method};
pub use features::{Features, Featurizer};
pub use intents::Intents;
pub use ranking::{IntentId, Ranking};
pub use recipe::Recipe;
