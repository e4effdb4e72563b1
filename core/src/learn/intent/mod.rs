//! What a text wants: a linear learner of many classes that is told one example at a time.

mod features;
mod intents;
mod ranking;
mod recipe;

pub use features::{Features, Featurizer};
pub use intents::Intents;
pub use ranking::{IntentId, Ranking};
pub use recipe::Recipe;
