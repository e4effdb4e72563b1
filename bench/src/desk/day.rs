//! What a support team does all day, in its shares.

use super::pages::Pages;
use super::searches::Searches;
use super::work::{Ask, Work, unexpected};
use crate::clock::Random;
use crate::tickets::Tickets;
use crate::wire::http::{Head, Requests};

const CREATE: usize = 0;
const REPLY: usize = 1;
const MOVE: usize = 2;
const READ: usize = 3;
const LIST: usize = 4;
const SEARCH: usize = 5;
const KINDS: [&str; 6] = ["create", "reply", "move", "read", "list", "search"];
/// For one ticket that comes: two replies, three moves, four tickets opened, eight pages of lists, two
/// searches.
const SHARES: [usize; 6] = [1, 2, 3, 4, 8, 2];
/// Requests for each ticket that comes.
pub(crate) const REQUESTS_PER_TICKET: f64 = 20.0;

/// Everything together.
#[derive(Debug)]
pub struct Day {
    tickets: Tickets,
    /// Tickets that may be opened, numbered from one.
    stored: u64,
    pages: Pages,
    searches: Searches,
    has_search: HasSearch,
}

/// Whether the gateway answers searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HasSearch {
    /// It does.
    Yes,
    /// It does not: lists are read instead.
    No,
}

impl Day {
    /// Replies and moves are of `tickets`; reads of all that are `stored`.
    #[must_use]
    pub fn new(
        tickets: Tickets,
        stored: u64,
        pages: Pages,
        searches: Searches,
        has_search: HasSearch,
    ) -> Self {
        Self { tickets, stored, pages, searches, has_search }
    }

    fn kind(&self, random: &mut Random) -> usize {
        let mut left = random.below(SHARES.iter().sum());
        for (kind, share) in SHARES.iter().enumerate() {
            match left.checked_sub(*share) {
                Some(rest) => left = rest,
                None if kind == SEARCH && self.has_search == HasSearch::No => return LIST,
                None => return kind,
            }
        }
        LIST
    }

    fn create(&self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Ask {
        let (one, other) = (self.searches.word(random), self.searches.word(random));
        let queue = self.pages.queue(random);
        let body = format!(
            r#"{{"type":"create","queue":{queue},"subject":"About {one} and {other}","requester":"bench@example.org","text":"My {one} has a {other}. What should I do?"}}"#
        );
        requests.post(out, "/v1/tickets", body.as_bytes());
        Ask { kind: CREATE, place: 0, version: 1 }
    }

    fn change(
        &mut self,
        kind: usize,
        requests: &Requests,
        out: &mut Vec<u8>,
        random: &mut Random,
    ) -> Option<Ask> {
        let (place, ticket) = self.tickets.take(random)?;
        let status = ticket.next_status();
        if kind == MOVE {
            requests.move_to(out, ticket.id, status, u64::from(ticket.version));
        } else {
            let (word, version) = (self.searches.word(random), ticket.version);
            let body = format!(
                r#"{{"type":"reply","text":"Thank you. The {word} is on its way.","status":"{status}","expect":{version}}}"#
            );
            requests.post(out, &format!("/v1/tickets/{}/commands", ticket.id), body.as_bytes());
        }
        Some(Ask { kind, place, version: ticket.version + 1 })
    }
}

impl Work for Day {
    fn kinds(&self) -> &[&'static str] {
        &KINDS
    }

    fn ask(&mut self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Option<Ask> {
        match self.kind(random) {
            CREATE => Some(self.create(requests, out, random)),
            kind @ (REPLY | MOVE) => self.change(kind, requests, out, random),
            READ => {
                let number = 1 + random.below(usize::try_from(self.stored).unwrap_or(usize::MAX));
                requests.get(out, &format!("/v1/tickets/{number}/messages"));
                Some(Ask { kind: READ, place: 0, version: 0 })
            }
            SEARCH => {
                let kind = Searches::kind(random);
                requests.get(out, &self.searches.path(kind, random));
                Some(Ask { kind: SEARCH, place: 0, version: 0 })
            }
            _ => self.pages.ask(requests, out, random).map(|ask| Ask { kind: LIST, ..ask }),
        }
    }

    fn answered(&mut self, ask: Ask, head: &Head, body: &[u8]) -> Result<(), String> {
        match (ask.kind, head.status) {
            (LIST, _) => self.pages.answered(ask, head, body),
            (CREATE, 201) | (READ | SEARCH, 200) => Ok(()),
            (REPLY | MOVE, 200) => {
                self.tickets.moved(ask.place, ask.version);
                Ok(())
            }
            // Refused before anything was done.
            (REPLY | MOVE, 429 | 503) => {
                self.tickets.unmoved(ask.place);
                Err(unexpected(head))
            }
            (REPLY | MOVE, _) => {
                self.tickets.retire(ask.place);
                Err(unexpected(head))
            }
            _ => Err(unexpected(head)),
        }
    }

    fn lost(&mut self, ask: Ask) {
        match ask.kind {
            LIST => self.pages.lost(ask),
            REPLY | MOVE => self.tickets.retire(ask.place),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pages::{Desk, Jumps};
    use super::*;
    use crate::tickets::Ticket;

    fn counts(has_search: HasSearch) -> [usize; KINDS.len()] {
        let tickets = Tickets::new((1..=64).map(Ticket::new).collect());
        let pages = Pages::new(Desk { queues: vec![1], agents: 2, tickets: 64 }, Jumps::ByNumber);
        let mut day = Day::new(tickets, 64, pages, Searches::new(vec!["card".into()]), has_search);
        let requests = Requests::new("h:1", "t");
        let (mut random, mut counts) = (Random::new(5), [0; KINDS.len()]);
        for _ in 0..20_000 {
            let mut out = Vec::new();
            let ask = day.ask(&requests, &mut out, &mut random).unwrap();
            counts[ask.kind] += 1;
            let status = if ask.kind == CREATE { 201 } else { 200 };
            let head = Head { status, head_bytes: 0, body_bytes: 0, close: false };
            assert_eq!(day.answered(ask, &head, b"{}"), Ok(()));
        }
        counts
    }

    #[test]
    fn shares_are_as_told() {
        assert_eq!(SHARES.iter().sum::<usize>() as f64, REQUESTS_PER_TICKET);
        for (kind, count) in counts(HasSearch::Yes).into_iter().enumerate() {
            let wanted = SHARES[kind] * 1_000;
            assert!(count.abs_diff(wanted) < wanted / 5, "{} {count}", KINDS[kind]);
        }
    }

    #[test]
    fn without_search_lists_take_its_share() {
        let counts = counts(HasSearch::No);
        assert_eq!(counts[SEARCH], 0);
        assert!((9_400..10_600).contains(&counts[LIST]), "{counts:?}");
    }
}
