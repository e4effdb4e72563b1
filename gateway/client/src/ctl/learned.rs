//! What the assistant suggests and how it stands, as lines for people.

use std::fmt::Write as _;

use serde_json::Value;
use waggle_client::Suggestion;

use super::render::{columns, cut, plain};

/// Columns that names of intents may take.
const NAME_COLUMNS: usize = 40;
/// Pairs of intents that are shown as confused.
const CONFUSIONS: usize = 5;

/// A suggestion with all its replies.
pub(super) fn card(told: &Suggestion) -> String {
    let maybe = || {
        let one = |it: &waggle_client::Candidate| format!("{} {}", plain(&it.intent), share(it.confidence));
        told.candidates.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let wanted = match &told.intent {
        Some(intent) => {
            let (name, sure) = (plain(&intent.name), share(intent.confidence));
            format!("{name}, {sure} sure (known from {} on)", share(intent.threshold))
        }
        None if told.candidates.is_empty() => "not known".to_owned(),
        None => format!("not known; maybe {}", maybe()),
    };
    let mut out =
        format!("message    {}\nwanted     {wanted}\nwhy        {}\n", told.message, plain(&told.why));
    for reply in &told.replies {
        let lines: String = reply.text.lines().map(|line| format!("  {}\n", plain(line))).collect();
        let counts = [
            ("accepted", reply.accepted),
            ("edited", reply.edited),
            ("rejected", reply.rejected),
            ("written", reply.written),
        ];
        let counts = counts.map(|(what, count)| format!("{what} {count}")).join(", ");
        // Writing to a String cannot fail.
        let _ = write!(out, "\nreply {}:{} ({counts})\n{lines}", reply.id, told.model.version);
    }
    out
}

/// How the model stands.
pub(super) fn overview(learn: &Value) -> String {
    let text = |pointer: &str| match learn.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => plain(text).into_owned(),
        Some(other) => other.to_string(),
    };
    let percent = |pointer: &str| percent(learn.pointer(pointer));
    let mut out = String::new();
    let mut line = |name: &str, told: String| {
        let _ = writeln!(out, "{name:<11}{told}");
    };
    line("version", format!("{} ({})", text("/version"), text("/recipe")));
    if learn.get("ready").is_some_and(|ready| ready == false) {
        line("ready", "no, the log is being read: nothing is suggested until then".to_owned());
    }
    line("position", format!("{} of {}, {} behind", text("/position"), text("/head"), text("/behind")));
    if learn.get("folding").is_some_and(|folding| !folding.is_null()) {
        line("folding", text("/folding"));
    }
    if learn.get("digest").is_some_and(Value::is_string) {
        line("digest", text("/digest"));
    }
    let file = match learn.pointer("/snapshot/offset") {
        Some(offset) => format!("{}, up to {offset}", text("/snapshot/state")),
        None => text("/snapshot/state"),
    };
    line("file", file);
    line("lessons", format!("{}, {} of them labelled", text("/report/lessons"), text("/report/labelled")));
    line("intents", format!("{}, {} replies", list(learn, "/report/intents").len(), text("/report/replies")));
    let accuracy = ["/report/champion/accuracy_1000", "/report/champion/accuracy_100"].map(percent);
    line("accuracy", format!("{} of the newest 1,000, {} of the newest 100", accuracy[0], accuracy[1]));
    let known = ["threshold", "precision", "answered"].map(|it| percent(&format!("/report/champion/{it}")));
    line("known", format!("from {} on: {} of those right, {} of all messages", known[0], known[1], known[2]));
    if let Some(name) = learn.pointer("/report/challenger/recipe").and_then(Value::as_str) {
        let accuracy = percent("/report/challenger/accuracy_1000");
        let evidence = ["/report/trial/e_value", "/report/trial/needed"];
        let [evidence, needed] = evidence.map(|it| learn.pointer(it).and_then(Value::as_f64));
        let trial = evidence.zip(needed).map(|(has, needs)| format!(", evidence {has:.2} of {needs:.0}"));
        line("challenger", format!("{}, {accuracy}{}", plain(name), trial.unwrap_or_default()));
    }
    for barred in list(learn, "/report/barred") {
        line("barred", plain(barred.as_str().unwrap_or_default()).into_owned());
    }
    for mode in list(learn, "/report/modes") {
        line("queue", format!("{}: {}", member(mode, "queue"), mode_of(mode)));
    }
    for pair in list(learn, "/report/confusions").iter().take(CONFUSIONS) {
        let [taught, predicted, times] = ["taught", "predicted", "times"].map(|name| member(pair, name));
        line("confused", format!("{taught}, taken for {predicted}: {times} times"));
    }
    out
}

fn mode_of(mode: &Value) -> String {
    let mut told = member(mode, "mode");
    if let Some(precision) = mode.get("precision") {
        let _ = write!(told, ", precision {}", percent(Some(precision)));
    }
    for (name, per) in [("per_ticket", "a ticket"), ("per_hour", "an hour")] {
        if let Some(most) = mode.get(name) {
            let _ = write!(told, ", at most {most} {per}");
        }
    }
    told
}

/// A row for each intent, below heads.
pub(super) fn intents(intents: &[Value]) -> String {
    // "100.0 %"
    const SHARE_COLUMNS: usize = 7;
    const HEADS: [&str; 6] = ["lessons", "precision", "recall", "asked", "known from", "replies"];
    let name =
        |intent: &Value| cut(intent.get("name").and_then(Value::as_str).unwrap_or_default(), NAME_COLUMNS);
    let width = intents.iter().map(|intent| columns(&name(intent))).fold("intent".len(), usize::max);
    let row = |name: &str, cells: [String; 6]| {
        let room = " ".repeat(width.saturating_sub(columns(name)));
        let cell = |(cell, head): (&String, &str)| format!("  {cell:>0$}", head.len().max(SHARE_COLUMNS));
        let cells: String = cells.iter().zip(HEADS).map(cell).collect();
        format!("{name}{room}{cells}\n")
    };
    let mut out = row("intent", HEADS.map(str::to_owned));
    for intent in intents {
        let number = |name: &str| intent.get(name).map_or_else(|| "-".to_owned(), Value::to_string);
        let share = |name: &str| percent(intent.get(name));
        // More than 1: so sure it never is.
        let threshold = match intent.get("threshold").and_then(Value::as_f64) {
            Some(threshold) if threshold > 1.0 => "never".to_owned(),
            _ => share("threshold"),
        };
        let cells = [
            number("lessons"),
            share("precision"),
            share("recall"),
            number("support"),
            threshold,
            number("replies"),
        ];
        out.push_str(&row(&name(intent), cells));
    }
    out
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn member(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => plain(text).into_owned(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    }
}

/// A share from 0 to 1; `-` where there is none.
fn percent(share: Option<&Value>) -> String {
    share.and_then(Value::as_f64).map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn share(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_suggestion_says_what_it_is_of() {
        let mut told = json!({"ticket": 7, "message": 3, "model": {"version": 12, "recipe": "replay"},
            "intent": {"name": "card\u{1b}[2J", "confidence": 0.934, "threshold": 0.71},
            "candidates": [{"intent": "card", "confidence": 0.934}, {"intent": "pin", "confidence": 0.04}],
            "replies": [{"id": 5, "text": "On its way.\nBye", "accepted": 2, "edited": 1, "rejected": 0, "written": 4}],
            "why": "because"});
        let card_of = |told: &Value| card(&serde_json::from_value(told.clone()).unwrap());
        assert_eq!(
            card_of(&told),
            "message    3\nwanted     card [2J, 93 % sure (known from 71 % on)\nwhy        because\n\n\
             reply 5:12 (accepted 2, edited 1, rejected 0, written 4)\n  On its way.\n  Bye\n"
        );
        told["intent"] = Value::Null;
        told["replies"] = json!([]);
        assert_eq!(
            card_of(&told),
            "message    3\nwanted     not known; maybe card 93 %, pin 4 %\nwhy        because\n"
        );
    }

    #[test]
    fn intents_are_in_columns() {
        let all = json!([
            {"name": "card_arrival", "lessons": 120, "precision": 0.933_333_4, "recall": 1.0, "support": 15,
             "threshold": 0.5, "replies": 3},
            {"name": "退款", "lessons": 2, "precision": null, "recall": null, "support": 0, "threshold": 1.5, "replies": 0},
        ]);
        let told = intents(all.as_array().unwrap());
        let wanted = "\
intent        lessons  precision   recall    asked  known from  replies
card_arrival      120     93.3 %  100.0 %       15      50.0 %        3
退款                2          -        -        0       never        0
";
        assert_eq!(told, wanted, "{told}");
        assert_eq!(intents(&[]).lines().count(), 1);
    }

    #[test]
    fn an_overview_has_what_there_is() {
        let mut learn = json!({"version": 9, "recipe": "replay", "position": 12, "head": 12, "behind": 0,
            "digest": "ab", "snapshot": {"state": "none"},
            "report": {"lessons": 3, "labelled": 2, "replies": 1, "intents": [{}, {}],
                "champion": {"accuracy_1000": 0.5, "accuracy_100": 0.5, "threshold": 0.9, "precision": null}}});
        let wanted = "\
version    9 (replay)
position   12 of 12, 0 behind
digest     ab
file       none
lessons    3, 2 of them labelled
intents    2, 1 replies
accuracy   50.0 % of the newest 1,000, 50.0 % of the newest 100
known      from 90.0 % on: - of those right, - of all messages
";
        assert_eq!(overview(&learn), wanted);
        learn["folding"] = json!("rolled back");
        learn["ready"] = json!(false);
        learn["snapshot"] = json!({"state": "written", "offset": 12});
        learn["report"]["challenger"] = json!({"recipe": "one-pass", "accuracy_1000": 0.25});
        learn["report"]["trial"] = json!({"e_value": 1.234, "needed": 100.0});
        learn["report"]["barred"] = json!(["weights"]);
        learn["report"]["modes"] = json!([
            {"queue": 1, "mode": "auto", "precision": 0.95, "per_ticket": 1, "per_hour": 20},
            {"queue": 2, "mode": "off"},
        ]);
        learn["report"]["confusions"] = json!([{"taught": "a", "predicted": "b", "times": 4}]);
        for line in [
            "ready      no, the log is being read",
            "folding    rolled back\n",
            "file       written, up to 12\n",
            "challenger one-pass, 25.0 %, evidence 1.23 of 100\n",
            "barred     weights\n",
            "queue      1: auto, precision 95.0 %, at most 1 a ticket, at most 20 an hour\n",
            "queue      2: off\n",
            "confused   a, taken for b: 4 times\n",
        ] {
            assert!(overview(&learn).contains(line), "{line}{}", overview(&learn));
        }
    }
}
