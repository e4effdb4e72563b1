//! What acceleration brings, on the wires of the laboratory.

mod loss;
mod streams;

pub use loss::{LossArguments, run as run_loss};
