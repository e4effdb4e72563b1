//! Agents at a gateway's API: one request after the other over a keep-alive connection.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use waggle_core::limits::HTTP_HEADER_MS_MAX;

use crate::stream::{Address, Stream};
use crate::target::Target;
use crate::wire::http::{Head, Requests};

/// An answer that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether all is learned.
const LOOK: Duration = Duration::from_millis(20);
/// A connection that has rested for longer is made anew: the gateway closes it when no request comes.
const REST: Duration = Duration::from_millis(HTTP_HEADER_MS_MAX / 2);
const SUBJECT_CHARS_MAX: usize = 60;
const READ_BYTES: usize = 16 * 1024;

/// One agent's connection.
pub(super) struct Desk {
    address: Address,
    stream: Stream,
    /// When it was connected, or had its last answer.
    used: Instant,
    requests: Requests,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Desk {
    /// Connects as the `index`-th agent of the target.
    pub(super) fn connect(target: &Target, index: usize) -> Result<Self> {
        Self::with_token(target, target.token(index))
    }

    /// Connects with a token of its own.
    pub(super) fn with_token(target: &Target, token: &str) -> Result<Self> {
        let requests = Requests::new(&target.host, token);
        let (address, stream) = (target.api.clone(), connect(&target.api)?);
        let (input, output) = (Vec::new(), Vec::new());
        Ok(Self { address, stream, used: Instant::now(), requests, input, output })
    }

    /// Posts `body`; the status and the answer's JSON.
    pub(super) fn post(&mut self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.requests.post(&mut self.output, path, body.to_string().as_bytes());
        self.exchange(path)
    }

    /// Posts what must be done.
    pub(super) fn order(&mut self, path: &str, body: &Value) -> Result<Value> {
        match self.post(path, body)? {
            (200 | 201, answer) => Ok(answer),
            (status, answer) => bail!("POST {path} {body} answered {status}, expected 200 or 201: {answer}"),
        }
    }

    /// Gets `path`; the status and the answer's JSON.
    pub(super) fn get(&mut self, path: &str) -> Result<(u16, Value)> {
        self.requests.get(&mut self.output, path);
        self.exchange(path)
    }

    /// Opens a ticket; its number.
    pub(super) fn open(&mut self, queue: u32, requester: &str, text: &str) -> Result<u64> {
        // As mail programs do: the text's beginning, which says nothing more.
        let subject: String = text.chars().take(SUBJECT_CHARS_MAX).collect();
        let body = json!({"type": "create", "queue": queue, "subject": subject, "requester": requester, "text": text});
        let event = self.order("/v1/tickets", &body)?;
        event.get("ticket").and_then(Value::as_u64).with_context(|| format!("no ticket in {event}"))
    }

    /// A command on a ticket.
    pub(super) fn command(&mut self, ticket: u64, body: &Value) -> Result<Value> {
        self.order(&format!("/v1/tickets/{ticket}/commands"), body)
    }

    /// Waits until the assistant has learned everything that is in the log.
    pub(super) fn wait_learned(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let (status, answer) = self.get("/v1/learn")?;
            if status != 200 {
                bail!("GET /v1/learn answered {status}, expected 200: {answer}");
            }
            // Before it has read the log it answers nobody.
            let is_ready = answer.get("ready").and_then(Value::as_bool).unwrap_or(true);
            match answer.get("behind").and_then(Value::as_u64) {
                Some(0) if is_ready => return Ok(()),
                None => bail!("GET /v1/learn has no number `behind`: {answer}"),
                Some(behind) if Instant::now() >= deadline => {
                    bail!("the assistant is {behind} events behind")
                }
                Some(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn exchange(&mut self, path: &str) -> Result<(u16, Value)> {
        if self.used.elapsed() > REST {
            self.stream = connect(&self.address)?;
        }
        self.stream.write_all(&self.output).with_context(|| path.to_owned())?;
        self.output.clear();
        loop {
            if let Some(head) = Head::parse(&self.input)? {
                let end = head.head_bytes + head.body_bytes;
                if self.input.len() >= end {
                    let body = self.input.get(head.head_bytes..end).unwrap_or_default();
                    let value = serde_json::from_slice(body).unwrap_or(Value::Null);
                    self.input.drain(..end);
                    self.used = Instant::now();
                    return Ok((head.status, value));
                }
            }
            let mut part = [0; READ_BYTES];
            match self.stream.read(&mut part).with_context(|| path.to_owned())? {
                0 => bail!("{path}: the gateway has closed the connection"),
                // Bounded: `Head::parse` refuses what is over its limit.
                count => self.input.extend_from_slice(part.get(..count).unwrap_or_default()),
            }
        }
    }
}

fn connect(address: &Address) -> Result<Stream> {
    let stream =
        Stream::connect(address).with_context(|| format!("cannot connect to the gateway at {address}"))?;
    stream.block(PATIENCE)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_desk_that_has_rested_connects_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut desk = Desk::connect(&Target::from_url(&url, "t", None).unwrap(), 0).unwrap();
        let (first, _) = listener.accept().unwrap();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                // Each answers once.
                let (mut stream, _) = listener.accept().unwrap();
                assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            }
        });
        drop(first);
        for _ in 0..2 {
            desk.used = Instant::now().checked_sub(REST * 2).unwrap();
            assert_eq!(desk.get("/").unwrap(), (200, json!({})));
        }
        server.join().unwrap();
    }
}
