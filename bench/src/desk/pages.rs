//! Pages of lists: random views, at random places.

use std::fmt::Write as _;

use super::work::{Ask, Work, unexpected};
use crate::clock::Random;
use crate::wire::http::{Head, Requests};

/// Rows of a page.
const ROWS: u32 = 50;
/// Places that are known of each kind of view.
const KNOWN_MAX: usize = 512;

/// What lists are asked for.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The queues' numbers; never none.
    pub queues: Vec<u32>,
    /// Agents, numbered from one.
    pub agents: u32,
    /// Tickets, numbered from one.
    pub tickets: u64,
}

/// Which cursors can be made without having been told one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jumps {
    /// `before-N`, with any ticket's number: any page of any view.
    ByNumber,
    /// None: pages are walked from the first on.
    No,
}

/// A kind of view, as figures begin, and how one of them is asked for.
type View = (&'static str, fn(&Desk, &mut Random) -> String);

const VIEWS: [View; 7] = [
    ("view_all", |_, _| String::new()),
    ("view_queue", |desk, random| format!("&queue={}", desk.queue(random))),
    ("view_status", |_, random| format!("&status={}", status(random))),
    ("view_queue_status", |desk, random| format!("&queue={}&status={}", desk.queue(random), status(random))),
    ("view_mine", |_, _| "&assignee=me&status=open".to_owned()),
    ("view_unassigned", |_, random| format!("&assignee=none&status={}", status(random))),
    ("view_agent", |desk, random| format!("&assignee={}", 1 + random.below(desk.agents as usize))),
];
const KINDS: [&str; VIEWS.len()] = {
    let mut names = [""; VIEWS.len()];
    let mut index = 0;
    while index < VIEWS.len() {
        names[index] = VIEWS[index].0;
        index += 1;
    }
    names
};

fn status(random: &mut Random) -> &'static str {
    const STATUSES: [&str; 6] = ["new", "open", "pending", "on_hold", "solved", "closed"];
    STATUSES.get(random.below(STATUSES.len())).copied().unwrap_or("open")
}

impl Desk {
    fn queue(&self, random: &mut Random) -> u32 {
        self.queues.get(random.below(self.queues.len())).copied().unwrap_or(1)
    }
}

/// Random pages of random views; half of them are first pages, as people look at lists from the top.
#[derive(Debug)]
pub struct Pages {
    desk: Desk,
    jumps: Jumps,
    /// Of each kind: paths that follow a page that was seen.
    known: Vec<Vec<String>>,
    /// Requests on their way: the kind, and the path without its cursor.
    asked: Vec<(usize, String)>,
    free: Vec<usize>,
    /// Which known path the next one takes the place of.
    turn: usize,
}

impl Pages {
    /// Of this desk.
    #[must_use]
    pub fn new(desk: Desk, jumps: Jumps) -> Self {
        Self {
            desk,
            jumps,
            known: vec![Vec::new(); VIEWS.len()],
            asked: Vec::new(),
            free: Vec::new(),
            turn: 0,
        }
    }

    /// A queue at random.
    pub(super) fn queue(&self, random: &mut Random) -> u32 {
        self.desk.queue(random)
    }

    fn path(&self, view: usize, random: &mut Random) -> (String, String) {
        let Some((_, query)) = VIEWS.get(view) else { return Default::default() };
        let base = format!("/v1/tickets?limit={ROWS}{}", query(&self.desk, random));
        if random.below(2) == 0 {
            return (base.clone(), base);
        }
        let known = self.known.get(view).map_or(&[][..], Vec::as_slice);
        match (self.jumps, known.get(random.below(known.len()))) {
            (Jumps::ByNumber, _) => {
                let number = 1 + random.below(usize::try_from(self.desk.tickets).unwrap_or(usize::MAX));
                (format!("{base}&cursor=before-{number}"), base)
            }
            (Jumps::No, Some(path)) => {
                let end = path.find("&cursor=").unwrap_or(path.len());
                (path.clone(), path.get(..end).unwrap_or_default().to_owned())
            }
            (Jumps::No, None) => (base.clone(), base),
        }
    }
}

impl Work for Pages {
    fn kinds(&self) -> &[&'static str] {
        &KINDS
    }

    fn ask(&mut self, requests: &Requests, out: &mut Vec<u8>, random: &mut Random) -> Option<Ask> {
        let view = random.below(VIEWS.len());
        let (path, base) = self.path(view, random);
        requests.get(out, &path);
        let place = self.free.pop().unwrap_or(self.asked.len());
        match self.asked.get_mut(place) {
            Some(slot) => *slot = (view, base),
            None => self.asked.push((view, base)),
        }
        Some(Ask { kind: view, place, version: 0 })
    }

    fn answered(&mut self, ask: Ask, head: &Head, body: &[u8]) -> Result<(), String> {
        self.free.push(ask.place);
        if head.status != 200 {
            return Err(unexpected(head));
        }
        let Some((view, base)) = self.asked.get(ask.place) else { return Ok(()) };
        if let (Some(next), Some(known)) = (next(body), self.known.get_mut(*view)) {
            let mut path = base.clone();
            // A String takes everything.
            let _ = write!(path, "&cursor={next}");
            if known.len() < KNOWN_MAX {
                known.push(path);
            } else if let Some(old) = known.get_mut(self.turn % KNOWN_MAX) {
                *old = path;
            }
            self.turn += 1;
        }
        Ok(())
    }

    fn lost(&mut self, ask: Ask) {
        self.free.push(ask.place);
    }
}

/// Where the next page is, as a list's JSON has it at its end.
fn next(body: &[u8]) -> Option<&str> {
    const NAME: &[u8] = br#""next":""#;
    let rest = body.get(memchr::memmem::rfind(body, NAME)? + NAME.len()..)?;
    std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(jumps: Jumps, answer: &str) -> Vec<String> {
        let desk = Desk { queues: vec![1, 2], agents: 3, tickets: 1_000 };
        let mut pages = Pages::new(desk, jumps);
        let requests = Requests::new("h:1", "t");
        let (mut random, mut paths) = (Random::new(1), Vec::new());
        for _ in 0..200 {
            let mut out = Vec::new();
            let ask = pages.ask(&requests, &mut out, &mut random).unwrap();
            let line = String::from_utf8(out).unwrap();
            paths.push(line.split(' ').nth(1).unwrap().to_owned());
            let head = Head { status: 200, head_bytes: 0, body_bytes: 0, close: false };
            assert_eq!(pages.answered(ask, &head, answer.as_bytes()), Ok(()));
        }
        assert_eq!(pages.asked.len(), 1, "places are used again");
        paths
    }

    #[test]
    fn pages_are_of_all_views_and_places() {
        let all = paths(Jumps::ByNumber, r#"{"tickets":[],"next":null}"#);
        let deep = all.iter().filter(|path| path.contains("&cursor=before-")).count();
        assert!((70..130).contains(&deep), "{deep}");
        for part in ["&queue=2&status=", "&assignee=me&", "&assignee=none&", "&assignee=3", "&queue=1"] {
            assert!(all.iter().any(|path| path.contains(part)), "{part}");
        }
    }

    #[test]
    fn without_numbers_it_goes_on_where_it_was_told() {
        let walked = paths(Jumps::No, r#"{"tickets":[{"subject":"x"}],"next":"c-9","cursor":{}}"#);
        let deep = walked.iter().filter(|path| path.ends_with("&cursor=c-9")).count();
        assert!(deep > 60, "{deep}");
        assert!(walked.iter().all(|path| path.matches("cursor=").count() <= 1));
    }
}
