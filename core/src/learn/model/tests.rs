//! Whole dialogues through the model.

mod automatic;
mod bad_input;
mod counting;
mod desk;
mod learning;
mod once;
mod privacy;
mod sample;
mod trust;
mod versions;
