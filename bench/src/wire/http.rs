//! HTTP/1.1: requests from templates, and as much of the answers as is needed.

/// The longest answer head and body that are taken, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// Why bytes are no answer that is understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Not HTTP/1.x.
    #[error("expected a status line of HTTP/1.x, got {0:?}")]
    StatusLine(String),
    /// A body without `content-length`.
    #[error("the body has transfer-encoding, expected content-length")]
    Chunked,
    /// A length that is no number.
    #[error("content-length {0:?} is no number")]
    Length(String),
    /// Over the limit.
    #[error("the answer has {0} bytes, expected at most {RESPONSE_BYTES_MAX}")]
    TooLong(usize),
}

/// An answer's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes until the body begins.
    pub head_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Whether the server closes the connection after it.
    pub close: bool,
}

impl Head {
    /// Reads a head; `None` when it is not all there yet.
    ///
    /// # Errors
    /// Where it is not of the form that is understood.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, HttpError> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > RESPONSE_BYTES_MAX {
                Err(HttpError::TooLong(bytes.len()))
            } else {
                Ok(None)
            };
        };
        let head = bytes.get(..end).unwrap_or_default();
        let line = head.get(..12).unwrap_or(head);
        let status = status(line).ok_or_else(|| HttpError::StatusLine(lossy(line)))?;
        let mut found = Self { status, head_bytes: end + 4, body_bytes: 0, close: false };
        for at in memchr::memchr_iter(b'\n', head) {
            found.header(head.get(at + 1..).unwrap_or_default())?;
        }
        match found.head_bytes.saturating_add(found.body_bytes) {
            bytes if bytes > RESPONSE_BYTES_MAX => Err(HttpError::TooLong(bytes)),
            _ => Ok(Some(found)),
        }
    }

    fn header(&mut self, rest: &[u8]) -> Result<(), HttpError> {
        // Most headers are passed over by their first letter.
        match rest.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value(rest, b"content-length:") {
                    self.body_bytes = number(value).ok_or_else(|| HttpError::Length(lossy(value)))?;
                } else if let Some(value) = value(rest, b"connection:") {
                    self.close = value.eq_ignore_ascii_case(b"close");
                }
            }
            Some(b't' | b'T') if value(rest, b"transfer-encoding:").is_some() => {
                return Err(HttpError::Chunked);
            }
            _ => {}
        }
        Ok(())
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    number(code).and_then(|code| u16::try_from(code).ok())
}

/// A header's value, trimmed, where `rest` begins with `name`.
fn value<'a>(rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (given, rest) = rest.split_at_checked(name.len())?;
    if !given.eq_ignore_ascii_case(name) {
        return None;
    }
    let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    rest.get(..end).map(<[u8]>::trim_ascii)
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned()
}

/// Requests of one connection: all but the numbers is written once.
#[derive(Debug, Clone)]
pub struct Requests {
    /// Between the path and the length.
    headers: Vec<u8>,
}

impl Requests {
    /// Requests to `host` (as in the Host header) as `token`.
    #[must_use]
    pub fn new(host: &str, token: &str) -> Self {
        let headers = format!(
            " HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: "
        );
        Self { headers: headers.into_bytes() }
    }

    /// `POST path` with `body`.
    pub fn post(&self, out: &mut Vec<u8>, path: &str, body: &[u8]) {
        out.extend_from_slice(b"POST ");
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(&self.headers);
        push_number(out, body.len() as u64);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }

    /// `GET path`.
    pub fn get(&self, out: &mut Vec<u8>, path: &str) {
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(path.as_bytes());
        out.extend_from_slice(&self.headers);
        out.extend_from_slice(b"0\r\n\r\n");
    }

    /// A move of `ticket` at `version` to the status called `to`.
    pub fn move_to(&self, out: &mut Vec<u8>, ticket: u64, to: &str, version: u64) {
        let mut digits = itoa::Buffer::new();
        let version = digits.format(version);
        out.extend_from_slice(b"POST /v1/tickets/");
        push_number(out, ticket);
        out.extend_from_slice(b"/commands");
        out.extend_from_slice(&self.headers);
        let body =
            [&br#"{"type":"move","to":""#[..], to.as_bytes(), br#"","expect":"#, version.as_bytes(), b"}"];
        push_number(out, body.iter().map(|part| part.len() as u64).sum());
        out.extend_from_slice(b"\r\n\r\n");
        for part in body {
            out.extend_from_slice(part);
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_far_as_needed() {
        let whole = b"HTTP/1.1 201 Created\r\nDate: x\r\ncOntent-Length:  12 \r\nConnection: close\r\n\r\n{}";
        let head = Head::parse(whole).unwrap().unwrap();
        assert_eq!((head.status, head.body_bytes, head.close), (201, 12, true));
        assert_eq!(&whole[head.head_bytes..], b"{}");
        for cut in 0..head.head_bytes {
            assert_eq!(Head::parse(&whole[..cut]), Ok(None), "{cut}");
        }
        let bodiless = Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((bodiless.body_bytes, bodiless.close), (0, false));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let error = |text: &[u8]| Head::parse(text).unwrap_err();
        assert!(matches!(error(b"SSH-2.0-x\r\n\r\n"), HttpError::StatusLine(_)));
        assert_eq!(error(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HttpError::Chunked);
        assert_eq!(error(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), HttpError::Length("x".into()));
        assert!(matches!(
            error(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"),
            HttpError::TooLong(_)
        ));
    }

    #[test]
    fn a_move_says_its_length() {
        let mut out = Vec::new();
        Requests::new("h:1", "t").move_to(&mut out, 17, "pending", 3);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"type":"move","to":"pending","expect":3}"#);
        assert!(head.starts_with("POST /v1/tickets/17/commands HTTP/1.1\r\n"));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }
}
