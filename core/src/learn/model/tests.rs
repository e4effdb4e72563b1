//! Whole dialogues through the model.

mod desk;
mod privacy;
mod sample;
