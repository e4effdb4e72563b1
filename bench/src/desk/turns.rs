//! Half moves, half reads.

use super::work::{Ask, Work, unexpected};
use crate::clock::Random;
use crate::tickets::Tickets;
use crate::wire::http::{Head, Requests};
use crate::wire::message::EventKey;

const MOVE: usize = 0;
const READ: usize = 1;

/// Durable status moves of random tickets, and reads of random tickets, at a half each. A read must show the
/// newest version whose move was answered before it was asked for.
#[derive(Debug)]
pub struct MovesAndReads {
    tickets: Tickets,
    path: String,
}

impl MovesAndReads {
    /// Of these tickets, which nobody else moves.
    #[must_use]
    pub fn new(tickets: Tickets) -> Self {
        Self { tickets, path: String::new() }
    }

    fn read(&mut self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Option<Ask> {
        use std::fmt::Write as _;
        let (place, ticket) = self.tickets.look(random)?;
        self.path.clear();
        // A String takes everything.
        let _ = write!(self.path, "/v1/tickets/{}", ticket.id);
        requests.get(out, &self.path);
        Some(Ask { kind: READ, place, version: ticket.version })
    }
}

impl Work for MovesAndReads {
    fn kinds(&self) -> &[&'static str] {
        &["answer", "read"]
    }

    fn ask(&mut self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Option<Ask> {
        if random.below(2) == READ {
            return self.read(requests, out, random);
        }
        let (place, ticket) = self.tickets.take(random)?;
        requests.move_to(out, ticket.id, ticket.next_status(), u64::from(ticket.version));
        Some(Ask { kind: MOVE, place, version: ticket.version + 1 })
    }

    fn answered(&mut self, ask: Ask, head: &Head, body: &[u8]) -> Result<(), String> {
        match (ask.kind, head.status) {
            (READ, 200) => match version(body) {
                Some(version) if version >= ask.version => Ok(()),
                _ => Err("a read without the version that was answered before it".into()),
            },
            (MOVE, 200) => {
                self.tickets.moved(ask.place, ask.version);
                match EventKey::parse(body) {
                    Some(event) if event.version == ask.version => Ok(()),
                    _ => Err("an answer without the event that was asked for".into()),
                }
            }
            (READ, _) => Err(unexpected(head)),
            // Refused before anything was done.
            (_, 429 | 503) => {
                self.tickets.unmoved(ask.place);
                Err(unexpected(head))
            }
            _ => {
                self.tickets.retire(ask.place);
                Err(unexpected(head))
            }
        }
    }

    fn lost(&mut self, ask: Ask) {
        if ask.kind == MOVE {
            self.tickets.retire(ask.place);
        }
    }
}

/// A ticket's version, as its JSON has it.
fn version(body: &[u8]) -> Option<u32> {
    const NAME: &[u8] = br#""version":"#;
    let rest = body.get(memchr::memmem::find(body, NAME)? + NAME.len()..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::Ticket;

    fn head(status: u16) -> Head {
        Head { status, head_bytes: 0, body_bytes: 0, close: false }
    }

    #[test]
    fn a_read_may_not_show_less_than_was_answered() {
        let tickets = (1..=8).map(Ticket::new).collect();
        let mut work = MovesAndReads::new(Tickets::new(tickets));
        let requests = Requests::new("h:1", "t");
        let mut random = Random::new(2);
        let (mut asks, mut out) = ([0, 0], Vec::new());
        for _ in 0..1_000 {
            out.clear();
            let ask = work.ask(&requests, &mut out, &mut random).unwrap();
            asks[ask.kind] += 1;
            let version = ask.version;
            if ask.kind == READ {
                let good = format!(r#"{{"id":1,"version":{version},"x":1}}"#);
                let old = format!(r#"{{"id":1,"version":{}}}"#, version - 1);
                assert_eq!(work.answered(ask, &head(200), good.as_bytes()), Ok(()));
                assert!(work.answered(ask, &head(200), old.as_bytes()).is_err());
                continue;
            }
            let event = format!(
                r#"{{"type":"event","offset":1,"ticket":1,"version":{version},"kind":"moved","at":1,"actor":"system","data":{{}}}}"#
            );
            assert_eq!(work.answered(ask, &head(200), event.as_bytes()), Ok(()));
        }
        assert!(asks.iter().all(|count| (400..600).contains(count)), "{asks:?}");
    }
}
