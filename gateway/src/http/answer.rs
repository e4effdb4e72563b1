//! Answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use waggle_core::id::Version;
use waggle_core::json::push_number;

use super::sse::Events;
use crate::attachment::Reading;
use crate::problem::Problem;

/// Every answer.
pub type Response = http::Response<AnswerBody>;

/// An answer's body.
#[derive(Debug)]
pub enum AnswerBody {
    /// One piece.
    Whole(Full<Bytes>),
    /// Events as they happen.
    Events(Box<Events>),
    /// A file.
    File(Box<Reading>),
}

impl Default for AnswerBody {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(events) => events.poll_piece(cx).map(|piece| piece.map(Ok)),
            Self::File(file) => poll_file(file, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(_) => false,
            Self::File(file) => file.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
            Self::File(file) => SizeHint::with_exact(file.left()),
        }
    }
}

/// A file that cannot be read on, or is not what it was, ends the answer early, which its length tells.
fn poll_file(file: &mut Reading, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
    file.poll_piece(cx).map(|piece| match piece? {
        Ok(piece) => Some(Ok(Frame::data(piece))),
        Err(error) => {
            tracing::warn!(%error, causes = error.causes(), hash = %file.hash(), "an attachment broke off");
            None
        }
    })
}

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer of JSON text.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response {
    with_type(status, JSON, body)
}

/// An answer of a value as JSON.
pub(super) fn value(value: &impl Serialize) -> Result<Response, Problem> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(json(StatusCode::OK, body.into())),
        // Views have string keys and plain fields: this does not happen.
        Err(error) => Err(Problem::new("internal", error.to_string())),
    }
}

/// An answer of another type.
pub(super) fn with_type(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let mut response = Response::new(AnswerBody::Whole(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    no_store(headers);
    response
}

/// Answers are of the moment.
pub(super) fn no_store(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, NO_STORE);
}

/// An answer that says what is wrong.
pub(super) fn problem(problem: &Problem, request_id: &str) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = problem.to_value(Some(request_id)).to_string();
    let mut response = with_type(status, PROBLEM, body.into());
    if let Some(seconds) = problem.retry_after_s() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// With the ticket's version as a strong entity tag.
pub(super) fn with_version(mut response: Response, version: Version) -> Response {
    response.headers_mut().insert(ETAG, etag(version));
    response
}

/// `"7"`.
pub(super) fn etag(version: Version) -> HeaderValue {
    let mut text = Vec::with_capacity(12);
    text.push(b'"');
    push_number(&mut text, u64::from(version.0));
    text.push(b'"');
    // Digits and quotes are always a header's value.
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("*"))
}

/// As a HEAD request gets it: the same headers, no body.
pub(super) fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(bytes) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Response::from_parts(parts, AnswerBody::default())
}
