//! A client that sees every byte, and reads only when it is told to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::gateway::{Gateway, PATIENCE};

pub(crate) struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Frame {
    Text(Value),
    Ping(Vec<u8>),
    Close,
    End,
}

impl Raw {
    /// A session that has been welcomed, with the largest window.
    pub(crate) fn connect(gateway: &Gateway) -> Self {
        Self::connect_to(gateway.push, &gateway.token)
    }

    pub(crate) fn connect_to(push: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(push).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self { stream, received: Vec::new() };
        let upgrade = "GET /v1/push HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
            Sec-WebSocket-Protocol: waggle.v1.json\r\n\r\n";
        raw.stream.write_all(upgrade.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(raw.take(1));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        raw.say(&format!(r#"{{"type":"hello","token":"{token}","views":["tenant"],"window":4194304}}"#));
        assert!(matches!(raw.next(), Frame::Text(text) if text["type"] == "welcome"));
        raw
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(0x81, text.as_bytes());
    }

    pub(crate) fn ack(&mut self, offset: u64) {
        self.say(&format!(r#"{{"type":"ack","offset":{offset}}}"#));
    }

    /// One frame with a mask of zeros; a connection that is gone takes nothing.
    pub(crate) fn send(&mut self, first_byte: u8, payload: &[u8]) -> bool {
        let mut frame = vec![first_byte];
        match u8::try_from(payload.len()) {
            Ok(bytes @ 0..=125) => frame.push(0x80 | bytes),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).is_ok()
    }

    pub(crate) fn next(&mut self) -> Frame {
        let head = self.take(2);
        let [first, second] = head.as_slice() else { return Frame::End };
        let (first, second) = (*first, *second);
        let length = match second {
            126 => self.take(2),
            127 => self.take(8),
            short => vec![short],
        };
        let length = length.iter().fold(0, |length, byte| length * 256 + usize::from(*byte));
        let payload = self.take(length);
        match first {
            0x81 => Frame::Text(serde_json::from_slice(&payload).unwrap()),
            0x89 => Frame::Ping(payload),
            0x88 => Frame::Close,
            other => panic!("a frame that starts with {other:#x}"),
        }
    }

    /// All that has been sent to it and not read, until nothing more comes at once.
    pub(crate) fn drain(&mut self) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = self.received.len();
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            bytes += count;
        }
        bytes
    }

    /// So many bytes; none at the end.
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        while self.received.len() < bytes {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Vec::new(),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) => panic!("nothing came: {error}"),
            }
        }
        self.received.drain(..bytes).collect()
    }
}
