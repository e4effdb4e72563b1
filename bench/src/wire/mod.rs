//! Bytes of the protocols that are driven, written and read by hand.

pub mod frame;
pub mod http;
pub mod message;
