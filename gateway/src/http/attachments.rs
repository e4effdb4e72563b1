//! Files of tickets: in, out, and which there are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};
use waggle_core::id::{TenantId, TicketId};
use waggle_core::limits::{ATTACHMENT_NAME_BYTES_MAX, HTTP_BODY_MS_MAX, TICKET_ATTACHMENTS_MAX};
use waggle_core::right::Right;
use waggle_core::ticket::{Command, Request};
use waggle_core::time::Timestamp;

use super::answer::{self, AnswerBody, Response};
use super::query::{Query, bad};
use super::tickets::{storage, visible};
use super::{Api, auth, preconditions, rights};
use crate::attachment::{AttachmentError, Hash, Upload};
use crate::ledger::Submission;
use crate::problem::Problem;
use crate::store::AttachmentRow;

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A file as callers see it, and as its event has it.
#[derive(Serialize)]
struct View<'a> {
    hash: String,
    name: &'a str,
    media_type: &'a str,
    bytes: u64,
    at: Timestamp,
}

#[derive(Serialize)]
struct Page<'a> {
    attachments: Vec<View<'a>>,
}

impl<'a> From<&'a AttachmentRow> for View<'a> {
    fn from(row: &'a AttachmentRow) -> Self {
        let AttachmentRow { hash, name, media_type, bytes, at } = row;
        Self { hash: hash.to_string(), name, media_type, bytes: *bytes, at: *at }
    }
}

/// `POST /v1/tickets/{ticket}/attachments?name=…`: the body is the file. The answer is the event.
pub(super) async fn add<B>(api: &Api, parts: &Parts, body: B, ticket: TicketId) -> Result<Response, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let principal = auth::principal(&api.directory, &parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["name"])?;
    let name = checked_name(query.text("name"))?;
    let tenant = principal.tenant;
    let row = visible(api, &principal, ticket).await?;
    rights::needs_in(api, &principal, row.queue, Right::Note)?;
    let there = api.store.attachments(tenant, ticket).await.map_err(storage)?;
    if there.len() >= TICKET_ATTACHMENTS_MAX {
        let detail = format!("the ticket has {TICKET_ATTACHMENTS_MAX} attachments, which is the most");
        return Err(Problem::new("too_many_attachments", detail));
    }
    let upload = receive(api, body).await?;
    let kept = api.attachments.keep().await;
    let (hash, kind, bytes) = upload.finish().await.map_err(|error| refused(&error))?;
    let media_type = kind.media_type().to_owned();
    let row = AttachmentRow { hash, name, media_type, bytes, at: auth::now() };
    if !api.store.add_attachment(tenant, ticket, &row).await.map_err(storage)? {
        let detail = "the ticket has this file already";
        return Err(Problem::new("attached_already", detail).with("hash", row.hash.to_string()));
    }
    drop(kept);
    let attachment = serde_json::to_string(&View::from(&row)).map_err(|error| internal(&error))?;
    let command = Command::Attach { attachment: &attachment };
    let request = Request { command, expect: None, fence: None };
    let submission =
        Submission { tenant, authority: principal.authority(), ticket: Some(ticket), request, key: None };
    match api.commands.submit(submission).await {
        Ok(outcome) => {
            let entry = &outcome.entry;
            Ok(answer::with_version(answer::json(StatusCode::CREATED, entry.json()), entry.version))
        }
        Err(error) => {
            // Where this fails, too, the ticket has a file that no event tells of: it may be sent again under
            // another ticket, or is found in the list.
            if let Err(error) = api.store.remove_attachment(tenant, ticket, row.hash).await {
                tracing::warn!(%error, %ticket, "an attachment without an event could not be taken back");
            }
            Err(Problem::from_submit(&error))
        }
    }
}

async fn receive<B>(api: &Api, mut body: B) -> Result<Upload<'_>, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if let Some(bytes) = body.size_hint().exact()
        && bytes > api.attachments.bytes_max()
    {
        return Err(refused(&AttachmentError::TooLong { max: api.attachments.bytes_max() }));
    }
    let mut upload = api.attachments.begin().await.map_err(|error| refused(&error))?;
    let quiet = Duration::from_millis(HTTP_BODY_MS_MAX);
    loop {
        match tokio::time::timeout(quiet, body.frame()).await {
            Ok(Some(Ok(frame))) => write(&mut upload, frame).await?,
            Ok(Some(Err(error))) => {
                return Err(Problem::new("malformed", format!("the body broke off: {error}")));
            }
            Ok(None) => return Ok(upload),
            Err(_) => {
                let detail = format!("nothing of the body arrived for {HTTP_BODY_MS_MAX} milliseconds");
                return Err(Problem::new("request_timeout", detail));
            }
        }
    }
}

async fn write(upload: &mut Upload<'_>, frame: Frame<Bytes>) -> Result<(), Problem> {
    match frame.into_data() {
        Ok(bytes) => upload.write(&bytes).await.map_err(|error| refused(&error)),
        // Trailers say nothing that Waggle reads.
        Err(_) => Ok(()),
    }
}

/// What a file is called is shown beside other names, and never a path.
fn checked_name(name: Option<&str>) -> Result<String, Problem> {
    let name = name.ok_or_else(|| bad("give the file's name: ?name=invoice.pdf"))?;
    let wrong = |what: &str| Err(bad(&format!("name {what}; expected a file's name, such as invoice.pdf")));
    if name.trim().is_empty() || name.trim_matches('.').is_empty() {
        return wrong("is blank");
    }
    if name.len() > ATTACHMENT_NAME_BYTES_MAX {
        return wrong(&format!("has {} bytes of at most {ATTACHMENT_NAME_BYTES_MAX}", name.len()));
    }
    if name.contains(['/', '\\', ':']) {
        return wrong("has a slash, a backslash or a colon");
    }
    // Controls, and marks that turn the direction of what follows: `exe.fdp` would be read as `pdf.exe`.
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if name.chars().any(|c| c.is_control() || turns(c)) {
        return wrong("has a character that is not shown");
    }
    Ok(name.to_owned())
}

/// `GET /v1/tickets/{ticket}/attachments`.
pub(super) async fn list(api: &Api, parts: &Parts, ticket: TicketId) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    visible(api, &principal, ticket).await?;
    let rows = api.store.attachments(principal.tenant, ticket).await.map_err(storage)?;
    answer::value(&Page { attachments: rows.iter().map(View::from).collect() })
}

/// `GET /v1/tickets/{ticket}/attachments/{hash}`: the file, to be saved and never to be shown in place.
pub(super) async fn one(
    api: &Api,
    parts: &Parts,
    ticket: TicketId,
    hash: Result<Hash, Problem>,
) -> Result<Response, Problem> {
    let principal = auth::principal(&api.directory, &parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    visible(api, &principal, ticket).await?;
    let row = find(api, principal.tenant, ticket, hash?).await?;
    if preconditions::has_already_tag(&parts.headers, format!("\"{}\"", row.hash).as_bytes()) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(described(response, &row));
    }
    let file = api.attachments.file(row.hash).await.map_err(|error| {
        tracing::warn!(%error, hash = %row.hash, "an attachment cannot be read");
        Problem::new("storage_unavailable", "the file cannot be read")
    })?;
    let mut response = Response::new(AnswerBody::File(Box::new(FileBody::new(file, row.bytes))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(row.bytes));
    let media_type = HeaderValue::try_from(&row.media_type);
    let bytes = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, media_type.unwrap_or(bytes));
    headers.insert(CONTENT_DISPOSITION, disposition(&row.name));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(described(response, &row))
}

fn described(mut response: Response, row: &AttachmentRow) -> Response {
    let headers = response.headers_mut();
    // The right to it may end: ask every time, and send it once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", row.hash)) {
        headers.insert(ETAG, tag);
    }
    response
}

async fn find(api: &Api, tenant: TenantId, ticket: TicketId, hash: Hash) -> Result<AttachmentRow, Problem> {
    let found = api.store.attachment(tenant, ticket, hash).await.map_err(storage)?;
    found.ok_or_else(|| {
        Problem::new("no_such_attachment", format!("ticket {ticket} has no attachment {hash}"))
    })
}

/// RFC 6266: a name of plain ASCII, and the true one.
fn disposition(name: &str) -> HeaderValue {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%');
    let plain: String = name.chars().map(|c| if is_plain(c) || c == ' ' { c } else { '_' }).collect();
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        // attr-char of RFC 5987.
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    let text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

fn refused(error: &AttachmentError) -> Problem {
    let code = match error {
        AttachmentError::TooLong { .. } => "attachment_too_large",
        AttachmentError::Empty => "bad_attachment",
        AttachmentError::NotTaken(_) => "bad_attachment",
        AttachmentError::NoRoom | AttachmentError::Io(_) => "storage_unavailable",
    };
    if let AttachmentError::Io(error) = error {
        tracing::warn!(%error, "an attachment could not be stored");
    }
    Problem::new(code, error.to_string())
}

fn internal(error: &serde_json::Error) -> Problem {
    Problem::new("internal", error.to_string())
}

/// A file on its way out, in pieces.
#[derive(Debug)]
pub struct FileBody {
    file: File,
    left: u64,
    piece: BytesMut,
}

impl FileBody {
    fn new(file: File, bytes: u64) -> Self {
        Self { file, left: bytes, piece: BytesMut::new() }
    }

    /// The next piece. It ends early where the file cannot be read on: the answer then breaks off, which its
    /// length tells.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        self.piece.resize(wanted, 0);
        let mut buffer = ReadBuf::new(&mut self.piece);
        match ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer)) {
            Ok(()) => {
                let read = buffer.filled().len();
                self.left -= read as u64;
                let piece = self.piece.split_to(read).freeze();
                Poll::Ready((read > 0).then(|| Frame::data(piece)))
            }
            Err(error) => {
                tracing::warn!(%error, "an attachment broke off");
                Poll::Ready(None)
            }
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    pub(super) fn is_end(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        for good in ["invoice.pdf", "发票 2026.pdf", "a..b", ".profile", "…"] {
            assert_eq!(checked_name(Some(good)), Ok(good.to_owned()));
        }
        let long = "x".repeat(ATTACHMENT_NAME_BYTES_MAX + 1);
        for wrong in ["", " ", "..", ".", "../a", "a\\b", "C:a", "a\0b", "a\nb", "a\u{202e}fdp.exe", &long] {
            assert_eq!(checked_name(Some(wrong)).unwrap_err().code, "bad_query", "{wrong:?}");
        }
        assert!(checked_name(None).is_err());
    }

    #[test]
    fn names_leave_as_the_standard_has_them() {
        assert_eq!(
            disposition("a\"b 发.pdf"),
            "attachment; filename=\"a_b _.pdf\"; filename*=UTF-8''a%22b%20%E5%8F%91.pdf"
        );
    }
}
