//! A push client that lives through all crashes and keeps what it was shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use waggle_client::{Client, Item, View};

use crate::gateway::Gateway;

pub(crate) struct Screen {
    seen: Arc<Mutex<Seen>>,
    _client: Client,
}

#[derive(Default)]
struct Seen {
    events: BTreeMap<u64, String>,
    problems: Vec<String>,
}

impl Screen {
    pub(crate) fn open(gateway: &Gateway, view: View) -> Self {
        let url = format!("ws://{}/v1/push", gateway.push);
        let builder = Client::builder(url, gateway.token.clone()).views([view]).from_start();
        let (client, mut items) = builder.connect().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shown = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(item) = items.next().await {
                let mut seen = shown.lock().unwrap();
                match item {
                    Item::Event(event) => {
                        let offset = offset_of(event.text());
                        if seen.events.last_key_value().is_some_and(|(newest, _)| *newest >= offset) {
                            seen.problems.push(format!("{view}: {offset} is not after the newest"));
                        }
                        seen.events.insert(offset, event.text().to_owned());
                    }
                    Item::Resync { .. } => seen.problems.push(format!("{view}: a resync")),
                    Item::Stopped { reason } => seen.problems.push(format!("{view}: stopped: {reason}")),
                    _ => {}
                }
            }
        });
        Self { seen, _client: client }
    }

    pub(crate) fn shown(&self) -> BTreeMap<u64, String> {
        self.seen.lock().unwrap().events.clone()
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.seen.lock().unwrap().problems.clone()
    }
}

pub(crate) fn offset_of(text: &str) -> u64 {
    serde_json::from_str::<Value>(text).unwrap()["offset"].as_u64().unwrap()
}

/// Which events belong to a view of agent 1, worked out from the whole log: queues never change here,
/// and only agent 1 holds anything.
pub(crate) fn expected(view: View, log: &BTreeMap<u64, String>) -> BTreeMap<u64, String> {
    let mut queues = BTreeMap::new();
    let mut held = BTreeSet::new();
    let mut expected = BTreeMap::new();
    for (offset, text) in log {
        let event: Value = serde_json::from_str(text).unwrap();
        let ticket = event["ticket"].as_u64().unwrap();
        let was_held = held.contains(&ticket);
        match event["kind"].as_str().unwrap() {
            "created" => drop(queues.insert(ticket, event["data"]["queue"].as_u64().unwrap())),
            "claimed" => drop(held.insert(ticket)),
            "released" => drop(held.remove(&ticket)),
            _ => {}
        }
        let belongs = match view {
            View::Queue(queue) => queues.get(&ticket) == Some(&u64::from(queue.0)),
            View::Mine | View::Inbox => was_held || held.contains(&ticket),
            View::Tenant | View::Ticket(_) => true,
            View::Presence | View::Count(_) => false,
        };
        if belongs {
            expected.insert(*offset, text.clone());
        }
    }
    expected
}
