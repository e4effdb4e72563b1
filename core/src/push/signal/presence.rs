//! Who is there: the agents of one tenant that have sessions, or had until a moment ago.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::id::AgentId;
use crate::limits::PRESENCE_GRACE_MS;
use crate::time::Tick;

/// The agents of one tenant that are there. Sessions are on several shards: each is a place, up to 64,
/// that says when an agent's first session there begins and its last one ends. An agent is there until
/// [`PRESENCE_GRACE_MS`] after it has left the last place, so that one who reconnects was never away.
#[derive(Debug, Default)]
pub struct Presence {
    agents: FxHashMap<AgentId, Seen>,
    /// In order of time; one who has come back is in it still.
    leaving: VecDeque<(Tick, AgentId)>,
    /// Agents whose state may differ from what was told, each once.
    changed: Vec<AgentId>,
}

#[derive(Debug, Default)]
struct Seen {
    /// A bit for each place.
    places: u64,
    /// When it left the last one.
    left_at: Option<Tick>,
    /// What screens were told.
    told: bool,
    is_changed: bool,
}

impl Presence {
    /// The agent's first session at a place has begun.
    pub fn arrived(&mut self, agent: AgentId, place: usize) {
        let seen = self.agents.entry(agent).or_default();
        seen.places |= bit(place);
        seen.left_at = None;
        if !seen.told && !seen.is_changed {
            seen.is_changed = true;
            self.changed.push(agent);
        }
    }

    /// The agent's last session at a place has ended.
    pub fn left(&mut self, agent: AgentId, place: usize, now: Tick) {
        let Some(seen) = self.agents.get_mut(&agent) else { return };
        let was_there = seen.places != 0;
        seen.places &= !bit(place);
        if was_there && seen.places == 0 {
            seen.left_at = Some(now);
            self.leaving.push_back((now, agent));
        }
    }

    /// Whether an agent is known to be at a place.
    #[must_use]
    pub fn is_at(&self, agent: AgentId, place: usize) -> bool {
        self.agents.get(&agent).is_some_and(|seen| seen.places & bit(place) != 0)
    }

    /// The agents at a place.
    pub fn at(&self, place: usize) -> impl Iterator<Item = AgentId> {
        let here = self.agents.iter().filter(move |(_, seen)| seen.places & bit(place) != 0);
        here.map(|(agent, _)| *agent)
    }

    /// Ends the grace of those who have been away for long enough, and returns who has come (`true`) and
    /// who has gone since the last time, by number.
    pub fn take_changes(&mut self, now: Tick) -> Vec<(AgentId, bool)> {
        while let Some((left_at, agent)) = self.leaving.front().copied()
            && now.since_ms(left_at) >= PRESENCE_GRACE_MS
        {
            self.leaving.pop_front();
            // Where it has come back, or left once more since, this is not its end.
            if let Some(seen) = self.agents.get_mut(&agent).filter(|seen| seen.left_at == Some(left_at))
                && !seen.is_changed
            {
                seen.is_changed = true;
                self.changed.push(agent);
            }
        }
        let mut changes = Vec::new();
        for agent in std::mem::take(&mut self.changed) {
            let Some(seen) = self.agents.get_mut(&agent) else { continue };
            seen.is_changed = false;
            let is_there =
                seen.places != 0 || seen.left_at.is_some_and(|at| now.since_ms(at) < PRESENCE_GRACE_MS);
            if is_there != seen.told {
                seen.told = is_there;
                changes.push((agent, is_there));
            }
            if !is_there {
                self.agents.remove(&agent);
            }
        }
        changes.sort_unstable();
        changes
    }

    /// All whom screens were told to be there, by number.
    #[must_use]
    pub fn there(&self) -> Vec<AgentId> {
        let mut there: Vec<_> =
            self.agents.iter().filter(|(_, seen)| seen.told).map(|(agent, _)| *agent).collect();
        there.sort_unstable();
        there
    }

    /// Whether time alone, or what is not told yet, will make [`Presence::take_changes`] have something.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.changed.is_empty() || !self.leaving.is_empty()
    }

    /// Whether nobody is there or leaving.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty() && !self.is_unsettled()
    }
}

fn bit(place: usize) -> u64 {
    1 << (place % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const AGENT: AgentId = AgentId(7);

    #[test]
    fn one_who_reconnects_was_never_away() {
        let mut presence = Presence::default();
        presence.arrived(AGENT, 0);
        assert_eq!(presence.take_changes(Tick(0)), [(AGENT, true)]);
        presence.left(AGENT, 0, Tick(10));
        assert!(presence.take_changes(Tick(10 + PRESENCE_GRACE_MS - 1)).is_empty());
        presence.arrived(AGENT, 1);
        assert!(presence.take_changes(Tick(10 + PRESENCE_GRACE_MS)).is_empty());
        presence.left(AGENT, 1, Tick(20_000));
        assert_eq!(presence.there(), [AGENT]);
        assert_eq!(presence.take_changes(Tick(20_000 + PRESENCE_GRACE_MS)), [(AGENT, false)]);
        assert!(presence.is_empty() && presence.there().is_empty());
    }

    #[test]
    fn one_who_is_at_two_places_leaves_with_the_last() {
        let mut presence = Presence::default();
        presence.arrived(AGENT, 0);
        presence.arrived(AGENT, 63);
        presence.left(AGENT, 0, Tick(0));
        presence.left(AGENT, 0, Tick(1));
        assert_eq!(presence.take_changes(Tick(100_000)), [(AGENT, true)]);
        assert!(presence.is_at(AGENT, 63) && !presence.is_at(AGENT, 0));
        assert_eq!(presence.at(63).collect::<Vec<_>>(), [AGENT]);
        assert!(!presence.is_unsettled());
    }

    proptest! {
        /// What is told, summed up, is who is there by a model that looks at all of the past.
        #[test]
        fn agrees_with_a_model(
            steps in prop::collection::vec((1_u32..4, 0_usize..3, any::<bool>(), 0_u64..9_000), 0..200),
        ) {
            let mut presence = Presence::default();
            let (mut now, mut at) = (0, BTreeSet::new());
            let mut last_there = BTreeMap::new();
            let mut shown = BTreeSet::new();
            for (agent, place, arrives, pause) in steps {
                if arrives {
                    at.insert((agent, place));
                    presence.arrived(AgentId(agent), place);
                } else if at.remove(&(agent, place)) {
                    presence.left(AgentId(agent), place, Tick(now));
                    last_there.insert(agent, now);
                }
                now += pause;
                for (AgentId(agent), there) in presence.take_changes(Tick(now)) {
                    prop_assert_eq!(shown.contains(&agent), !there);
                    if there { shown.insert(agent); } else { shown.remove(&agent); }
                }
                for agent in 1..4 {
                    let is_at_a_place = at.iter().any(|(other, _)| *other == agent);
                    let was_lately = last_there.get(&agent).is_some_and(|at| now - at < PRESENCE_GRACE_MS);
                    // One who came and went between two looks is told, too: it is in its grace.
                    prop_assert_eq!(shown.contains(&agent), is_at_a_place || was_lately, "{}", agent);
                }
                prop_assert_eq!(presence.there().len(), shown.len());
            }
        }
    }
}
