//! Server frames (RFC 6455 section 5.2): unmasked, so the same bytes serve every recipient.

use bytes::{BufMut, Bytes, BytesMut};

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FINAL: u8 = 0x80;
/// The longest payload of a control frame.
const CONTROL_PAYLOAD_MAX: usize = 125;

/// Header of a final text frame with a payload of `payload_bytes`, and its length: 2, 4 or 10.
#[must_use]
pub fn text_frame_header(payload_bytes: usize) -> ([u8; 10], u8) {
    let mut header = [0; 10];
    header[0] = FINAL | TEXT;
    match payload_bytes {
        0..=125 => {
            header[1] = payload_bytes as u8;
            (header, 2)
        }
        126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            (header, 10)
        }
    }
}

/// A whole text frame.
#[must_use]
pub fn text_frame(payload: &[u8]) -> Bytes {
    let (header, header_bytes) = text_frame_header(payload.len());
    let mut out = BytesMut::with_capacity(10 + payload.len());
    out.put_slice(&header[..usize::from(header_bytes)]);
    out.put_slice(payload);
    out.freeze()
}

/// A whole close frame; a reason that does not fit is cut at a character.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(CONTROL_PAYLOAD_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = Vec::with_capacity(2 + end);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    control_frame(CLOSE, &payload)
}

/// A whole ping frame; its payload has at most 125 bytes.
#[must_use]
pub fn ping_frame(payload: &[u8]) -> Bytes {
    control_frame(PING, &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)])
}

/// A whole pong frame; `payload` is a ping's, at most 125 bytes.
#[must_use]
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(PONG, &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)])
}

fn control_frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + payload.len());
    out.put_u8(FINAL | opcode);
    // At most 125.
    out.put_u8(payload.len() as u8);
    out.put_slice(payload);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_change_form_at_126_and_65536() {
        let lengths = [0, 125, 126, 65_535, 65_536].map(|payload| text_frame_header(payload).1);
        assert_eq!(lengths, [2, 2, 4, 4, 10]);
        assert_eq!(text_frame(b"hi").as_ref(), b"\x81\x02hi");
        assert_eq!(&text_frame_header(300).0[..4], [0x81, 126, 1, 44]);
    }

    #[test]
    fn a_close_reason_is_cut_at_a_character() {
        let frame = close_frame(4000, &"\u{e9}".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
