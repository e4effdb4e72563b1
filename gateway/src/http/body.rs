//! Reads a request's body: whole, bounded in bytes and in time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Body;
use serde::de::DeserializeOwned;
use waggle_core::limits::{COMMAND_BYTES_MAX, HTTP_BODY_MS_MAX};
use waggle_core::ticket::CommandError;

use crate::problem::Problem;

/// The whole body. Where it came in one piece, as small ones do, that piece itself.
pub(super) async fn read<B>(body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if let Some(bytes) = body.size_hint().exact()
        && bytes > COMMAND_BYTES_MAX as u64
    {
        return Err(too_long(usize::try_from(bytes).unwrap_or(usize::MAX)));
    }
    let limit = Duration::from_millis(HTTP_BODY_MS_MAX);
    match tokio::time::timeout(limit, collect(body)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Problem::new(
            "request_timeout",
            format!("the body did not arrive within {HTTP_BODY_MS_MAX} milliseconds"),
        )),
    }
}

/// The body as a value of a JSON shape.
pub(super) async fn json<T, B>(parts: &Parts, body: B) -> Result<T, Problem>
where
    T: DeserializeOwned,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    check_type(&parts.headers)?;
    let bytes = read(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::new("malformed", error.to_string()))
}

async fn collect<B>(mut body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Problem::new("malformed", format!("the body broke off: {error}")))?;
        // Trailers say nothing that Waggle reads.
        let Ok(piece) = frame.into_data() else { continue };
        let bytes = first.len() + joined.len() + piece.len();
        if bytes > COMMAND_BYTES_MAX {
            return Err(too_long(bytes));
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
        } else {
            joined.extend_from_slice(&first);
            joined.extend_from_slice(&piece);
            first = Bytes::new();
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

fn too_long(bytes: usize) -> Problem {
    Problem::from_command(&CommandError::TooLong { bytes })
}

/// Refuses a body that is not said to be JSON, as it is.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |what: &str| {
        Err(Problem::new(
            "unsupported_media_type",
            format!("{what}; expected Content-Type: application/json"),
        ))
    };
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return refuse("the body has a Content-Encoding, which is not taken");
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return refuse("the body has no Content-Type");
    };
    let media_type = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    if media_type.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    refuse(&format!("the body is of type {value:?}"))
}
