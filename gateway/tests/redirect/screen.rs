//! A push client of the library, and what it was shown.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Handle;
use waggle_client::{Client, Item, View};

use crate::gateway::Gateway;

pub(crate) struct Screen {
    seen: Arc<Mutex<Seen>>,
    _client: Client,
}

#[derive(Default)]
struct Seen {
    offsets: Vec<u64>,
    problems: Vec<String>,
}

impl Screen {
    /// From the log's first event on.
    pub(crate) fn open(runtime: &Handle, gateway: &Gateway) -> Self {
        let _inside = runtime.enter();
        let url = format!("ws://{}/v1/push", gateway.push);
        let builder = Client::builder(url, gateway.token.clone()).views([View::Tenant]).from_start();
        let (client, mut items) = builder.connect().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shown = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Some(item) = items.next().await {
                let mut seen = shown.lock();
                match item {
                    Item::Event(event) => {
                        let event: Value = serde_json::from_str(event.text()).unwrap();
                        seen.offsets.push(event["offset"].as_u64().unwrap());
                    }
                    Item::Resync { .. } => seen.problems.push("a resync".to_owned()),
                    Item::Stopped { reason } => seen.problems.push(format!("stopped: {reason}")),
                    _ => {}
                }
            }
        });
        Self { seen, _client: client }
    }

    pub(crate) fn has(&self, offset: u64) -> bool {
        self.seen.lock().offsets.last().is_some_and(|newest| *newest >= offset)
    }

    /// Each event up to `newest` was shown once, in order, and nothing went wrong.
    pub(crate) fn check(&self, newest: u64) {
        let seen = self.seen.lock();
        assert!(seen.problems.is_empty(), "{:?}", seen.problems);
        let all: Vec<u64> = (1..=newest).collect();
        assert!(seen.offsets == all, "{} of {newest} events: {:?}", seen.offsets.len(), seen.offsets.last());
    }
}
