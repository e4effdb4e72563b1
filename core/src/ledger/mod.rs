//! The pure half of the ledger: the order of a batch, and the ring of recent events.

mod assembler;
mod ring;
mod slot;

pub use assembler::{Admitted, Assembler, Placed};
pub use ring::Ring;
pub use slot::{Slot, Written};
