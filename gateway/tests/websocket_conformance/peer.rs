//! The client's end of a connection, frame by frame.

use std::io::{ErrorKind, Read, Write};

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

pub(crate) struct Peer<S> {
    stream: S,
}

impl<S: Read + Write> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Whether the server takes it still.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// An HTTP answer up to its body.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let [byte] = self.take().expect("an answer");
            head.push(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// First byte and payload of the next frame; `None` at the end of the stream.
    pub(crate) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first] = self.take()?;
        let [short] = self.take().expect("a length");
        assert_eq!(short & 0x80, 0, "a server does not mask (RFC 6455, 5.1)");
        let length = match short {
            126 => u64::from(u16::from_be_bytes(self.take().expect("a length"))),
            127 => u64::from_be_bytes(self.take().expect("a length")),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        Some((first, payload))
    }

    /// The next frame, which must be a whole text.
    pub(crate) fn text(&mut self) -> String {
        let (first, payload) = self.frame().expect("a text");
        assert_eq!(first, 0x80 | TEXT, "{}", String::from_utf8_lossy(&payload));
        String::from_utf8(payload).expect("UTF-8")
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A masked frame that begins with `first`.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        bytes @ 0..=125 => frame.push(0x80 | bytes as u8),
        bytes @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((bytes as u16).to_be_bytes());
        }
        bytes => {
            frame.push(0x80 | 127);
            frame.extend((bytes as u64).to_be_bytes());
        }
    }
    push_masked(&mut frame, payload);
    frame
}

/// Appends mask and payload.
pub(crate) fn push_masked(frame: &mut Vec<u8>, payload: &[u8]) {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}
