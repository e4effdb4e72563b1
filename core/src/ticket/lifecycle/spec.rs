//! A lifecycle as people write it: everything by name, nothing checked yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Category;
use crate::right::Right;

/// A lifecycle, as JSON has it. [`check`](super::check) says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleSpec {
    /// Its statuses, in the order in which people see them.
    pub statuses: Vec<StatusSpec>,
    /// The moves between them.
    pub edges: Vec<EdgeSpec>,
    /// What happens by itself.
    #[serde(default)]
    pub defaults: DefaultsSpec,
    /// For tickets that come from a queue of another lifecycle: by that lifecycle's name, which of its statuses
    /// becomes which of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub from: BTreeMap<String, BTreeMap<String, String>>,
}

/// A status of a lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusSpec {
    /// Unique in the lifecycle.
    pub name: String,
    /// One of the fixed ones, by its name.
    pub category: String,
}

/// A move from one status to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeSpec {
    /// From this status
    pub from: String,
    /// to this one.
    pub to: String,
    /// The right that it needs, by its name. Not said: `close` for an edge to a closed status, otherwise `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<String>,
    /// What must hold besides, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
}

/// Where tickets go by themselves, by statuses' names. None of these moves needs an edge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultsSpec {
    /// Where a ticket starts.
    #[serde(default)]
    pub initial: Option<String>,
    /// Where a new ticket goes when an agent takes it up: claims it, is given it, or answers it.
    #[serde(default)]
    pub taken: Option<String>,
    /// Where a ticket that waits goes when its requester writes.
    #[serde(default)]
    pub message: Option<String>,
    /// Where a solved ticket goes when its requester writes.
    #[serde(default)]
    pub reopen: Option<String>,
    /// Where a reply that names no status leaves the ticket. Not said: where it is, or `taken` for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

impl EdgeSpec {
    /// The right that it needs; `to` is its target's category. `None` where it names no right that there is.
    pub(super) fn needs(&self, to: Category) -> Option<Right> {
        match &self.right {
            Some(name) => Right::from_name(name),
            None if to == Category::Closed => Some(Right::Close),
            None => Some(Right::Edit),
        }
    }
}

impl LifecycleSpec {
    /// The category of the status called `name`.
    pub(super) fn category(&self, name: &str) -> Option<Category> {
        let status = self.statuses.iter().find(|status| status.name == name)?;
        Category::from_name(&status.category)
    }
}

impl DefaultsSpec {
    /// All of them by their names, and the categories that each may be of.
    pub(super) fn each(&self) -> [(&'static str, Option<&str>, &'static [Category]); 5] {
        use Category::{New, OnHold, Open, Pending, Solved};
        [
            ("initial", self.initial.as_deref(), &[New, Open]),
            ("taken", self.taken.as_deref(), &[Open]),
            ("message", self.message.as_deref(), &[Open]),
            ("reopen", self.reopen.as_deref(), &[Open]),
            ("reply", self.reply.as_deref(), &[Open, Pending, OnHold, Solved]),
        ]
    }
}
