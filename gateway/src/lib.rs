//! The Waggle gateway: everything that touches the world.

pub mod accel;
