//! Signals as clients are told them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::SignalKind;
use crate::id::{AgentId, TicketId};

/// What a server's signal tells.
#[derive(Debug, Clone)]
pub enum Hint {
    /// An agent views or types.
    Ticket(TicketHint),
    /// Agents have come or gone.
    Presence {
        /// Whether a list of everybody begins, which more may follow: who was there before and is not
        /// told again is not there.
        all: bool,
        /// Who, and whether he is there.
        agents: Vec<(AgentId, bool)>,
    },
    /// Of a kind that this client does not know, or not in the form that it knows.
    Unknown,
}

/// What an agent does at a ticket.
#[derive(Debug, Clone)]
pub struct TicketHint {
    /// What.
    pub kind: SignalKind,
    /// Where.
    pub ticket: TicketId,
    /// Who.
    pub agent: AgentId,
    /// Whether it begins or goes on, or ends.
    pub on: bool,
    /// More about it, as its sender said it.
    pub data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    ticket: Option<TicketId>,
    agent: Option<AgentId>,
    on: Option<bool>,
    data: Option<Box<RawValue>>,
    #[serde(default)]
    all: bool,
    #[serde(borrow)]
    agents: Option<Vec<AgentFields<'a>>>,
}

#[derive(Deserialize)]
struct AgentFields<'a> {
    agent: AgentId,
    #[serde(borrow)]
    state: std::borrow::Cow<'a, str>,
}

impl Hint {
    /// Reads a signal message. A hint may be lost, so what is not understood is no error.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(text) else { return Self::Unknown };
        if let ("presence", Some(agents)) = (fields.kind.as_ref(), &fields.agents) {
            let agents = agents.iter().map(|it| (it.agent, it.state == "online")).collect();
            return Self::Presence { all: fields.all, agents };
        }
        match (SignalKind::find(&fields.kind), fields.ticket, fields.agent, fields.on) {
            (Some(kind), Some(ticket), Some(agent), Some(on)) => {
                Self::Ticket(TicketHint { kind, ticket, agent, on, data: fields.data })
            }
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::{Signal, presence_frames};

    fn told(frame: &[u8]) -> Hint {
        // Frames as short as these have a header of two or four bytes.
        let text = frame.splitn(2, |byte| *byte == b'{').nth(1).unwrap();
        Hint::parse(&format!("{{{}", std::str::from_utf8(text).unwrap()))
    }

    #[test]
    fn what_servers_write_is_read() {
        let data = RawValue::from_string(r#"{"draft":40}"#.to_owned()).unwrap();
        let signal = Signal { kind: SignalKind::Typing, ticket: TicketId(17), on: true, data: Some(&data) };
        let Hint::Ticket(hint) = told(&signal.frame(AgentId(5))) else { panic!() };
        assert_eq!(
            (hint.kind, hint.ticket, hint.agent, hint.on),
            (SignalKind::Typing, TicketId(17), AgentId(5), true)
        );
        assert_eq!(hint.data.unwrap().get(), data.get());
        let agents = [(AgentId(1), true), (AgentId(2), false)];
        for frame in presence_frames(&agents, true) {
            let Hint::Presence { all: true, agents: told } = told(&frame) else { panic!() };
            assert_eq!(told, agents);
        }
        for text in
            ["", "{}", r#"{"kind":"waving","ticket":1,"agent":1,"on":true}"#, r#"{"kind":"presence"}"#]
        {
            assert!(matches!(Hint::parse(text), Hint::Unknown), "{text}");
        }
    }
}
