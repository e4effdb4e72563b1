//! Events as an answer shows them: as they were pushed, or with their texts as HTML, too.

use bytes::Bytes;
use serde::Deserialize;
use waggle_core::ticket::{Entry, StoredEvent};

use super::query::{Query, bad};
use crate::markdown;
use crate::problem::Problem;

/// How the texts of messages are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Render {
    /// As they were written.
    Source,
    /// And as HTML that is safe to put into a page, in the member `html`.
    Html,
}

/// The part of an event's data that is Markdown.
#[derive(Deserialize)]
struct Text {
    text: Option<String>,
}

impl Render {
    /// The parameter `render`.
    pub(super) fn parse(query: &Query<'_>) -> Result<Self, Problem> {
        match query.text("render") {
            None => Ok(Self::Source),
            Some("html") => Ok(Self::Html),
            Some(other) => Err(bad(&format!("render is {other:?}; expected html"))),
        }
    }

    /// The JSON of each event.
    pub(super) async fn all(self, events: Vec<StoredEvent>) -> Result<Vec<Bytes>, Problem> {
        match self {
            Self::Source => Ok(events.iter().map(|event| Entry::from_stored(event).json()).collect()),
            // A page of long messages takes too long for a thread that others wait for.
            Self::Html => tokio::task::spawn_blocking(move || events.iter().map(rendered).collect())
                .await
                .map_err(|_| Problem::new("stopping", "the gateway is stopping")),
        }
    }
}

/// The event with the member `html` at its end.
fn rendered(event: &StoredEvent) -> Bytes {
    let json = Entry::from_stored(event).json();
    let text = serde_json::from_str::<Text>(&event.data).ok().and_then(|data| data.text);
    let (Some(text), Some(open)) = (text, json.strip_suffix(b"}")) else { return json };
    let html = serde_json::Value::String(markdown::to_html(&text)).to_string();
    let mut out = Vec::with_capacity(json.len() + html.len() + 16);
    out.extend_from_slice(open);
    out.extend_from_slice(b",\"html\":");
    out.extend_from_slice(html.as_bytes());
    out.push(b'}');
    Bytes::from(out)
}
