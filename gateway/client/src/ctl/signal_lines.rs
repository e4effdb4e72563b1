//! Live hints as lines for people.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use waggle_client::{Hint, SignalKind, Suggestion, ViewCount};

use super::render::{Look, cut, plain};

/// A line for each thing that a hint tells; none for what is not known.
pub(crate) fn signal_lines(hint: &Hint, look: Look) -> String {
    let mut lines = String::new();
    match hint {
        Hint::Ticket(hint) => {
            let does = match (hint.kind, hint.on) {
                (SignalKind::Viewing, true) => "views",
                (SignalKind::Viewing, false) => "views no longer",
                (SignalKind::Typing, true) => "types",
                (SignalKind::Typing, false) => "types no longer",
            };
            let data = hint.data.as_ref().map_or("", |data| data.get());
            let text = format!("agent:{} {does} {data}", hint.agent);
            push_line(&mut lines, &format!("#{}", hint.ticket), &text, look);
        }
        Hint::Presence { all, agents } => {
            if *all {
                push_line(&mut lines, "", "who is there:", look);
            }
            for (agent, is_there) in agents {
                let state = if *is_there { "online" } else { "offline" };
                push_line(&mut lines, "", &format!("agent:{agent} {state}"), look);
            }
        }
        Hint::Unknown => {}
    }
    lines
}

/// A line for a count that is watched.
pub(crate) fn count_line(told: ViewCount, look: Look) -> String {
    let ViewCount { view, count, delta } = told;
    let delta = delta.map(|delta| format!(" ({delta:+})")).unwrap_or_default();
    let mut line = String::new();
    push_line(&mut line, "", &format!("count:{view} {count}{delta}"), look);
    line
}

/// What is wanted, and a line for each reply that fits.
pub(crate) fn suggestion_lines(told: &Suggestion, look: Look) -> String {
    let mut lines = String::new();
    let ticket = format!("#{}", told.ticket);
    let wanted = match &told.intent {
        Some(intent) => format!("{} {:.2}", plain(&intent.name), intent.confidence),
        None => "not known".to_owned(),
    };
    push_line(&mut lines, &ticket, &format!("message {}: {wanted}", told.message), look);
    for reply in &told.replies {
        let reply = format!("reply {}:{} {}", reply.id, told.model.version, plain(&reply.text));
        push_line(&mut lines, &ticket, &reply, look);
    }
    lines
}

/// Hints have no time of their own, and stand where events' lines have their ticket.
fn push_line(lines: &mut String, ticket: &str, text: &str, look: Look) {
    const HEAD_COLUMNS: usize = 20;
    let text = cut(text, look.columns.saturating_sub(HEAD_COLUMNS));
    // Writing to a String cannot fail.
    let _ = if look.is_colored {
        let (dim, sign) = (Style::new().dimmed(), AnsiColor::BrightBlack.on_default());
        writeln!(lines, "{dim}{:9}{ticket:<8}{dim:#} {sign}. {text}{sign:#}", "")
    } else {
        writeln!(lines, "{:9}{ticket:<8} . {text}", "")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_says_what_is_wanted_and_what_fits() {
        let look = Look { is_colored: false, columns: 60 };
        let drawn = |text: &str| suggestion_lines(&serde_json::from_str(text).unwrap(), look);
        let known = r#"{"type":"suggestion","ticket":7,"message":3,"model":{"version":12,"recipe":"x"},"answer":"known",
            "intent":{"name":"card\narrival","confidence":0.93,"threshold":0.7},"candidates":[],
            "replies":[{"id":123,"text":"Hi Kim,\nit is on its way.","slots":[]}],"why":"w"}"#;
        let lines = "         #7       . message 3: card arrival 0.93\n         #7       . reply 123:12 Hi Kim, it is on its way.\n";
        assert_eq!(drawn(known), lines);
        let unknown = r#"{"ticket":7,"message":3,"model":{"version":12},"intent":null,"replies":[]}"#;
        assert_eq!(drawn(unknown), "         #7       . message 3: not known\n");
    }

    #[test]
    fn a_line_for_each_thing() {
        let look = Look { is_colored: false, columns: 80 };
        let drawn = |text: &str| signal_lines(&Hint::parse(text), look);
        let typing =
            r#"{"type":"signal","kind":"typing","ticket":17,"agent":5,"on":true,"data":{"draft":40}}"#;
        assert_eq!(drawn(typing), "         #17      . agent:5 types {\"draft\":40}\n");
        let gone = r#"{"type":"signal","kind":"viewing","ticket":17,"agent":5,"on":false}"#;
        assert_eq!(drawn(gone), "         #17      . agent:5 views no longer\n");
        let presence = r#"{"type":"signal","kind":"presence","all":true,"agents":[{"agent":6,"state":"online"},{"agent":5,"state":"offline"}]}"#;
        let lines = drawn(presence);
        assert_eq!(
            lines.lines().map(str::trim_start).collect::<Vec<_>>(),
            [". who is there:", ". agent:6 online", ". agent:5 offline"]
        );
        assert_eq!(drawn(r#"{"kind":"waving"}"#), "");
    }
}
