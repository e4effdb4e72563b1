//! What a ticket has of tags, fields, followers and the like, each as a value that tickets share.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::query::Has;
use super::value::{normal, texts};
use crate::time::Timestamp;

/// One value of one property. Values of a property are beside each other, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Facet {
    Has(u8),
    Merged,
    Deleted,
    Follower(u32),
    Channel(String),
    Tag(String),
    Requester(String),
    /// By field; then texts by letters, and numbers by size.
    Field(String, Option<Size>, String),
}

/// A number, ordered as numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Size(u64);

impl Size {
    pub(super) const LEAST: Self = Self(0);

    /// The one above.
    pub(super) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// Of a text that is a number.
    pub(super) fn of(text: &str) -> Option<Self> {
        let number = text.parse::<f64>().ok().filter(|number| !number.is_nan())?;
        // Zero has two signs. The bits of floating point numbers are in order but for the sign's.
        let bits = (number + 0.0).to_bits();
        Some(Self(if number.is_sign_negative() && number != 0.0 { !bits } else { bits | 1 << 63 }))
    }
}

impl Facet {
    pub(super) fn has(has: Has) -> Self {
        Self::Has(has as u8)
    }

    /// That a field has this value.
    pub(super) fn field(name: &str, text: String) -> Self {
        Self::Field(name.to_owned(), Size::of(&text), text)
    }
}

/// What an index keeps of a ticket beyond its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facets {
    /// In order, each once.
    pub(super) values: Vec<Facet>,
    pub(super) due_at: Option<Timestamp>,
}

/// The members of a ticket's `extra` that can be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extra {
    tags: Map<String, Value>,
    fields: Map<String, Value>,
    followers: Map<String, Value>,
    links: Map<String, Value>,
    due_at: Option<u64>,
    channel: Option<String>,
    merged_into: Option<u64>,
    deleted: Option<bool>,
}

impl Facets {
    /// Of a ticket with this requester, and this object (JSON) of what else it has.
    ///
    /// # Errors
    /// Where `extra` is no such object.
    pub fn read(requester: &str, extra: &str) -> Result<Self, serde_json::Error> {
        let mut values = vec![Facet::Requester(normal(requester))];
        if extra == "{}" {
            return Ok(Self { values, due_at: None });
        }
        let extra: Extra = serde_json::from_str(extra)?;
        for (present, has) in [
            (!extra.tags.is_empty(), Has::Tag),
            (!extra.fields.is_empty(), Has::Field),
            (!extra.followers.is_empty(), Has::Follower),
            (!extra.links.is_empty(), Has::Link),
            (extra.due_at.is_some(), Has::Due),
        ] {
            values.extend(present.then(|| Facet::has(has)));
        }
        values.extend(extra.tags.keys().map(|tag| Facet::Tag(normal(tag))));
        let followers = extra.followers.keys().filter_map(|agent| agent.parse().ok());
        values.extend(followers.map(Facet::Follower));
        for (name, value) in &extra.fields {
            values.extend(texts(value).into_iter().map(|text| Facet::field(&normal(name), text)));
        }
        values.extend(extra.channel.map(|channel| Facet::Channel(normal(&channel))));
        values.extend(extra.merged_into.map(|_| Facet::Merged));
        values.extend(extra.deleted.filter(|deleted| *deleted).map(|_| Facet::Deleted));
        values.sort_unstable();
        values.dedup();
        Ok(Self { values, due_at: extra.due_at.map(Timestamp) })
    }
}
