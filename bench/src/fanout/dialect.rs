//! What each server's clients say.

use waggle_core::push::{PATH, SUBPROTOCOL};

use super::server::Peer;
use crate::wire::frame::{BINARY, Frame, TEXT, push_masked};

/// Something to send, and what the answer has in it once it is complete.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) say: Vec<u8>,
    pub(super) until: &'static [u8],
}

/// How to become a subscriber of a topic, or a publisher.
#[derive(Debug, Clone)]
pub(super) struct Dialect {
    pub(super) peer: Peer,
    pub(super) host: String,
    /// For Waggle.
    pub(super) token: String,
    /// For Waggle: the ticket that stands for the first topic.
    pub(super) first_ticket: usize,
}

impl Dialect {
    /// `cursor`, where there is one, says where to go on: of those compared only Waggle keeps a place.
    pub(super) fn subscribe(&self, topic: usize, cursor: Option<&str>) -> Vec<Step> {
        match self.peer {
            Peer::Waggle => self.waggle(&format!("\"ticket:{}\"", topic + self.first_ticket), cursor),
            Peer::Nchan => vec![self.upgrade(&format!("/sub/t{topic}"), "")],
            Peer::Naive => vec![self.upgrade(&format!("/sub/t{topic}"), "")],
            Peer::Nats => {
                let say = format!("CONNECT {{\"verbose\":false}}\r\nSUB t{topic} 1\r\nPING\r\n");
                vec![self.upgrade("/", ""), framed(BINARY, say.as_bytes(), b"PONG")]
            }
            Peer::SocketIo => {
                let mut steps = self.socket_io();
                let say = format!("420[\"sub\",\"t{topic}\"]");
                steps.push(framed(TEXT, say.as_bytes(), b"430["));
                steps
            }
            Peer::Floor => vec![Step { say: format!("s{topic:08}\n").into_bytes(), until: b"ok\n" }],
        }
    }

    pub(super) fn become_publisher(&self) -> Vec<Step> {
        match self.peer {
            Peer::Waggle => self.waggle("", None),
            Peer::Nchan => Vec::new(),
            Peer::Naive => vec![self.upgrade("/pub", "")],
            Peer::Nats => {
                vec![Step { say: b"CONNECT {\"verbose\":false}\r\nPING\r\n".to_vec(), until: b"PONG" }]
            }
            Peer::SocketIo => self.socket_io(),
            Peer::Floor => vec![Step { say: b"p00000000\n".to_vec(), until: b"ok\n" }],
        }
    }

    /// Appends what publishes a text to a topic.
    pub(super) fn publish(&self, topic: usize, text: &str, out: &mut Vec<u8>) {
        match self.peer {
            Peer::Waggle => {
                let say = format!(
                    r#"{{"type":"signal","kind":"viewing","ticket":{},"on":true,"data":{{"m":"{text}"}}}}"#,
                    topic + self.first_ticket
                );
                push_masked(out, TEXT, 0x1234_5678, say.as_bytes());
            }
            Peer::Nchan => {
                let head = format!(
                    "POST /pub/t{topic} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
                    self.host,
                    text.len()
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Peer::Nats => {
                let head = format!("PUB t{topic} {}\r\n", text.len());
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Peer::SocketIo => {
                let say = format!("42[\"pub\",\"t{topic}\",\"{text}\"]");
                push_masked(out, TEXT, 0x1234_5678, say.as_bytes());
            }
            Peer::Naive => push_masked(out, TEXT, 0x1234_5678, format!("t{topic} {text}").as_bytes()),
            Peer::Floor => {
                // The very frame that Waggle's sessions get.
                let json = format!(
                    r#"{{"type":"signal","kind":"viewing","ticket":{},"agent":1,"on":true,"data":{{"m":"{text}"}}}}"#,
                    topic + self.first_ticket
                );
                let frame = waggle_core::push::text_frame(json.as_bytes());
                out.extend_from_slice(format!("{topic:08}{:08}", frame.len()).as_bytes());
                out.extend_from_slice(&frame);
            }
        }
    }

    fn waggle(&self, views: &str, cursor: Option<&str>) -> Vec<Step> {
        let protocol = format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n");
        let resume = cursor.map_or_else(String::new, |cursor| format!(r#","resume":{cursor}"#));
        let hello = format!(r#"{{"type":"hello","token":"{}","views":[{views}]{resume}}}"#, self.token);
        vec![self.upgrade(PATH, &protocol), framed(TEXT, hello.as_bytes(), b"\"welcome\"")]
    }

    fn socket_io(&self) -> Vec<Step> {
        let mut upgrade = self.upgrade("/socket.io/?EIO=4&transport=websocket", "");
        upgrade.until = b"pingTimeout";
        vec![upgrade, framed(TEXT, b"40", b"40{")]
    }

    fn upgrade(&self, path: &str, more: &str) -> Step {
        let say = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            self.host
        );
        Step { say: say.into_bytes(), until: b"\r\n\r\n" }
    }
}

/// Where the HTTP head or frame ends that holds the byte at `place`; `None` while it is not all there. What
/// is neither is a line protocol, taken as a whole.
pub(super) fn unit_end(bytes: &[u8], place: usize) -> Option<usize> {
    let mut end = 0;
    while end <= place {
        let rest = bytes.get(end..)?;
        end += match rest.first()? {
            b'H' if rest.starts_with(b"HTTP/") => memchr::memmem::find(rest, b"\r\n\r\n")? + 4,
            first if first & 0x80 != 0 => Frame::parse(rest).ok()??.bytes,
            _ => rest.len(),
        };
    }
    Some(end)
}

/// The cursor that a welcome of Waggle gives, as JSON.
pub(super) fn cursor(frame: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(Frame::parse(frame).ok()??.payload).ok()?;
    let waggle_core::push::ServerMessage::Welcome(welcome) =
        waggle_core::push::ServerMessage::parse(text.as_bytes()).ok()?
    else {
        return None;
    };
    let cursor = waggle_core::id::Cursor { epoch: welcome.epoch, offset: welcome.offset };
    serde_json::to_string(&cursor).ok()
}

fn framed(opcode: u8, payload: &[u8], until: &'static [u8]) -> Step {
    let mut say = Vec::new();
    push_masked(&mut say, opcode, 0x1234_5678, payload);
    Step { say, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_ends_with_the_frame_that_holds_the_place() {
        let frame = waggle_core::push::text_frame(b"abc");
        let bytes = [b"HTTP/1.1 101 x\r\n\r\n".as_slice(), &frame, &frame[..2]].concat();
        let head = bytes.len() - frame.len() - 2;
        assert_eq!(unit_end(&bytes, 3), Some(head));
        assert_eq!(unit_end(&bytes, head), Some(head + frame.len()));
        assert_eq!(unit_end(&bytes, head + frame.len()), None, "it is not all there");
        assert_eq!(unit_end(b"INFO {}\r\nPONG\r\n", 9), Some(15));
    }
}
