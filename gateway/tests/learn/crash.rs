//! kill -9 while it learns, promotes and folds anew, over and over: the model is the fold of the log each time.
//!
//! `WAGGLE_LEARN_CRASHES` says how often (50).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::gateway::{Gateway, ask, check};

const WORDS: [&str; 12] = [
    "card", "refund", "pin", "transfer", "limit", "fee", "app", "login", "address", "top-up", "cash", "rate",
];

/// Asks, answers, labels, judges and teaches until the gateway is gone.
fn author(gateway: &Gateway, seed: u64, is_over: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (api, token, admin) = (gateway.api, gateway.token.clone(), gateway.admin.clone());
    let is_over = Arc::clone(is_over);
    std::thread::spawn(move || {
        let mut random = Random(seed);
        while !is_over.load(Ordering::SeqCst) {
            if work(api, &token, &admin, &mut random).is_none() {
                return;
            }
        }
    })
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[usize::try_from(self.below(WORDS.len() as u64)).unwrap()]
    }
}

fn work(api: SocketAddr, token: &str, admin: &str, random: &mut Random) -> Option<()> {
    let (word, other) = (random.word(), random.word());
    let text = format!("my {word} does not work with the {other}, number {}", random.below(1_000));
    let body =
        json!({"type": "create", "queue": 1, "subject": word, "requester": "kim@example.com", "text": text});
    let (_, event) = ask(api, token, "POST", "/v1/tickets", &body)?;
    let commands = format!("/v1/tickets/{}/commands", event["ticket"]);
    let intent = format!("{word}_problem");
    ask(api, token, "POST", &commands, &json!({"type": "label", "message": 1, "intent": intent}))?;
    let reply = json!({"type": "reply", "text": format!("Please restart the {word}."), "macro": intent});
    ask(api, token, "POST", &commands, &reply)?;
    match random.below(12) {
        0 => drop(ask(api, admin, "POST", "/v1/learn", &json!({"teach": "promote"}))?),
        1 => {
            let merge = json!({"teach": "merge", "name": intent, "into": format!("{other}_problem")});
            ask(api, admin, "POST", "/v1/learn", &merge)?;
        }
        2 => {
            let back = event["offset"].as_u64()?.saturating_sub(random.below(20));
            ask(api, admin, "POST", "/v1/learn", &json!({"teach": "rollback", "to": back}))?;
        }
        3..6 => {
            let verdict = ["accepted", "edited", "rejected"][usize::try_from(random.below(3)).unwrap()];
            let feedback = json!({"type": "feedback", "message": 1, "reply": random.below(12), "model": 1,
                "verdict": verdict});
            ask(api, token, "POST", &commands, &feedback)?;
        }
        _ => {}
    }
    Some(())
}

#[test]
fn the_model_is_the_fold_of_the_log_whenever_it_was_killed() {
    let crashes: u64 =
        std::env::var("WAGGLE_LEARN_CRASHES").map_or(50, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut random = Random(0x5eed);
    let mut gateway = Gateway::start(folder.path());
    let mut folded = 0;
    for crash in 0..crashes {
        let is_over = Arc::new(AtomicBool::new(false));
        let authors: Vec<_> = (0..2).map(|seed| author(&gateway, crash * 2 + seed, &is_over)).collect();
        std::thread::sleep(Duration::from_millis(20 + random.below(250)));
        match crash % 10 {
            // In the middle of things.
            2 => gateway.stop(),
            // So that the next ones begin with a file that was written at a stop.
            4 | 9 => {
                is_over.store(true, Ordering::SeqCst);
                while !authors.iter().all(JoinHandle::is_finished) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                gateway.learned();
                gateway.stop();
                let checked = check(folder.path());
                assert_eq!(checked["snapshot"]["state"], "same", "crash {crash}: {checked}");
            }
            _ => gateway.kill(),
        }
        is_over.store(true, Ordering::SeqCst);
        authors.into_iter().for_each(|author| author.join().unwrap());
        if crash % 10 == 9 {
            std::fs::write(folder.path().join("learn/1.model"), b"WGLMOD01 and something else").unwrap();
        }
        let checked = check(folder.path());
        assert_ne!(checked["snapshot"]["state"], "different", "crash {crash}: {checked}");
        gateway = Gateway::start(folder.path());
        let learned = gateway.learned();
        assert_eq!(
            (&learned["position"], &learned["digest"]),
            (&checked["offset"], &checked["digest"]),
            "crash {crash}: {learned}"
        );
        folded = learned["position"].as_u64().unwrap();
    }
    println!("{crashes} crashes, {folded} events");
}
