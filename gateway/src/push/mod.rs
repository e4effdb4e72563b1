//! The push engine: shards, sessions on sockets, fan-out.
