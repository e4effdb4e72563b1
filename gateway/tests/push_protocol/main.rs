//! The push protocol over real sockets, against an in-memory log.

mod harness;
mod hostile;
mod lifecycle;
mod sessions;
