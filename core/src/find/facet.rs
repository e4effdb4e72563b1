//! What a ticket has of tags, fields, followers and the like, each as a value that tickets share.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::query::Has;
use super::value::{normal, texts};
use crate::time::Timestamp;

/// One value of one property. Values of a property are beside each other, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Facet {
    Has(u8),
    Merged,
    Deleted,
    Follower(u32),
    Channel(String),
    Tag(String),
    Requester(String),
    Field(String, String),
}

impl Facet {
    pub(super) fn has(has: Has) -> Self {
        Self::Has(has as u8)
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
            values.extend(texts(value).into_iter().map(|text| Facet::Field(normal(name), text)));
        }
        values.extend(extra.channel.map(|channel| Facet::Channel(normal(&channel))));
        values.extend(extra.merged_into.map(|_| Facet::Merged));
        values.extend(extra.deleted.filter(|deleted| *deleted).map(|_| Facet::Deleted));
        values.sort_unstable();
        values.dedup();
        Ok(Self { values, due_at: extra.due_at.map(Timestamp) })
    }
}
