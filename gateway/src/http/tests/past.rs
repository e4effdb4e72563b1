//! Tickets and lists as they were: what is told of an instant later is what was told at that instant.

use std::time::Duration;

use serde_json::{Value, json};

use super::{World, create};
use crate::http::auth;

const LISTS: [&str; 8] = [
    "/v1/tickets?limit=200",
    "/v1/tickets?sort=updated&limit=3",
    "/v1/tickets?sort=-priority&limit=2&query=-tag:vip",
    "/v1/tickets?sort=due&limit=4&query=assignee:none",
    "/v1/tickets?query=assignee:me%20status:open",
    "/v1/tickets?query=queue:billing&sort=-updated",
    "/v1/tickets?query=has:attachment%20OR%20updated%3E-1h%20tag:vip",
    "/v1/views/1/tickets?limit=2",
];

/// What the world told at an instant.
struct Told {
    at: u64,
    lists: Vec<Value>,
    tickets: Vec<Value>,
}

/// All pages of a list.
async fn pages(world: &World, path: &str) -> Value {
    let (mut tickets, mut next) = (Vec::new(), None::<String>);
    loop {
        let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        let answer = world.get(&format!("{path}{cursor}")).await;
        let page = answer.json();
        assert_eq!(answer.status, 200, "{path}: {page}");
        tickets.extend(page["tickets"].as_array().unwrap().iter().cloned());
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            return json!({"tickets": tickets, "count": page["count"]});
        }
    }
}

async fn told(world: &World, tickets: u64) -> Told {
    let at = auth::now().0;
    let mut told = Told { at, lists: Vec::new(), tickets: Vec::new() };
    for list in LISTS {
        told.lists.push(pages(world, list).await);
    }
    for ticket in 1..=tickets {
        told.tickets.push(world.get(&format!("/v1/tickets/{ticket}")).await.json());
    }
    told
}

/// Something that happens; the number of tickets then.
async fn happen(world: &World, step: u64, tickets: u64) -> u64 {
    let ticket = step * 7 % tickets.max(1) + 1;
    let command = match step % 9 {
        _ if tickets < 4 || step.is_multiple_of(6) => {
            let mut new = create();
            (new["queue"], new["due_at"]) = (json!(1 + step % 2), json!(step % 3 * 1_000_000));
            if step.is_multiple_of(3) {
                new.as_object_mut().unwrap().remove("due_at");
            }
            world.post("/v1/tickets", new).await;
            return tickets + 1;
        }
        1 => json!({"type": "claim"}),
        2 => json!({"type": "set", "priority": "high"}),
        3 => json!({"type": "set", "tags": {"vip": true}, "due_at": step * 1_000}),
        4 => json!({"type": "set", "tags": {"vip": null}, "subject": format!("subject {step}")}),
        5 => json!({"type": "set", "queue": 1 + step % 2}),
        7 => {
            let path = format!("/v1/tickets/{ticket}/attachments?name=a.txt");
            world.post_as(&world.admin, &path, &[], format!("text {step}")).await;
            return tickets;
        }
        _ => json!({"type": "message", "text": "again"}),
    };
    let path = format!("/v1/tickets/{ticket}/commands");
    world.post_as(&world.admin, &path, &[("if-match", "*")], command.to_string()).await;
    tickets
}

#[tokio::test]
async fn the_past_is_what_was_told_then() {
    let world = World::new().await;
    let view = json!({"name": "v", "query": "-assignee:none OR priority:high", "sort": "priority"});
    world.post("/v1/views", view).await;
    let (mut tickets, mut history) = (0, Vec::new());
    for step in 0..50 {
        tickets = happen(&world, step, tickets).await;
        if step % 5 == 0 {
            history.push(told(&world, tickets).await);
        }
        // No two things are of one millisecond.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let mut changed = 0;
    for Told { at, lists, tickets } in &history {
        for (path, wanted) in LISTS.iter().zip(lists) {
            let found = pages(&world, &format!("{path}&at={at}")).await;
            assert_eq!(found, *wanted, "{path} at {at}");
        }
        for (number, wanted) in (1..).zip(tickets) {
            let found = world.get(&format!("/v1/tickets/{number}?at={at}")).await.json();
            changed += u32::from(world.get(&format!("/v1/tickets/{number}")).await.json() != found);
            assert_eq!(found, *wanted, "ticket {number} at {at}");
        }
    }
    assert!(changed > 20, "{changed} tickets have changed since");
    // One that there was not yet.
    let first = history[0].at;
    assert_eq!(world.get(&format!("/v1/tickets/{tickets}?at={first}")).await.code(), "no_such_ticket");
}

#[tokio::test]
async fn the_past_is_seen_with_the_eyes_of_today() {
    let world = World::new().await;
    world.create().await;
    let at = auth::now().0;
    tokio::time::sleep(Duration::from_millis(3)).await;
    let list = format!("/v1/tickets?at={at}");
    let one = format!("/v1/tickets/1?at={at}");
    assert_eq!(world.get_as(&world.ben, &list, &[]).await.json()["count"], 1);
    assert_eq!(world.get_as(&world.stranger, &list, &[]).await.json()["count"], 0);
    assert_eq!(world.get_as(&world.stranger, &one, &[]).await.code(), "no_such_ticket");
    // Of another way to say the same instant, and of what is no instant.
    for (text, code) in
        [("1970-01-01T00:00:00Z", ""), ("2999-01-01T00:00:00Z", "bad_query"), ("yesterday", "bad_query")]
    {
        let answer = world.get(&format!("/v1/tickets?at={text}")).await;
        if code.is_empty() {
            assert_eq!((answer.status.as_u16(), answer.json()["count"].as_u64()), (200, Some(0)));
        } else {
            assert_eq!(answer.code(), code, "{text}");
        }
    }
    let words = world.get(&format!("{list}&query=card")).await;
    assert_eq!(words.code(), "bad_query");
    assert!(words.json()["detail"].as_str().unwrap().contains("words are found as they are now"));
}
