//! Full text: which tickets have these words, best first, and the words of queries for lists.

use http::request::Parts;
use serde::Serialize;
use waggle_core::find::{self, Hit, Plan, Snippet, TermRows, Texts, WordPhrase, rank};
use waggle_core::id::{Cursor, Offset, TenantId, Version};
use waggle_core::limits::{SEARCH_ROWS_MAX, SEARCH_TICKETS_MAX};

use super::answer::{self, Response};
use super::lists;
use super::query::{Query, bad};
use super::tickets::{TicketView, storage};
use super::{Api, auth};
use crate::directory::Principal;
use crate::find::TenantNames;
use crate::problem::Problem;
use crate::store::{EventKinds, SearchScope, TicketRow};

/// A page of what was found. `count` is how many tickets there are on all pages, at most
/// [`SEARCH_TICKETS_MAX`]. `is_partial` says that a word is so frequent that only the newest tickets with it were
/// looked at; `behind` how many of the newest events are not searchable yet.
#[derive(Serialize)]
struct SearchPage<'a> {
    hits: Vec<HitView<'a>>,
    next: Option<String>,
    count: usize,
    is_partial: bool,
    behind: u64,
    cursor: Option<Cursor>,
}

#[derive(Serialize)]
struct HitView<'a> {
    ticket: TicketView<'a>,
    /// The event whose text is shown; none where it is the subject.
    version: Option<Version>,
    snippet: SnippetView,
}

#[derive(Serialize)]
struct SnippetView {
    text: String,
    /// In characters: from, and until.
    marks: Vec<(usize, usize)>,
}

/// What a query's texts were found in.
pub(super) struct FoundTexts {
    pub(super) texts: Texts,
    pub(super) is_partial: bool,
    pub(super) behind: u64,
    /// Of the texts that are wanted, not of those that must not be.
    wanted: Vec<(WordPhrase, TermRows)>,
}

/// Looks for the texts of a query; nothing is asked where it has none.
pub(super) async fn texts(
    api: &Api,
    tenant: TenantId,
    query: &find::Query,
    head: Offset,
) -> Result<FoundTexts, Problem> {
    let mut found = FoundTexts { texts: Texts::default(), is_partial: false, behind: 0, wanted: Vec::new() };
    if !query.has_texts() {
        return Ok(found);
    }
    found.behind = api.search.caught_up(tenant, head).await;
    let wanted = query.wanted_texts();
    for term in query.texts() {
        let (key, Some(phrase)) = (term.to_string(), term.phrase()) else { continue };
        let rows = api.search.find(tenant, &phrase, SearchScope::Everything).await.map_err(storage)?;
        found.is_partial |= rows.is_partial;
        found.texts.add(key, rows.rows.iter().map(|(ticket, _)| *ticket));
        if wanted.contains(&term) {
            found.wanted.push((phrase, rows.rows));
        }
    }
    Ok(found)
}

/// The same for a list, which has to be all there is.
pub(super) async fn all_texts(
    api: &Api,
    tenant: TenantId,
    query: &find::Query,
    head: Offset,
) -> Result<Texts, Problem> {
    let found = texts(api, tenant, query, head).await?;
    if found.is_partial {
        let detail = format!(
            "query: a word of it is in {SEARCH_ROWS_MAX} messages or more; give a rarer word, or ask GET /v1/search, \
             which looks at the newest of them"
        );
        return Err(bad(&detail));
    }
    Ok(found.texts)
}

/// `GET /v1/search`.
pub(super) async fn search(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["q", "cursor", "limit"])?;
    let asked = lists::parse("q", query.text("q").unwrap_or_default())?;
    if asked.wanted_texts().is_empty() {
        return Err(bad("q: it has no word to look for; GET /v1/tickets lists tickets by other terms"));
    }
    let skip: usize = query.cursor("rank-")?.unwrap_or_default();
    let limit = usize::try_from(query.limit()?).unwrap_or(usize::MAX);
    let names = TenantNames::of(&api.directory, principal);
    let plan = lists::plan("q", &names, &asked, &[])?;
    let cursor = api.commands.head(principal.tenant);
    let head = cursor.unwrap_or_default().offset;
    let found = texts(api, principal.tenant, &asked, head).await?;
    let hits = hits(api, principal, &plan, &found, head).await?;
    let page: Vec<Hit> = hits.iter().skip(skip).take(limit).copied().collect();
    let ids: Vec<_> = page.iter().map(|hit| hit.ticket).collect();
    let rows = api.store.ticket_rows(principal.tenant, &ids).await.map_err(storage)?;
    let phrases: Vec<WordPhrase> = found.wanted.into_iter().map(|(phrase, _)| phrase).collect();
    let mut views = Vec::with_capacity(rows.len());
    for (hit, row) in page.iter().zip(&rows) {
        views.push(view(api, principal, hit, row, &phrases, &names).await?);
    }
    let end = skip.saturating_add(limit);
    let next = (end < hits.len()).then(|| format!("rank-{end}"));
    let (is_partial, behind) = (found.is_partial, found.behind);
    answer::value(&SearchPage { hits: views, next, count: hits.len(), is_partial, behind, cursor })
}

/// Tickets that the whole query means, best first.
async fn hits(
    api: &Api,
    principal: Principal,
    plan: &Plan,
    found: &FoundTexts,
    head: Offset,
) -> Result<Vec<Hit>, Problem> {
    let visible = api.directory.visible_queues(&principal);
    let look = |index: &find::Index| (index.find(plan, &found.texts, &visible), index.len());
    let (wanted, tickets) = api.find.read(principal.tenant, head, look).await.map_err(lists::behind)?;
    let rows: Vec<TermRows> = found.wanted.iter().map(|(_, rows)| rows.clone()).collect();
    let is_wanted = |ticket: waggle_core::id::TicketId| {
        u32::try_from(ticket.0).is_ok_and(|ticket| wanted.contains(ticket))
    };
    Ok(rank(&rows, tickets, is_wanted, SEARCH_TICKETS_MAX))
}

async fn view<'a>(
    api: &Api,
    principal: Principal,
    hit: &Hit,
    row: &'a TicketRow,
    phrases: &[WordPhrase],
    names: &'a TenantNames<'_>,
) -> Result<HitView<'a>, Problem> {
    let version = (hit.version.0 > 0).then_some(hit.version);
    let text = match version {
        None => find::about(&row.subject, &row.requester, &row.extra),
        Some(version) => message(api, principal.tenant, row, version).await?,
    };
    let Snippet { text, marks } = Snippet::of(&text, phrases);
    let ticket = TicketView::new(row, names.lifecycles());
    Ok(HitView { ticket, version, snippet: SnippetView { text, marks } })
}

/// The text of one event.
async fn message(api: &Api, tenant: TenantId, row: &TicketRow, version: Version) -> Result<String, Problem> {
    #[derive(serde::Deserialize)]
    struct Data {
        #[serde(default)]
        text: String,
    }
    let before = Version(version.0.saturating_sub(1));
    let events =
        api.store.ticket_events(tenant, row.id, before, 1, EventKinds::All).await.map_err(storage)?;
    let data = events.first().and_then(|event| serde_json::from_str::<Data>(&event.data).ok());
    Ok(data.map(|data| data.text).unwrap_or_default())
}
