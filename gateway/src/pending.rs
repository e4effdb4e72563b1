//! Stand-in for the push engine, to be deleted when that arrives: it listens and closes what connects.

#![allow(missing_docs, unreachable_pub, dead_code)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::directory::Directory;
use crate::ledger::{Ledger, PublishedBatch, Publisher};

pub struct PushHub;

impl PushHub {
    pub fn new(_shards: usize) -> Arc<Self> {
        Arc::new(Self)
    }
}

impl Publisher for PushHub {
    fn publish(&self, _batch: &Arc<PublishedBatch>) {}
}

pub struct PushConfig {
    pub tcp: SocketAddr,
    pub unix: Option<PathBuf>,
    pub shards: usize,
    pub node: String,
    pub heartbeat_ms: u64,
}

pub struct PushEngine {
    listener: std::net::TcpListener,
    _config: PushConfig,
}

impl PushEngine {
    pub fn start(
        config: PushConfig,
        _hub: Arc<PushHub>,
        _ledger: Ledger,
        _directory: Directory,
    ) -> io::Result<Self> {
        Ok(Self { listener: std::net::TcpListener::bind(config.tcp)?, _config: config })
    }

    pub fn tcp_addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self._config.tcp)
    }

    pub fn adopt(&self, _stream: std::net::TcpStream, _leftover: Bytes, _remote: SocketAddr) {}

    pub async fn drain(&self, _after_ms: u64, _spread_ms: u64) {}
}
