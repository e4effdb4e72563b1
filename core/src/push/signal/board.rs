//! Who views and types what: one tenant's signals that are on.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{Signal, SignalKey, SignalKind};
use crate::id::{AgentId, SessionId, TicketId};
use crate::limits::{SESSION_SIGNALS_MAX, TYPING_MS};
use crate::time::Tick;

/// That a session's signal is on or off.
#[derive(Debug, Clone)]
pub struct SignalNews {
    /// What, where and by whom.
    pub key: SignalKey,
    /// The agent's session that said it.
    pub session: SessionId,
    /// Whether it is on.
    pub on: bool,
    /// What screens are told.
    pub frame: Bytes,
}

impl SignalNews {
    /// A signal that `agent` has said in `session`.
    #[must_use]
    pub fn said(signal: &Signal<'_>, agent: AgentId, session: SessionId) -> Self {
        let key = SignalKey { kind: signal.kind, ticket: signal.ticket, agent };
        Self { key, session, on: signal.on, frame: signal.frame(agent) }
    }

    /// A signal that has ended without a word.
    #[must_use]
    pub fn ended(kind: SignalKind, ticket: TicketId, agent: AgentId, session: SessionId) -> Self {
        let key = SignalKey { kind, ticket, agent };
        Self { key, session, on: false, frame: key.off_frame() }
    }
}

/// All signals of a tenant that are on. An agent's signal is on while one of its sessions holds it, so
/// every copy of a board that is given the same news, in an order that keeps each session's, is the same
/// in the end.
#[derive(Debug, Default)]
pub struct Board {
    tickets: FxHashMap<TicketId, Vec<Lit>>,
}

#[derive(Debug)]
struct Lit {
    kind: SignalKind,
    agent: AgentId,
    holders: SmallVec<[SessionId; 2]>,
    frame: Bytes,
}

impl Board {
    /// Takes news in; returns whether screens are to be told: not where nothing is new to them.
    pub fn apply(&mut self, news: &SignalNews) -> bool {
        let SignalKey { kind, ticket, agent } = news.key;
        let lit = self.tickets.entry(ticket).or_default();
        let place = lit.iter().position(|lit| lit.kind == kind && lit.agent == agent);
        let is_new = match (place.and_then(|place| lit.get_mut(place)), news.on) {
            (None, true) => {
                let holders = SmallVec::from_slice(&[news.session]);
                lit.push(Lit { kind, agent, holders, frame: news.frame.clone() });
                true
            }
            (Some(known), true) => {
                if !known.holders.contains(&news.session) {
                    known.holders.push(news.session);
                }
                let is_new = known.frame != news.frame;
                if is_new {
                    known.frame = news.frame.clone();
                }
                is_new
            }
            (Some(known), false) => {
                known.holders.retain(|holder| *holder != news.session);
                known.holders.is_empty()
            }
            (None, false) => false,
        };
        if is_new && !news.on {
            lit.retain(|lit| !lit.holders.is_empty());
        }
        if lit.is_empty() {
            self.tickets.remove(&ticket);
        }
        is_new
    }

    /// What is on at a ticket: the frames that tell it.
    pub fn at(&self, ticket: TicketId) -> impl Iterator<Item = (SignalKey, &Bytes)> {
        let lit = self.tickets.get(&ticket).into_iter().flatten();
        lit.map(move |lit| (SignalKey { kind: lit.kind, ticket, agent: lit.agent }, &lit.frame))
    }

    /// What the chosen sessions hold, as news for a board that does not know of it.
    pub fn held_by(&self, chosen: impl Fn(SessionId) -> bool) -> Vec<SignalNews> {
        let mut held = Vec::new();
        for (ticket, lit) in &self.tickets {
            for Lit { kind, agent, holders, frame } in lit {
                let key = SignalKey { kind: *kind, ticket: *ticket, agent: *agent };
                let holders = holders.iter().copied().filter(|holder| chosen(*holder));
                held.extend(holders.map(|session| SignalNews {
                    key,
                    session,
                    on: true,
                    frame: frame.clone(),
                }));
            }
        }
        held
    }

    /// News that end what the chosen sessions hold.
    pub fn ends_of(&self, chosen: impl Fn(SessionId) -> bool) -> Vec<SignalNews> {
        let held = self.held_by(chosen).into_iter();
        held.map(|news| SignalNews { on: false, frame: news.key.off_frame(), ..news }).collect()
    }

    /// Whether nothing is on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

/// What a signal that a session says comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is on or off now.
    News,
    /// The end of what is not on.
    Nothing,
    /// The session has as many on as it may.
    NoRoom,
}

/// The signals that one session has on: bounded, and remembered so that they end with it.
#[derive(Debug, Default)]
pub struct HeldSignals(Vec<Held>);

#[derive(Debug)]
struct Held {
    kind: SignalKind,
    ticket: TicketId,
    until: Option<Tick>,
}

impl HeldSignals {
    /// Notes what the session says.
    pub fn note(&mut self, signal: &Signal<'_>, now: Tick) -> Noted {
        let Signal { kind, ticket, on, .. } = *signal;
        let until = (kind == SignalKind::Typing).then(|| now.after_ms(TYPING_MS));
        let place = self.0.iter().position(|held| held.kind == kind && held.ticket == ticket);
        match (place, on) {
            (Some(place), false) => {
                self.0.swap_remove(place);
            }
            (Some(place), true) => {
                if let Some(held) = self.0.get_mut(place) {
                    held.until = until;
                }
            }
            (None, true) if self.0.len() == SESSION_SIGNALS_MAX => return Noted::NoRoom,
            (None, true) => self.0.push(Held { kind, ticket, until }),
            (None, false) => return Noted::Nothing,
        }
        Noted::News
    }

    /// Removes and returns what has ended because nobody said it again.
    pub fn take_expired(&mut self, now: Tick) -> Vec<(SignalKind, TicketId)> {
        let is_over = |held: &mut Held| held.until.is_some_and(|until| until <= now);
        self.0.extract_if(.., is_over).map(|held| (held.kind, held.ticket)).collect()
    }

    /// Whether nothing is on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is on.
    pub fn iter(&self) -> impl Iterator<Item = (SignalKind, TicketId)> {
        self.0.iter().map(|held| (held.kind, held.ticket))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn signal(kind: SignalKind, ticket: u64, on: bool) -> Signal<'static> {
        Signal { kind, ticket: TicketId(ticket), on, data: None }
    }

    #[test]
    fn typing_ends_by_itself_and_viewing_does_not() {
        let mut held = HeldSignals::default();
        assert_eq!(held.note(&signal(SignalKind::Typing, 1, true), Tick(0)), Noted::News);
        assert_eq!(held.note(&signal(SignalKind::Viewing, 1, true), Tick(0)), Noted::News);
        assert!(held.take_expired(Tick(TYPING_MS - 1)).is_empty());
        assert_eq!(held.note(&signal(SignalKind::Typing, 1, true), Tick(TYPING_MS - 1)), Noted::News);
        assert!(held.take_expired(Tick(TYPING_MS)).is_empty());
        assert_eq!(held.take_expired(Tick(2 * TYPING_MS)), [(SignalKind::Typing, TicketId(1))]);
        assert_eq!(held.iter().collect::<Vec<_>>(), [(SignalKind::Viewing, TicketId(1))]);
    }

    #[test]
    fn a_session_holds_a_bounded_number() {
        let mut held = HeldSignals::default();
        for ticket in 1..=SESSION_SIGNALS_MAX as u64 {
            assert_eq!(held.note(&signal(SignalKind::Viewing, ticket, true), Tick(0)), Noted::News);
        }
        assert_eq!(held.note(&signal(SignalKind::Viewing, 1_000, true), Tick(0)), Noted::NoRoom);
        assert_eq!(held.note(&signal(SignalKind::Viewing, 1_000, false), Tick(0)), Noted::Nothing);
        assert_eq!(
            held.note(&signal(SignalKind::Viewing, 1, true), Tick(0)),
            Noted::News,
            "it is on already"
        );
        assert_eq!(held.note(&signal(SignalKind::Viewing, 1, false), Tick(0)), Noted::News);
        assert_eq!(held.note(&signal(SignalKind::Viewing, 1_000, true), Tick(0)), Noted::News);
    }

    proptest! {
        /// Screens that are told exactly when `apply` says so show what is held.
        #[test]
        fn what_screens_show_is_what_sessions_hold(
            steps in prop::collection::vec((0_u8..2, 1_u64..4, 1_u32..4, 0_u64..3, any::<bool>()), 0..200),
        ) {
            let mut board = Board::default();
            let mut holding = BTreeSet::new();
            let mut screen = BTreeSet::new();
            for (kind, ticket, agent, session, on) in steps {
                let kind = [SignalKind::Viewing, SignalKind::Typing][usize::from(kind)];
                // Each session is one agent's.
                let session = SessionId(u64::from(agent) * 10 + session);
                let said = signal(kind, ticket, on);
                let news = SignalNews::said(&said, AgentId(agent), session);
                if on {
                    holding.insert((news.key, session));
                } else {
                    holding.remove(&(news.key, session));
                }
                let was_shown = screen.contains(&news.key);
                if board.apply(&news) {
                    prop_assert_ne!(was_shown, on, "told what it shows already");
                    if on { screen.insert(news.key); } else { screen.remove(&news.key); }
                }
                let held: BTreeSet<_> = holding.iter().map(|(key, _)| *key).collect();
                prop_assert_eq!(&held, &screen);
                let at = board.at(TicketId(ticket)).map(|(key, _)| key).collect::<BTreeSet<_>>();
                let wanted = held.iter().copied().filter(|key| key.ticket == TicketId(ticket)).collect();
                prop_assert_eq!(at, wanted);
            }
            for end in board.ends_of(|_| true) {
                board.apply(&end);
            }
            prop_assert!(board.is_empty());
        }
    }
}
