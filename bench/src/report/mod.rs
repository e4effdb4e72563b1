//! From results to what people look at: plots and tables.

mod peers;
mod plot;
mod table;

pub use peers::{groups, sides};
pub use plot::draw;
pub use table::{line, markdown, summary};
