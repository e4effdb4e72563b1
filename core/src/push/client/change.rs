//! What the application changes while connections come and go: views and the token.

use std::collections::VecDeque;

use serde::Serialize;

use super::Link;
use crate::limits::{CLIENT_CHANGES_MAX, VIEWS_MAX};
use crate::push::View;

/// The number of a change, in the order they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u64);

/// What the application wants otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Watch these as well.
    Subscribe(Vec<View>),
    /// Watch these no longer.
    Unsubscribe(Vec<View>),
    /// A new token of the same agent.
    Refresh(String),
}

/// Why a change is not even asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Beyond what a session may watch.
    #[error("the session would watch {count} views; at most {VIEWS_MAX} are taken")]
    TooManyViews {
        /// With those that are watched.
        count: usize,
    },
    /// Beyond what may wait for an answer.
    #[error("{CLIENT_CHANGES_MAX} changes have no answer yet")]
    TooManyChanges,
}

/// What hello says, and the changes that no server has confirmed. A change is confirmed by its result, or
/// by the welcome to a hello that held it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) token: String,
    /// In order, each once.
    pub(super) views: Vec<View>,
    next: ChangeId,
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    id: ChangeId,
    change: Change,
    /// Where it was sent last.
    sent_over: Option<Link>,
}

#[derive(Serialize)]
struct ViewsText<'a> {
    r#type: &'static str,
    id: String,
    views: &'a [View],
}

#[derive(Serialize)]
struct RefreshText<'a> {
    r#type: &'static str,
    token: &'a str,
}

impl Wanted {
    pub(super) fn new(token: String, mut views: Vec<View>) -> Self {
        views.sort_unstable();
        views.dedup();
        Self { token, views, next: ChangeId(1), pending: VecDeque::new() }
    }

    /// The server shows these no more: they are not asked for again.
    pub(super) fn ended(&mut self, views: &[View]) {
        self.views.retain(|view| !views.contains(view));
    }

    /// The first change that a hello said now does not hold.
    pub(super) fn next(&self) -> ChangeId {
        self.next
    }

    pub(super) fn add(&mut self, mut change: Change) -> Result<ChangeId, ChangeError> {
        if self.pending.len() == CLIENT_CHANGES_MAX {
            return Err(ChangeError::TooManyChanges);
        }
        match &mut change {
            Change::Subscribe(views) => {
                views.retain(|view| self.views.binary_search(view).is_err());
                views.sort_unstable();
                views.dedup();
                let count = self.views.len() + views.len();
                if count > VIEWS_MAX {
                    return Err(ChangeError::TooManyViews { count });
                }
                self.views.extend_from_slice(views);
                self.views.sort_unstable();
            }
            Change::Unsubscribe(views) => {
                views.retain(|view| self.views.binary_search(view).is_ok());
                self.views.retain(|view| !views.contains(view));
            }
            Change::Refresh(token) => self.token.clone_from(token),
        }
        let id = self.next;
        self.next.0 += 1;
        self.pending.push_back(Pending { id, change, sent_over: None });
        Ok(id)
    }

    /// The texts of what was not sent over `link`: all that is asked for over it.
    pub(super) fn unsent(&mut self, link: Link) -> Vec<String> {
        let unsent = self.pending.iter_mut().filter(|it| it.sent_over != Some(link));
        unsent
            .map(|pending| {
                pending.sent_over = Some(link);
                pending.text()
            })
            .collect()
    }

    /// A hello that held all changes before `next` was welcomed: these are confirmed.
    pub(super) fn welcomed(&mut self, next: ChangeId) -> Vec<ChangeId> {
        let confirmed = self.pending.iter().take_while(|it| it.id < next).count();
        self.pending.drain(..confirmed).map(|it| it.id).collect()
    }

    /// A result came over `link`. That of a refresh has no id, so those are answered in order. Views that
    /// are refused are wanted no longer.
    pub(super) fn finish(&mut self, link: Link, id: Option<&str>, is_refused: bool) -> Answered {
        let place = match id {
            None => self.pending.iter().position(|it| it.sent_over == Some(link) && it.change.is_refresh()),
            Some(id) => {
                let Some(number) = id.strip_prefix('v') else { return Answered::NoChange };
                self.pending.iter().position(|it| it.id.0.to_string() == number)
            }
        };
        let Some(Pending { id, change, .. }) = place.and_then(|place| self.pending.remove(place)) else {
            return Answered::Before;
        };
        if let (Change::Subscribe(views), true) = (&change, is_refused) {
            self.views.retain(|view| !views.contains(view));
        }
        Answered::Now(id)
    }
}

/// What a result belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// This change.
    Now(ChangeId),
    /// A change that was confirmed before.
    Before,
    /// Something else.
    NoChange,
}

impl Pending {
    fn text(&self) -> String {
        let id = format!("v{}", self.id.0);
        let text = match &self.change {
            Change::Subscribe(views) => serde_json::to_string(&ViewsText { r#type: "subscribe", id, views }),
            Change::Unsubscribe(views) => {
                serde_json::to_string(&ViewsText { r#type: "unsubscribe", id, views })
            }
            Change::Refresh(token) => serde_json::to_string(&RefreshText { r#type: "refresh", token }),
        };
        // Strings and lists of them always have a JSON text.
        text.unwrap_or_default()
    }
}

impl Change {
    fn is_refresh(&self) -> bool {
        matches!(self, Self::Refresh(_))
    }
}
