//! Events and tickets as lines for people.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use unicode_width::UnicodeWidthChar;
use waggle_client::EventMessage;

/// Columns of a line that goes to no terminal.
const FILE_COLUMNS: usize = 240;
const ARROW: &str = "\u{2192}";

/// How lines are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) is_colored: bool,
    pub(crate) columns: usize,
}

impl Look {
    /// For a terminal as wide as it is now, or for a file.
    pub(crate) fn of(is_terminal: bool, is_colored: bool) -> Self {
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let columns = if is_terminal { width.unwrap_or(80) } else { FILE_COLUMNS };
        Self { is_colored, columns: columns.max(40) }
    }
}

/// A symbol and its colour for each kind of event.
fn sign(kind: &str) -> (&'static str, AnsiColor) {
    match kind {
        "created" => ("+", AnsiColor::Green),
        "message" => ("<", AnsiColor::Yellow),
        "reply" => (">", AnsiColor::Cyan),
        "note" => ("~", AnsiColor::BrightBlack),
        "set" => ("=", AnsiColor::Blue),
        "moved" => (ARROW, AnsiColor::Magenta),
        "claimed" => ("\u{25cf}", AnsiColor::Blue),
        "released" => ("\u{25cb}", AnsiColor::Blue),
        "assigned" => ("\u{21d2}", AnsiColor::Blue),
        "attached" => ("@", AnsiColor::Blue),
        "feedback" | "labelled" | "taught" => ("*", AnsiColor::Magenta),
        _ => ("?", AnsiColor::White),
    }
}

/// One line, with its newline: time (UTC), ticket, kind, actor, and what happened.
pub(crate) fn event_line(event: &EventMessage, look: Look) -> String {
    let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let (symbol, color) = sign(&event.kind);
    let time = clock(event.at.0);
    let number = format!("#{}", event.ticket);
    let actor = plain(&event.actor);
    let head = format!("{time} {number:<8} {symbol} {:<9} {:<10} ", plain(&event.kind), actor);
    let room = look.columns.saturating_sub(columns(&head));
    let tail = cut(&happened(&event.kind, &data), room);
    if !look.is_colored {
        return format!("{}\n", format!("{head}{tail}").trim_end());
    }
    let dim = Style::new().dimmed();
    let bold = Style::new().bold();
    let sign = color.on_default();
    let kind = plain(&event.kind);
    format!(
        "{dim}{time}{dim:#} {bold}{number:<8}{bold:#} {sign}{symbol} {kind:<9}{sign:#} {dim}{actor:<10}{dim:#} {tail}\n"
    )
}

/// What an event says beyond its kind.
fn happened(kind: &str, data: &Value) -> String {
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or_default();
    let moved = match (text("from"), text("status")) {
        ("", _) | (_, "") => String::new(),
        (from, to) => format!("{from} {ARROW} {to}"),
    };
    let in_brackets = if moved.is_empty() { String::new() } else { format!("[{moved}] ") };
    match kind {
        "created" => {
            let urgency = match text("priority") {
                "" | "normal" => String::new(),
                other => format!(", {other}"),
            };
            let (subject, said) = (text("subject"), text("text"));
            let rest = if said.starts_with(subject.trim_end_matches('\u{2026}')) { "" } else { said };
            let dash = if rest.is_empty() { "" } else { " \u{2014} " };
            format!("[queue {}{urgency}] {subject}{dash}{rest}", number("queue"))
        }
        "set" => {
            let fields = ["subject", "priority", "queue"];
            let given = fields.iter().filter_map(|name| Some((name, data.get(*name)?)));
            given.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
        }
        "assigned" => format!("{in_brackets}to agent:{}, fence {}", number("agent"), number("fence")),
        "attached" => {
            let name = data.pointer("/attachment/name").and_then(Value::as_str).unwrap_or_default();
            format!("{in_brackets}{name}")
        }
        "claimed" => format!("{in_brackets}fence {}", number("fence")),
        "moved" => moved,
        "feedback" => format!("reply {} {}", number("reply"), text("verdict")),
        "labelled" => {
            let intent = if text("intent").is_empty() { "none of the known" } else { text("intent") };
            format!("message {}: {intent}", number("message"))
        }
        "taught" => taught(data),
        _ => format!("{in_brackets}{}", text("text")),
    }
}

/// What an administrator has taught: what, about which intent, and all that belongs to it.
fn taught(data: &Value) -> String {
    let bare = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let teach = data.get("teach").map(bare).unwrap_or_default();
    let subject = ["name", teach.as_str()].into_iter().find_map(|name| Some((name, data.get(name)?)));
    let mut told = subject.map_or_else(|| teach.clone(), |(_, value)| format!("{teach} {}", bare(value)));
    let is_told = |name: &str| name == "teach" || subject.is_some_and(|(subject, _)| subject == name);
    for (name, value) in data.as_object().into_iter().flatten().filter(|(name, _)| !is_told(name)) {
        told.push_str(&format!(", {name} {}", bare(value)));
    }
    told
}

/// Hours, minutes and seconds of a time, in UTC: the same line wherever it is drawn.
fn clock(at_ms: u64) -> String {
    let seconds = at_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Text of others without what moves a terminal's cursor, rings its bell or breaks the line.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().all(|it| !is_control(it)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|it| if is_control(it) { ' ' } else { it }).collect())
}

/// Control characters, and those that turn the direction of writing.
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|it| it.width().unwrap_or(0)).sum()
}

/// `text` on one line, runs of white space as one space, cut to `room` columns.
pub(crate) fn cut(text: &str, room: usize) -> String {
    let text = plain(text);
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let space = usize::from(!out.is_empty());
        if used + space < room && space == 1 {
            out.push(' ');
            used += 1;
        }
        for character in word.chars() {
            let width = character.width().unwrap_or(0);
            if used + width > room {
                return ellipsis(out, used, room);
            }
            out.push(character);
            used += width;
        }
    }
    out
}

/// Makes room for an ellipsis, and sets it.
fn ellipsis(mut out: String, mut used: usize, room: usize) -> String {
    while used + 1 > room {
        match out.pop() {
            Some(character) => used -= character.width().unwrap_or(0),
            None => return out,
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\u{2026}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, data: &str, columns: usize) -> String {
        let text = format!(
            r#"{{"offset":1,"ticket":17,"version":1,"kind":"{kind}","at":3723000,"actor":"agent:3","data":{data}}}"#
        );
        let event = serde_json::from_str(&text).unwrap();
        event_line(&event, Look { is_colored: false, columns })
    }

    #[test]
    fn one_tidy_line_for_each_kind() {
        let created = r#"{"queue":2,"subject":"Card","requester":"a@b","priority":"high","status":"new","text":"It\nhas  not come"}"#;
        let cases = [
            ("created", created, "+ created   agent:3    [queue 2, high] Card \u{2014} It has not come"),
            (
                "message",
                r#"{"from":"solved","status":"open","text":"hm"}"#,
                "< message   agent:3    [solved \u{2192} open] hm",
            ),
            ("reply", r#"{"text":"done"}"#, "> reply     agent:3    done"),
            ("set", r#"{"priority":"low","queue":3}"#, "= set       agent:3    priority \"low\", queue 3"),
            (
                "moved",
                r#"{"from":"open","status":"solved"}"#,
                "\u{2192} moved     agent:3    open \u{2192} solved",
            ),
            (
                "claimed",
                r#"{"agent":3,"fence":2,"from":"new","status":"open"}"#,
                "\u{25cf} claimed   agent:3    [new \u{2192} open] fence 2",
            ),
            ("released", "{}", "\u{25cb} released  agent:3"),
            ("assigned", r#"{"agent":4,"fence":3}"#, "\u{21d2} assigned  agent:3    to agent:4, fence 3"),
            (
                "feedback",
                r#"{"message":2,"reply":7,"model":9,"verdict":"edited"}"#,
                "* feedback  agent:3    reply 7 edited",
            ),
            ("labelled", r#"{"message":2,"intent":"refund"}"#, "* labelled  agent:3    message 2: refund"),
            (
                "labelled",
                r#"{"message":2,"intent":null}"#,
                "* labelled  agent:3    message 2: none of the known",
            ),
            (
                "taught",
                r#"{"teach":"merge","name":"refund","into":"late"}"#,
                "* taught    agent:3    merge refund, into late",
            ),
            (
                "taught",
                r#"{"teach":"mode","queue":1,"mode":"off"}"#,
                "* taught    agent:3    mode off, queue 1",
            ),
        ];
        for (kind, data, expected) in cases {
            assert_eq!(line(kind, data, 100), format!("01:02:03 #17      {expected}\n"));
        }
    }

    #[test]
    fn lines_fit_and_cannot_move_the_cursor() {
        let data = serde_json::json!({"text": "\u{1b}[2Jwide \u{5b57}\u{5b57}\u{5b57}\u{5b57}\u{5b57}\u{5b57}\u{5b57}"});
        let drawn = line("note", &data.to_string(), 56);
        assert_eq!(
            drawn,
            "01:02:03 #17      ~ note      agent:3    [2Jwide \u{5b57}\u{5b57}\u{5b57}\u{2026}\n"
        );
        assert!(columns(drawn.trim_end()) <= 56);
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut("a bc", 3), "a\u{2026}");
        assert_eq!(cut("a bc", 4), "a bc");
    }
}
