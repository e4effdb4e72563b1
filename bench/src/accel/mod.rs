//! What acceleration brings, on the wires of the laboratory.

mod arrivals;
mod cost;
mod flood;
mod loss;
mod redirect;
mod streams;
mod verdict;
mod way;

pub use flood::{FloodArguments, run as run_flood};
pub use loss::{LossArguments, run as run_loss};
pub use redirect::{RedirectArguments, run as run_redirect};
pub use verdict::{VerdictArguments, run as run_verdict};
pub use way::{WayArguments, run as run_way};
