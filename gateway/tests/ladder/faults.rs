//! Bad settings and a host that is occupied already.
