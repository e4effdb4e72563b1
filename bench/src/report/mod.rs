//! From results to what people look at: plots and tables.

mod plot;
mod table;

pub use plot::draw;
pub use table::{markdown, summary};
