//! Ties between tickets. Both tickets have one, each as it sees the other.

use serde_json::{Value, json};

use super::Patch;
use crate::id::TicketId;

/// What the other ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// About something that has to do with it.
    Related,
    /// About the same.
    Duplicate,
    /// What this one is a part of.
    Parent,
    /// A part of this one.
    Child,
    /// Closed for this one, which goes on in its place. Only a merge makes it.
    Merged,
}

/// Whether a tie is made or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// It is there afterwards.
    There,
    /// It is not.
    Gone,
}

impl LinkKind {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Related => "related",
            Self::Duplicate => "duplicate",
            Self::Parent => "parent",
            Self::Child => "child",
            Self::Merged => "merged",
        }
    }

    /// The kind called `name`, of those that people make.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Related, Self::Duplicate, Self::Parent, Self::Child]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// The same tie as the other ticket sees it.
    #[must_use]
    pub fn from_the_other(self) -> Self {
        match self {
            Self::Parent => Self::Child,
            Self::Child => Self::Parent,
            same => same,
        }
    }

    /// What it is called among a ticket's `links`: `parent:17`.
    #[must_use]
    pub fn key(self, other: TicketId) -> String {
        format!("{}:{other}", self.name())
    }

    /// The change of a ticket that gets the tie to `other`, or loses it.
    #[must_use]
    pub fn patch(self, other: TicketId, state: LinkState) -> Patch {
        let value = match state {
            LinkState::There => Value::Bool(true),
            LinkState::Gone => Value::Null,
        };
        Patch::of("links", json!({ self.key(other): value }))
    }
}

/// The tickets that `extra`, a ticket's object, is tied to as `kind`.
pub fn linked(extra: &Value, kind: LinkKind) -> impl Iterator<Item = TicketId> {
    let links = extra.get("links").and_then(Value::as_object).into_iter().flatten();
    links.filter_map(move |(key, _)| {
        let (name, ticket) = key.split_once(':')?;
        (name == kind.name()).then(|| ticket.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_sees_the_other() {
        for kind in [LinkKind::Related, LinkKind::Duplicate, LinkKind::Parent, LinkKind::Child] {
            assert_eq!(LinkKind::from_name(kind.name()), Some(kind));
            assert_eq!(kind.from_the_other().from_the_other(), kind);
        }
        assert_eq!(LinkKind::Parent.from_the_other(), LinkKind::Child);
        assert_eq!(LinkKind::from_name("merged"), None);
        let there = LinkKind::Parent.patch(TicketId(17), LinkState::There);
        let mut after = there.apply("{}").unwrap();
        assert_eq!(linked(&after, LinkKind::Parent).collect::<Vec<_>>(), [TicketId(17)]);
        assert_eq!(linked(&after, LinkKind::Child).count(), 0);
        let gone = LinkKind::Parent.patch(TicketId(17), LinkState::Gone);
        after = gone.apply(&after.to_string()).unwrap();
        assert_eq!(linked(&after, LinkKind::Parent).count(), 0);
    }
}
