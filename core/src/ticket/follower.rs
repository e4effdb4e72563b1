//! Whom a ticket's events concern besides its holder.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::id::AgentId;

/// Agents in the order of their numbers. Cheap to clone; none takes no memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Followers(Option<Arc<[AgentId]>>);

/// A text that names no agents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no list of agents' numbers with commas")]
pub struct NoFollowers(String);

/// The member of a ticket's `extra` object that tells of them.
#[derive(Deserialize)]
struct Extra {
    #[serde(default)]
    followers: Map<String, Value>,
}

impl Followers {
    /// Those who follow a ticket with this `extra` object.
    #[must_use]
    pub fn read(extra: &str) -> Self {
        // Most tickets have none: the text tells that at once.
        if !extra.contains(r#""followers":{""#) {
            return Self::default();
        }
        let extra = serde_json::from_str(extra).unwrap_or(Extra { followers: Map::new() });
        extra.followers.keys().filter_map(|agent| agent.parse().ok()).collect()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `agent` is one of them.
    #[must_use]
    pub fn has(&self, agent: AgentId) -> bool {
        self.0.as_ref().is_some_and(|agents| agents.binary_search(&agent).is_ok())
    }

    /// They.
    pub fn iter(&self) -> impl Iterator<Item = AgentId> {
        self.0.iter().flat_map(|agents| agents.iter().copied())
    }

    /// These and `more`.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = AgentId>) -> Self {
        self.iter().chain(more).collect()
    }

    /// They after these changes: who comes, and who goes.
    #[must_use]
    pub fn after(&self, changes: &[(AgentId, Follow)]) -> Self {
        let mut agents: BTreeSet<AgentId> = self.iter().collect();
        for (agent, follow) in changes {
            match follow {
                Follow::Begins => drop(agents.insert(*agent)),
                Follow::Ends => drop(agents.remove(agent)),
            }
        }
        agents.into_iter().collect()
    }
}

/// Whom an event concerns that did not follow its ticket, or does no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Concerns {
    /// Who begins to follow the ticket, and who ends.
    pub follows: Vec<(AgentId, Follow)>,
    /// Whom its text names.
    pub mentions: Vec<AgentId>,
}

/// Whether an agent begins to follow a ticket, or does no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// From now on.
    Begins,
    /// No more.
    Ends,
}

impl FromIterator<AgentId> for Followers {
    fn from_iter<I: IntoIterator<Item = AgentId>>(agents: I) -> Self {
        let agents: BTreeSet<AgentId> = agents.into_iter().collect();
        Self((!agents.is_empty()).then(|| agents.into_iter().collect()))
    }
}

impl fmt::Display for Followers {
    /// As storage has them: `3,17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, agent) in self.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            agent.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Followers {
    type Err = NoFollowers;

    fn from_str(text: &str) -> Result<Self, NoFollowers> {
        let wrong = || NoFollowers(text.chars().take(40).collect());
        text.split(',').map(|agent| agent.parse().map_err(|_| wrong())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_and_go() {
        let read = Followers::read(r#"{"followers":{"17":true,"3":true},"due_at":1}"#);
        assert_eq!((read.to_string().as_str(), read.has(AgentId(3))), ("3,17", true));
        assert_eq!("3,17".parse(), Ok(read.clone()));
        assert!("".parse::<Followers>().is_err() && "3,x".parse::<Followers>().is_err());
        for none in ["{}", r#"{"followers":{}}"#, r#"{"tags":{"followers":true}}"#, "no json"] {
            assert!(Followers::read(none).is_empty(), "{none}");
        }
        let after = read.after(&[(AgentId(4), Follow::Begins), (AgentId(3), Follow::Ends)]);
        assert_eq!((after.to_string().as_str(), after.has(AgentId(3))), ("4,17", false));
        assert_eq!(after.with([AgentId(4), AgentId(1)]).to_string(), "1,4,17");
        assert!(after.after(&[(AgentId(4), Follow::Ends), (AgentId(17), Follow::Ends)]).is_empty());
    }
}
