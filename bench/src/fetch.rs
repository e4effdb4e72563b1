//! One page of a gateway, on a connection of its own.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::Result;

use crate::stream::Stream;
use crate::target::Target;
use crate::wire::http::Head;

const PATIENCE: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status code; zero where there was none.
    pub status: u16,
    /// Head and body.
    pub text: String,
}

/// Gets `path` as the target's first agent.
///
/// # Errors
/// Where it does not answer.
pub fn get(target: &Target, path: &str) -> Result<Page> {
    let mut stream = Stream::connect(&target.api)?;
    stream.block(PATIENCE)?;
    let (host, token) = (&target.host, target.token(0));
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    // A server may keep the connection open all the same: the length says where the body ends.
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    let mut status = 0;
    while bytes.len() < BODY_BYTES_MAX {
        let count = stream.read(&mut part)?;
        bytes.extend_from_slice(part.get(..count).unwrap_or_default());
        let head = Head::parse(&bytes).ok().flatten();
        status = head.map_or(0, |head| head.status);
        let is_whole =
            head.is_some_and(|head| head.body_bytes > 0 && bytes.len() >= head.head_bytes + head.body_bytes);
        if count == 0 || is_whole {
            break;
        }
    }
    Ok(Page { status, text: String::from_utf8_lossy(&bytes).into_owned() })
}
