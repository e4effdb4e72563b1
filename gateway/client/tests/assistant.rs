//! The real `wagglectl` against the real gateway: suggestions, and what the assistant is taught. Where the gateway was
//! not built beside it, the tests say `SKIPPED`, and add a line to the file that `WAGGLE_SKIP_LOG` names.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../../tests/support/ready.rs"]
mod ready;

const PATIENCE: Duration = Duration::from_secs(30);
const ASKED: &str = "My new debit card has not arrived yet. I ordered it two weeks ago.";
const ASKED_AGAIN: &str = "My new debit card has not arrived yet, and I ordered it three weeks ago.";
const ANSWER: &str = "Your card is on its way: it arrives within five working days.";

/// A gateway as a process of its own, and who works at it.
struct Desk {
    gateway: Child,
    api: String,
    push: String,
    agent: String,
    admin: String,
    _folder: TempDir,
}

impl Drop for Desk {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

/// What a command line came to.
struct Done {
    code: Option<i32>,
    out: String,
    error: String,
}

impl Desk {
    /// `None` where there is no gateway to start.
    fn start(test: &str) -> Option<Self> {
        let waggle = Path::new(env!("CARGO_BIN_EXE_wagglectl")).with_file_name("waggle");
        if !waggle.is_file() {
            skip(test, "no gateway beside wagglectl: cargo build -p waggle-gateway");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(waggle);
        command
            .args(["serve", "--demo", "--accel", "off", "--output", "json"])
            .args(["--api", "127.0.0.1:0", "--push", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .env("WAGGLE_LOG_LEVEL", "error");
        let (gateway, ready) = ready::start(&mut command);
        let text = |pointer: &str| ready.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let (agent, admin) = (text("/demo/agents/0/token"), text("/demo/admin/token"));
        let (api, push) = (format!("http://{}", text("/api")), format!("ws://{}/v1/push", text("/push")));
        Some(Self { gateway, api, push, agent, admin, _folder: folder })
    }

    fn run(&self, token: &str, args: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wagglectl"));
        command.args(["--api", &self.api, "--token", token]).args(args).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: status.code(), out: text(stdout), error: text(stderr) }
    }

    /// What an administrator's command line that succeeds prints.
    fn told(&self, args: &[&str]) -> String {
        let done = self.run(&self.admin, args);
        assert_eq!((done.code, done.error.as_str()), (Some(0), ""), "{args:?}: {}", done.out);
        done.out
    }

    /// The same of the agent, as JSON.
    fn value(&self, args: &[&str]) -> Value {
        let done = self.run(&self.agent, &[args, &["--output", "json"]].concat());
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.error);
        serde_json::from_str(&done.out).unwrap()
    }

    /// A new ticket's number.
    fn create(&self, text: &str) -> String {
        let who = ["--queue", "1", "--subject", "Question", "--requester", "kim@example.com"];
        let event = self.value(&[&["ticket", "create"], &who[..], &["--text", text]].concat());
        event["ticket"].to_string()
    }

    /// The model's report, once it has learned everything.
    fn learned(&self) -> Value {
        let start = Instant::now();
        loop {
            let learn: Value =
                serde_json::from_str(&self.told(&["learn", "show", "--digest", "--output", "json"])).unwrap();
            if learn["behind"] == 0 && learn.get("folding").is_none_or(Value::is_null) {
                return learn;
            }
            assert!(start.elapsed() < PATIENCE, "{learn}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Somebody asks, and is answered; others ask other things.
    fn teach_by_work(&self) {
        for (asked, intent, answer) in [
            (ASKED, "card_arrival", ANSWER),
            ("I forgot the PIN of my card, how can I see it?", "pin", "Open the app, then Show PIN."),
            ("Please close my account for good.", "close_account", "Your account closes tonight."),
        ] {
            let ticket = self.create(asked);
            self.value(&["learn", "label", &ticket, "1", intent]);
            self.value(&["ticket", "reply", &ticket, answer]);
        }
        self.learned();
    }

    /// The first reply that is suggested for a ticket, and how it is named on a command line.
    fn suggested(&self, ticket: &str) -> (Value, String) {
        let told = self.value(&["suggest", ticket]);
        let reply = told["replies"][0].clone();
        assert_eq!(reply["text"], ANSWER, "{told}");
        let name = format!("{}:{}", reply["id"], told["model"]["version"]);
        (reply, name)
    }

    /// Names of intents, as the table has them.
    fn intents(&self) -> Vec<String> {
        self.learned();
        let table = self.told(&["learn", "intents"]);
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
        assert!(table.starts_with("intent "), "{table}");
        table.lines().skip(1).map(|line| line.split("  ").next().unwrap().to_owned()).collect()
    }
}

fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(log) = std::env::var_os("WAGGLE_SKIP_LOG") {
        let mut log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        writeln!(log, "{test}: {reason}").unwrap();
    }
}

#[test]
fn suggestions_are_shown_and_taken_edited_and_turned_down() {
    let Some(desk) = Desk::start("wagglectl suggest") else { return };
    desk.teach_by_work();
    let accepted = desk.create(ASKED_AGAIN);
    let card = desk.told(&["suggest", &accepted]);
    let (reply, name) = desk.suggested(&accepted);
    assert!(card.starts_with("message    1\nwanted     card_arrival, "), "{card}");
    assert!(card.contains("\nwhy        "), "{card}");
    let head = format!("\nreply {name} (accepted 0, edited 0, rejected 0, written 1)\n  {ANSWER}\n");
    assert!(card.contains(&head), "{card}");
    assert_eq!(desk.value(&["suggest", &accepted, "--message", "1"])["replies"][0]["id"], reply["id"]);

    let line = desk.told(&["ticket", "reply", &accepted, ANSWER, "--suggestion", &name]);
    assert!(line.ends_with("is now at version 2\n"), "{line}");
    let edited = desk.create(ASKED_AGAIN);
    let longer = format!("{ANSWER} Have a nice day.");
    let (_, name) = desk.suggested(&edited);
    desk.value(&["ticket", "reply", &edited, &longer, "--suggestion", &name]);
    let rejected = desk.create(ASKED_AGAIN);
    let (_, name) = desk.suggested(&rejected);
    let line = desk.told(&["learn", "feedback", &rejected, "1", &name, "rejected"]);
    assert!(
        line.contains(" feedback ") && line.contains(&format!("reply {} rejected", reply["id"])),
        "{line}"
    );
    desk.learned();
    let again = desk.create(ASKED_AGAIN);
    let (reply, _) = desk.suggested(&again);
    let counts = ["accepted", "edited", "rejected", "written"].map(|name| reply[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1], "{reply}");

    let line = desk.told(&["learn", "label", &again, "1", "card_late"]);
    assert!(line.contains("message 1: card_late\n"), "{line}");
    let line = desk.told(&["learn", "label", &again, "1"]);
    assert!(line.contains("message 1: none of the known\n"), "{line}");
}

#[test]
fn a_suggestion_is_shown_to_who_watches() {
    /// Ends it whatever happens.
    struct Watch(Child);

    impl Drop for Watch {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    let Some(desk) = Desk::start("wagglectl watch, suggestions") else { return };
    desk.teach_by_work();
    let ticket = desk.create("Good morning");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wagglectl"));
    command.args(["--push", &desk.push, "--token", &desk.agent]);
    command.args(["watch", "--view", &format!("ticket:{ticket}")]).stdin(Stdio::null());
    let mut watch = Watch(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    // It says so once it is live.
    let mut line = String::new();
    BufReader::new(watch.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("watching from "), "{line}");
    let text = format!(r#"{{"type":"message","text":"{ASKED_AGAIN}"}}"#);
    let wanted = format!(" {ANSWER}");
    let path = format!("/v1/tickets/{ticket}/commands");
    post(desk.api.strip_prefix("http://").unwrap(), &desk.agent, &path, &text);
    let stdout = BufReader::new(watch.0.stdout.take().unwrap());
    let (send, lines) = mpsc::sync_channel(64);
    // It ends with the output: when the watch is ended.
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let reply = loop {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        assert!(!line.contains(": not known"), "{line}");
        if line.contains(". reply ") {
            break line;
        }
    };
    let (head, name) = reply.strip_suffix(&wanted).unwrap().split_once(". reply ").unwrap();
    assert!(head.contains(&format!("#{ticket} ")), "{reply}");
    // As it is shown, so it is given back.
    desk.value(&["ticket", "reply", &ticket, ANSWER, "--suggestion", name]);
}

/// What no command line of an agent's does: a customer's further message.
fn post(address: &str, token: &str, path: &str, body: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
    );
    write!(stream, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn the_assistant_is_looked_at_and_taught() {
    let Some(desk) = Desk::start("wagglectl learn") else { return };
    desk.teach_by_work();
    let before = desk.learned();
    let shown = desk.told(&["learn", "show", "--digest"]);
    let version = format!("version    {} ({})\n", before["version"], before["recipe"].as_str().unwrap());
    assert!(shown.starts_with(&version), "{shown}");
    for line in
        ["digest     ", "lessons    6, 3 of them labelled\n", "intents    3, 3 replies\n", "accuracy   "]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(before["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{before}");
    assert_eq!(desk.intents().len(), 3);
    let lines = desk.told(&["learn", "intents", "--output", "json"]);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines}");

    let line = desk.told(&["learn", "create", "refund"]);
    assert!(line.contains(" taught ") && line.contains("create refund\nthis is event "), "{line}");
    let line = desk.told(&["learn", "rename", "card_arrival", "card_delivery"]);
    assert!(line.contains("rename card_arrival, to card_delivery\n"), "{line}");
    desk.told(&["learn", "merge", "pin", "close_account"]);
    desk.told(&["learn", "remove", "refund"]);
    let mut names = desk.intents();
    names.sort();
    assert_eq!(names, ["card_delivery", "close_account"]);

    let ticket = desk.create(ASKED_AGAIN);
    desk.told(&["learn", "mode", "1", "off"]);
    desk.learned();
    let off = desk.run(&desk.agent, &["suggest", &ticket]);
    assert_eq!(off.code, Some(3), "{}", off.out);
    assert!(off.error.contains("(suggestions_off"), "{}", off.error);
    desk.told(&["learn", "mode", "1", "auto", "--precision", "0.95", "--per-hour", "7"]);
    desk.learned();
    let shown = desk.told(&["learn", "show"]);
    let auto = "queue      1: auto, precision 95.0 %, at most 1 a ticket, at most 7 an hour\n";
    assert!(shown.contains(auto), "{shown}");
    desk.told(&["learn", "mode", "1", "suggest"]);
    desk.learned();
    assert!(desk.told(&["suggest", &ticket]).contains("card_delivery"));

    let challenger = desk.learned()["report"]["challenger"]["recipe"].as_str().unwrap().to_owned();
    desk.told(&["learn", "promote", &challenger]);
    assert_eq!(desk.learned()["recipe"], challenger.as_str());
    desk.told(&["learn", "bar", "weights"]);
    assert!(desk.learned()["report"]["barred"].to_string().contains("weights"));
    assert!(desk.told(&["learn", "show"]).contains("barred     weights\n"));
    desk.told(&["learn", "allow", "weights"]);
    desk.told(&["learn", "rollback", &before["position"].to_string()]);
    let mut names = desk.intents();
    names.sort();
    assert_eq!(names, ["card_arrival", "close_account", "pin"]);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let Some(desk) = Desk::start("wagglectl learn, refused") else { return };
    desk.teach_by_work();
    let open = desk.create(ASKED_AGAIN);
    for (line, code, reason) in [
        ("suggest 999", 4, "there is no ticket 999 (no_such_ticket"),
        ("suggest 1", 3, "(nothing_asked"),
        (&format!("suggest {open} --message 99"), 3, "(no_such_message"),
        ("suggest card", 2, "invalid value 'card' for '<TICKET>'"),
        ("learn rename nobody somebody", 3, "there is no intent \"nobody\"; expected the name of one that"),
        (
            "learn rename pin card_arrival",
            3,
            "the name \"card_arrival\" is taken; expected another one, or a merge",
        ),
        ("learn merge pin pin", 3, "cannot be merged into itself"),
        ("learn merge pin nobody", 3, "there is no intent \"nobody\""),
        ("learn remove nobody", 3, "there is no intent \"nobody\""),
        ("learn create pin", 3, "the name \"pin\" is taken"),
        ("learn rollback 1000000", 3, "offset 1000000 is not before what was learned last"),
        ("learn rollback soon", 2, "invalid value 'soon' for '<OFFSET>'"),
        ("learn promote forest", 3, "there is no recipe \"forest\"; expected one of"),
        ("learn bar forest", 3, "there is no recipe \"forest\"; expected one of"),
        ("learn mode 1 dance", 2, "[possible values: off, suggest, auto]"),
        ("learn mode 77 off", 3, "there is no queue 77 (no_such_queue"),
        ("learn mode 1 auto --precision 7", 3, "a precision of 7 is none; expected 0.5 to 0.999"),
        ("learn mode 1 auto --per-hour -1", 2, "unexpected argument '-1'"),
        (&format!("learn label {open} 99 pin"), 3, "(no_such_message"),
        (&format!("learn feedback {open} 1 5 accepted"), 2, "expected two numbers, REPLY:MODEL"),
        (&format!("learn feedback {open} 1 5:1 loved"), 2, "[possible values: accepted, edited, rejected]"),
        (&format!("learn feedback {open} 1 5:99999 accepted"), 3, "(unknown_suggestion"),
        (&format!("ticket reply {open} Hello --suggestion 5:99999"), 3, "(unknown_suggestion"),
    ] {
        let done = desk.run(&desk.admin, &line.split(' ').collect::<Vec<_>>());
        assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{line}: {}", done.error);
        assert!(done.error.contains(reason), "{line}: {}", done.error);
    }
    let empty = desk.run(&desk.admin, &["learn", "create", " "]);
    assert_eq!(empty.code, Some(3), "{}", empty.error);
    assert!(empty.error.contains("is no name for an intent; expected visible characters"), "{}", empty.error);
    let agent = desk.run(&desk.agent, &["learn", "create", "refund"]);
    assert_eq!(agent.code, Some(5), "{}", agent.error);
    let nobody = desk.run("wrong", &["learn", "show"]);
    assert_eq!(nobody.code, Some(5), "{}", nobody.error);
}

#[test]
fn helps_name_all_that_is_asked_for() {
    let help = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wagglectl")).args(args).arg("-h").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&["learn"]);
    for task in [
        "show", "intents", "label", "feedback", "create", "rename", "merge", "remove", "mode", "rollback",
        "promote", "bar", "allow",
    ] {
        assert!(all.contains(&format!("\n  {task} ")), "{task}: {all}");
        // Each argument has a word about it.
        for line in
            help(&["learn", task]).lines().filter(|line| line.starts_with("  <") || line.starts_with("  ["))
        {
            assert!(line.trim().contains("  "), "{task}: {line}");
        }
    }
}
