//! WebSocket frames (RFC 6455 section 5.2) as a client reads and writes them.

/// The longest frame that is taken, in bytes of payload.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// A message of text.
pub const TEXT: u8 = 0x1;
/// A message of bytes.
pub const BINARY: u8 = 0x2;
/// The end of the connection.
pub const CLOSE: u8 = 0x8;
/// To be answered with a pong.
pub const PING: u8 = 0x9;
/// An answer to a ping.
pub const PONG: u8 = 0xA;

/// Why bytes are no frame that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A part of a message.
    #[error("frame byte {0:#04x}: expected a final frame without extensions")]
    Fragment(u8),
    /// Masked by the server.
    #[error("the server masked a frame")]
    Masked,
    /// Over the limit.
    #[error("a frame of {0} bytes, expected at most {PAYLOAD_BYTES_MAX}")]
    TooLong(u64),
}

/// A frame from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub opcode: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub bytes: usize,
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`; `None` when it is not all there yet.
    ///
    /// # Errors
    /// Where it is not of the form that is understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0xf0 != 0x80 {
            return Err(FrameError::Fragment(first));
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let (header_bytes, length) = match (second, rest) {
            (126, &[a, b, ..]) => (4, u64::from(u16::from_be_bytes([a, b]))),
            (127, &[a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, u64::from(short)),
        };
        let length = match usize::try_from(length) {
            Ok(length) if length <= PAYLOAD_BYTES_MAX => length,
            _ => return Err(FrameError::TooLong(length)),
        };
        let payload = bytes.get(header_bytes..header_bytes + length);
        Ok(payload.map(|payload| Self { opcode: first & 0x0f, payload, bytes: header_bytes + length }))
    }
}

/// Appends a whole masked frame.
pub fn push_masked(out: &mut Vec<u8>, opcode: u8, mask: u32, payload: &[u8]) {
    let mask = mask.to_be_bytes();
    out.push(0x80 | opcode);
    match payload.len() {
        // Each arm's pattern says that the length fits.
        short @ 0..=125 => out.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_frames_of_all_lengths_are_read() {
        for length in [0_usize, 5, 125, 126, 65_535, 65_536] {
            let frame = waggle_core::push::text_frame(&vec![b'x'; length]);
            let parsed = Frame::parse(&frame).unwrap().unwrap();
            assert_eq!((parsed.opcode, parsed.payload.len(), parsed.bytes), (TEXT, length, frame.len()));
            for cut in [0, 1, 2, 3, 9, frame.len() - 1] {
                assert_eq!(Frame::parse(&frame[..cut.min(frame.len() - 1)]), Ok(None), "{length} {cut}");
            }
        }
        assert_eq!(Frame::parse(b"\x01\x00"), Err(FrameError::Fragment(1)));
        assert_eq!(Frame::parse(b"\x81\x80"), Err(FrameError::Masked));
        let long = [0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0];
        assert!(matches!(Frame::parse(&long), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn masks_undo_themselves() {
        let mut out = Vec::new();
        push_masked(&mut out, TEXT, 0x0102_0304, b"hello");
        assert_eq!(&out[..6], [0x81, 0x85, 1, 2, 3, 4]);
        let plain: Vec<u8> =
            out[6..].iter().zip([1_u8, 2, 3, 4, 1]).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(plain, b"hello");
    }
}
