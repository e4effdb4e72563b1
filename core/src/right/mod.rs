//! What one may do: rights, sets of them, and the queues that one may see.

mod queue_set;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use queue_set::QueueSet;

/// One thing that one may do with the tickets of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Right {
    /// Read tickets, their events, and who works on them; watch them.
    See,
    /// Make tickets, and add what their requesters say.
    Create,
    /// Write public replies.
    Reply,
    /// Write internal notes.
    Note,
    /// Take tickets for oneself. Whoever holds one may always give it back.
    Claim,
    /// Give tickets to others.
    Assign,
    /// Change fields, and the status along edges that name no other right.
    Edit,
    /// Move tickets out of the queue, and into it.
    MoveQueue,
    /// Close tickets for good.
    Close,
    /// Merge, link and split tickets, and merge requesters.
    Merge,
    /// Delete tickets.
    Delete,
    /// Take out data of many tickets at once.
    Export,
    /// Write to tickets that others hold, and change who may do what. Over all queues: the tenant's settings.
    Administer,
}

/// A right's name on the wire and in storage, and what it is for.
#[derive(Debug, Clone, Copy)]
pub struct RightEntry {
    /// Which.
    pub right: Right,
    /// Its name: lower case, `[a-z_]`.
    pub name: &'static str,
    /// What it allows, for people.
    pub allows: &'static str,
}

const fn entry(right: Right, name: &'static str, allows: &'static str) -> RightEntry {
    RightEntry { right, name, allows }
}

/// All rights, in the order of their bits. Append only: names are stored.
pub const RIGHTS: [RightEntry; 13] = [
    entry(Right::See, "see", "read and watch tickets"),
    entry(Right::Create, "create", "make tickets, and add what requesters say"),
    entry(Right::Reply, "reply", "write public replies"),
    entry(Right::Note, "note", "write internal notes"),
    entry(Right::Claim, "claim", "take tickets for oneself"),
    entry(Right::Assign, "assign", "give tickets to others"),
    entry(Right::Edit, "edit", "change fields, and the status where its edge names no other right"),
    entry(Right::MoveQueue, "move_queue", "move tickets out of the queue, and into it"),
    entry(Right::Close, "close", "close tickets for good"),
    entry(Right::Merge, "merge", "merge, link and split tickets, and merge requesters"),
    entry(Right::Delete, "delete", "delete tickets"),
    entry(Right::Export, "export", "take out data of many tickets at once"),
    entry(
        Right::Administer,
        "administer",
        "write to tickets that others hold, and give others rights in the queue; over all queues: change the tenant",
    ),
];

impl Right {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        RIGHTS.iter().find(|entry| entry.right == self).map_or("?", |entry| entry.name)
    }

    /// The right called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        RIGHTS.iter().find(|entry| entry.name == name).map(|entry| entry.right)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Right {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Right {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(UnknownRight::new(&name)))
    }
}

/// A name that no right has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no right {name:?}; expected some of {}", Rights::ALL)]
pub struct UnknownRight {
    name: String,
}

impl UnknownRight {
    fn new(name: &str) -> Self {
        Self { name: name.chars().take(40).collect() }
    }
}

/// A set of rights. As text, their names with spaces between; as JSON, a list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u32);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self((1 << RIGHTS.len()) - 1);
    /// Of whoever works on tickets: all but to delete, to export and to administer.
    pub const AGENT: Self =
        Self(Self::ALL.0 & !(Right::Delete.bit() | Right::Export.bit() | Right::Administer.bit()));
    /// Of whoever only looks.
    pub const VIEWER: Self = Self::one(Right::See);

    /// A set of one.
    #[must_use]
    pub const fn one(right: Right) -> Self {
        Self(right.bit())
    }

    /// Those of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that `other` has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `right` is in it.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// A bit for each right, in the order of [`RIGHTS`].
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The first right of `needed` that is not in it.
    #[must_use]
    pub fn lacks(self, needed: Self) -> Option<Right> {
        needed.without(self).iter().next()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its rights, in the order of [`RIGHTS`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        RIGHTS.iter().map(|entry| entry.right).filter(move |right| self.has(*right))
    }

    /// Reads the text of a set; the empty text is none.
    ///
    /// # Errors
    /// Names what is no right.
    pub fn parse(text: &str) -> Result<Self, UnknownRight> {
        text.split_ascii_whitespace()
            .map(|name| Right::from_name(name).ok_or_else(|| UnknownRight::new(name)))
            .collect()
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<T: IntoIterator<Item = Right>>(rights: T) -> Self {
        rights.into_iter().fold(Self::NONE, |all, right| all.or(Self::one(right)))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, right) in self.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { " " })?;
            f.write_str(right.name())?;
        }
        Ok(())
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Right>::deserialize(deserializer).map(|rights| rights.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_one_bit_and_one_name() {
        for (place, entry) in RIGHTS.iter().enumerate() {
            assert_eq!(entry.right as usize, place, "{}", entry.name);
            assert_eq!(Right::from_name(entry.name), Some(entry.right));
            assert!(entry.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        assert_eq!(Rights::ALL.iter().count(), RIGHTS.len());
    }

    #[test]
    fn sets_survive_text_and_json() {
        for rights in [Rights::NONE, Rights::VIEWER, Rights::AGENT, Rights::ALL] {
            assert_eq!(Rights::parse(&rights.to_string()), Ok(rights));
            let json = serde_json::to_string(&rights).unwrap();
            assert_eq!(serde_json::from_str::<Rights>(&json).unwrap(), rights);
        }
        assert_eq!(Rights::parse(" see  note see "), Ok([Right::Note, Right::See].into_iter().collect()));
        let refused = Rights::parse("see fly").unwrap_err().to_string();
        assert!(refused.starts_with("there is no right \"fly\"; expected some of see create"), "{refused}");
        assert!(serde_json::from_str::<Rights>(r#"["See"]"#).is_err());
    }

    #[test]
    fn a_set_says_what_it_lacks() {
        let needed: Rights = [Right::Close, Right::Reply].into_iter().collect();
        assert_eq!(Rights::VIEWER.lacks(needed), Some(Right::Reply));
        assert_eq!(Rights::AGENT.lacks(needed), None);
        assert_eq!(Rights::AGENT.or(Rights::one(Right::Delete)).without(Rights::AGENT).to_string(), "delete");
        assert!(Rights::AGENT.has(Right::Merge) && !Rights::AGENT.has(Right::Administer));
    }
}
