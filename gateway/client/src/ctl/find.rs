//! `wagglectl search …` and `wagglectl view …`: what the HTTP API finds.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use waggle_core::limits::PAGE_ROWS_MAX;

use super::args::{Format, Global, Listing, ViewTask};
use super::failure::{Exit, Failure};
use super::render::{cut, plain};
use super::speak::print;
use super::ticket::{Desk, query, read};

#[derive(Debug, Deserialize)]
struct Hit {
    ticket: Found,
    snippet: Snippet,
}

#[derive(Debug, Deserialize)]
struct Found {
    id: u64,
    status: String,
    subject: String,
}

#[derive(Debug, Deserialize)]
struct Snippet {
    text: String,
}

#[derive(Debug, Deserialize)]
struct Hits {
    hits: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Views {
    views: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct View {
    id: u64,
    name: String,
    audience: String,
    query: String,
}

#[derive(Debug, Deserialize)]
struct Count {
    count: u64,
}

/// Tickets with these words, best first.
pub(crate) async fn search(global: &Global, words: &[String], rows_max: u32) -> Result<Exit, Failure> {
    let desk = Desk::new(global)?;
    let (mut told, mut cursor, mut left) = (String::new(), None, rows_max);
    while left > 0 {
        let parameters = [
            ("q", Some(words.join(" "))),
            ("limit", Some(left.min(PAGE_ROWS_MAX).to_string())),
            ("cursor", cursor),
        ];
        let page: Hits = desk.get(&format!("/v1/search?{}", query(parameters.into_iter()))).await?;
        left = left.saturating_sub(u32::try_from(page.hits.len()).unwrap_or(u32::MAX));
        for hit in &page.hits {
            match desk.format {
                Format::Json => told.push_str(hit.get()),
                Format::Human => told.push_str(&hit_row(&desk, &read(hit.get().as_bytes())?)),
            }
            told.push('\n');
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}

fn hit_row(desk: &Desk, hit: &Hit) -> String {
    let Found { id, status, subject } = &hit.ticket;
    let head = format!("{id:>7}  {status:<8} ");
    let text = format!("{} | {}", plain(subject), plain(&hit.snippet.text));
    format!("{head}{}", cut(&text, desk.look.columns.saturating_sub(head.chars().count())))
}

/// Saved views.
pub(crate) async fn view(global: &Global, task: ViewTask) -> Result<Exit, Failure> {
    let desk = Desk::new(global)?;
    match task {
        ViewTask::List => views(&desk, false).await,
        ViewTask::Counts => views(&desk, true).await,
        ViewTask::Tickets { view, listing } => {
            let Listing { sort, at, .. } = &listing;
            let filters = [("sort", sort.clone()), ("at", at.clone())];
            desk.list(&format!("/v1/views/{view}/tickets"), &filters, listing.rows_max()).await
        }
    }
}

async fn views(desk: &Desk, counts: bool) -> Result<Exit, Failure> {
    let all: Views = desk.get("/v1/views").await?;
    let mut told = String::new();
    for raw in all.views {
        let view: View = read(raw.get().as_bytes())?;
        let count = match counts {
            true => Some(desk.get::<Count>(&format!("/v1/views/{}/count", view.id)).await?.count),
            false => None,
        };
        told.push_str(&match (desk.format, count) {
            (Format::Json, None) => raw.get().to_owned(),
            (Format::Json, Some(count)) => counted(&raw, count)?.to_string(),
            (Format::Human, None) => {
                format!(
                    "{:>5}  {:<8}  {:<24}  {}",
                    view.id,
                    view.audience,
                    plain(&view.name),
                    plain(&view.query)
                )
            }
            (Format::Human, Some(count)) => format!("{:>5}  {count:>9}  {}", view.id, plain(&view.name)),
        });
        told.push('\n');
    }
    print(told.as_bytes())?;
    Ok(Exit::Ok)
}

/// A view with its count as one more member.
fn counted(view: &RawValue, count: u64) -> Result<Value, Failure> {
    let mut view: Value = read(view.get().as_bytes())?;
    if let Some(members) = view.as_object_mut() {
        members.insert("count".to_owned(), json!(count));
    }
    Ok(view)
}
