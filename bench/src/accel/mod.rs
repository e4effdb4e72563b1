//! What acceleration brings, on the wires of the laboratory.

mod flood;
mod loss;
mod streams;
mod verdict;
mod way;

pub use flood::{FloodArguments, run as run_flood};
pub use loss::{LossArguments, run as run_loss};
pub use verdict::{VerdictArguments, run as run_verdict};
pub use way::{WayArguments, run as run_way};
