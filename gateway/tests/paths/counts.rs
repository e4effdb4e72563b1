//! Counts of saved views, pushed: against the gateway's own lists, for agents who may see different things.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::documents::Screen;
use crate::gateway::{Gateway, PATIENCE, connect};

/// One request as an agent; status and body.
fn ask(gateway: &Gateway, token: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let matching = if path.ends_with("/commands") { "If-Match: *\r\n" } else { "" };
    let mut stream = connect(gateway.api);
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         {matching}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

/// The same, which must be taken.
fn done(gateway: &Gateway, token: &str, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(gateway, token, method, path, Some(body));
    assert!((200..300).contains(&status), "{method} {path} {body}: {status} {answer}");
    answer
}

fn make_view(gateway: &Gateway, token: &str, query: &str, audience: &str) -> u64 {
    let view = json!({"name": "a view", "query": query, "audience": audience});
    done(gateway, token, "POST", "/v1/views", &view)["id"].as_u64().unwrap()
}

/// A watch of one count: what it says adds up.
struct Watch {
    screen: Screen,
    view: u64,
    count: i64,
    heard: u128,
}

impl Watch {
    fn begin(gateway: &Gateway, token: &str, view: u64) -> Self {
        let views = [format!("count:{view}")];
        let hello = json!({"type": "hello", "token": token, "views": views});
        let mut screen = Screen::open(gateway, &hello);
        let first = screen.hear("count");
        assert!(first["view"] == view && first["delta"].is_null(), "{first}");
        let count = first["count"].as_i64().unwrap();
        Self { screen, view, count, heard: 1 }
    }

    fn next(&mut self) {
        let told = self.screen.hear("count");
        assert_eq!(told["view"], self.view);
        assert_ne!(told["delta"], 0, "nothing has changed");
        self.count += told["delta"].as_i64().expect("a difference");
        assert_eq!(told["count"], self.count, "differences add up");
        self.heard += 1;
    }

    /// Hears until the count is so; it must be the last that is told.
    fn reaches(&mut self, count: i64) {
        while self.count != count {
            self.next();
        }
    }
}

fn count_of(gateway: &Gateway, token: &str, view: u64) -> i64 {
    ask(gateway, token, "GET", &format!("/v1/views/{view}/count"), None).1["count"].as_i64().unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Something that somebody does with one of `tickets`.
fn command(random: &mut Random, tickets: &mut u64) -> (String, Value) {
    if *tickets < 5 || random.below(4) == 0 {
        *tickets += 1;
        let queue = 1 + random.below(2);
        let create =
            json!({"type": "create", "queue": queue, "subject": "s", "requester": "kim", "text": "t"});
        return ("/v1/tickets".to_owned(), create);
    }
    let ticket = 1 + random.below(*tickets);
    let command = match random.below(6) {
        0 => json!({"type": "claim"}),
        1 => json!({"type": "set", "priority": "high"}),
        2 if random.below(2) == 0 => json!({"type": "set", "tags": {"vip": null}}),
        2 => json!({"type": "set", "tags": {"vip": true}}),
        3 => json!({"type": "move", "to": "solved"}),
        4 => json!({"type": "set", "queue": 1 + random.below(2)}),
        _ => json!({"type": "message", "text": "again"}),
    };
    (format!("/v1/tickets/{ticket}/commands"), command)
}

#[test]
fn counts_are_those_of_the_lists_whatever_happens() {
    let gateway = Gateway::start(&[]);
    let (ana, ben, admin) = (gateway.token.clone(), gateway.tokens[1].clone(), gateway.admin.clone());
    narrow(&gateway, &admin);
    let queries = [
        "status:open",
        "-category:solved assignee:none",
        "assignee:me",
        "tag:vip OR priority>=high",
        "created>-1d",
    ];
    let views = queries.map(|query| make_view(&gateway, &admin, query, "tenant"));
    let began = Instant::now();
    let mut watches = Vec::new();
    for view in views {
        for token in [&ana, &ben] {
            watches.push((token.clone(), Watch::begin(&gateway, token, view)));
        }
    }
    let (mut random, mut tickets, mut taken) = (Random(7), 0, 0);
    for _ in 0..200 {
        let (path, body) = command(&mut random, &mut tickets);
        let (status, _) = ask(&gateway, &admin, "POST", &path, Some(&body));
        taken += u32::from(status < 300);
    }
    assert!(taken > 80, "{taken} commands were taken");
    for (token, watch) in &mut watches {
        let wanted = count_of(&gateway, token, watch.view);
        watch.reaches(wanted);
        // At most twice a second, after the first.
        let most = began.elapsed().as_millis() / 500 + 2;
        assert!(watch.heard <= most, "{} in {:?}", watch.heard, began.elapsed());
        let again = Watch::begin(&gateway, token, watch.view);
        assert_eq!(again.count, wanted, "a new session is told anew");
    }
    let seen = |token: &str| count_of(&gateway, token, views[4]);
    assert!(seen(&ben) < seen(&ana), "ben sees one queue");
    assert_eq!(seen(&ana), i64::try_from(tickets).unwrap());
}

/// From now on ben sees one queue alone.
fn narrow(gateway: &Gateway, admin: &str) {
    let (_, grants) = ask(gateway, admin, "GET", "/v1/grants?agent=2", None);
    done(gateway, admin, "POST", "/v1/grants", &json!({"role": 2, "agent": 2, "queue": 1}));
    for grant in grants["grants"].as_array().unwrap() {
        let path = format!("/v1/grants/{}", grant["id"]);
        assert_eq!(ask(gateway, admin, "DELETE", &path, None).0, 204);
    }
}

#[test]
fn a_count_follows_its_view_and_the_rights_of_who_watches() {
    let gateway = Gateway::start(&[]);
    let (ana, ben, admin) = (gateway.token.clone(), gateway.tokens[1].clone(), gateway.admin.clone());
    for queue in [1, 1, 2] {
        let create = json!({"type": "create", "queue": queue, "subject": "s", "requester": "r", "text": "t"});
        done(&gateway, &ana, "POST", "/v1/tickets", &create);
    }
    let all = make_view(&gateway, &admin, "status:new", "tenant");
    let own = make_view(&gateway, &ana, "status:new", "private");
    let billing = make_view(&gateway, &admin, "queue:billing", "tenant");

    // Another's private view is not there, as one that there is not.
    let views = json!([format!("count:{own}"), "count:999"]);
    let mut stranger = Screen::open(&gateway, &json!({"type": "hello", "token": ben, "views": views}));
    let mut ended = [0, 1].map(|_| stranger.hear("ended")["views"][0].as_str().unwrap().to_owned());
    ended.sort();
    assert_eq!(ended, [format!("count:{own}"), "count:999".to_owned()]);

    let mut watch = Watch::begin(&gateway, &ben, all);
    let mut named = Watch::begin(&gateway, &ben, billing);
    assert_eq!((watch.count, named.count), (3, 1));
    narrow(&gateway, &admin);
    watch.reaches(2);
    // A query that names what may not be seen.
    assert_eq!(
        named.screen.hear("ended"),
        json!({"type": "ended", "views": [format!("count:{billing}")], "reason": "no_right"})
    );

    let path = format!("/v1/views/{all}");
    done(&gateway, &admin, "PATCH", &path, &json!({"query": "status:new id:1"}));
    watch.reaches(1);
    // The same view by another name goes on as it is; one that is no more the agent's ends.
    done(&gateway, &admin, "PATCH", &path, &json!({"name": "one"}));
    done(&gateway, &admin, "PATCH", &path, &json!({"audience": "private"}));
    assert_eq!(watch.screen.hear("ended")["views"], json!([format!("count:{all}")]));

    let mut mine = Watch::begin(&gateway, &ana, own);
    assert_eq!(ask(&gateway, &ana, "DELETE", &format!("/v1/views/{own}"), None).0, 204);
    assert_eq!(mine.screen.hear("ended")["reason"], "no_right");
}

#[test]
fn what_is_deleted_leaves_counts_and_comes_back() {
    let gateway = Gateway::start(&[]);
    let (ana, admin) = (gateway.token.clone(), gateway.admin.clone());
    for _ in 0..3 {
        let create = json!({"type": "create", "queue": 1, "subject": "s", "requester": "r", "text": "t"});
        done(&gateway, &ana, "POST", "/v1/tickets", &create);
    }
    let new = make_view(&gateway, &admin, "status:new", "tenant");
    let gone = make_view(&gateway, &admin, "is:deleted", "tenant");
    let mut watch = Watch::begin(&gateway, &ana, new);
    let mut hidden = Watch::begin(&gateway, &ana, gone);
    let mut deleted = Watch::begin(&gateway, &admin, gone);
    assert_eq!((watch.count, hidden.count, deleted.count), (3, 0, 0));
    let delete = json!({"tickets": [1, 3], "command": {"type": "delete"}});
    done(&gateway, &admin, "POST", "/v1/bulk", &delete);
    watch.reaches(1);
    deleted.reaches(2);
    done(&gateway, &admin, "POST", "/v1/tickets/3/commands", &json!({"type": "restore"}));
    watch.reaches(2);
    deleted.reaches(1);
    hidden.reaches(count_of(&gateway, &ana, gone));
    assert_eq!(hidden.count, 0, "whoever may not delete is told of none");
}

#[test]
fn each_different_count_is_kept_once() {
    let gateway = Gateway::start(&[]);
    let (ana, ben) = (gateway.token.clone(), gateway.tokens[1].clone());
    let admin = gateway.admin.clone();
    let [open, same, mine] = ["status:open", "status:open", "assignee:me"]
        .map(|query| make_view(&gateway, &admin, query, "tenant"));
    let mut watches = Vec::new();
    for token in [&ana, &ben, &ana] {
        watches.extend([open, same, mine].map(|view| Watch::begin(&gateway, token, view)));
    }
    // Open tickets, and each agent's own.
    wait_for(&gateway, &["waggle_count_watches 9\n", "waggle_count_kept 3\n"]);
    drop(watches);
    wait_for(&gateway, &["waggle_count_watches 0\n", "waggle_count_kept 0\n"]);
}

fn wait_for(gateway: &Gateway, lines: &[&str]) {
    let start = Instant::now();
    loop {
        let metrics = crate::documents::metrics(gateway);
        if lines.iter().all(|line| metrics.contains(&format!("\n{line}"))) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{lines:?} is not in {metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
