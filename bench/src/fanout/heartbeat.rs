//! What a session answers while nothing happens, so that its server keeps it.

use anyhow::{Result, bail};
use memchr::memmem;
use waggle_core::push::ServerMessage;

use super::server::Peer;
use crate::wire::frame::{BINARY, CLOSE, Frame, PING, PONG, TEXT, push_masked};

/// Fixed: it only has to be there.
const MASK: u32 = 0x1234_5678;

/// Takes whole frames from `received`, and appends the answers to heartbeats to `out`.
pub(super) fn answer(peer: Peer, received: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
    let mut used = 0;
    while let Some(frame) = Frame::parse(received.get(used..).unwrap_or_default())? {
        used += frame.bytes;
        match (frame.opcode, peer) {
            (PING, _) => push_masked(out, PONG, MASK, frame.payload),
            (CLOSE, _) => bail!("closed"),
            (TEXT, Peer::Waggle) => {
                if let Ok(ServerMessage::Mark { offset, .. }) = ServerMessage::parse(frame.payload) {
                    let ack = format!(r#"{{"type":"ack","offset":{offset}}}"#);
                    push_masked(out, TEXT, MASK, ack.as_bytes());
                }
            }
            // Engine.IO's ping and pong.
            (TEXT, Peer::SocketIo) if frame.payload == b"2" => push_masked(out, TEXT, MASK, b"3"),
            (BINARY, Peer::Nats) if memmem::find(frame.payload, b"PING\r\n").is_some() => {
                push_masked(out, BINARY, MASK, b"PONG\r\n");
            }
            _ => {}
        }
    }
    received.drain(..used);
    // Thousands of sessions wait: what one frame needed is not kept.
    if received.is_empty() {
        *received = Vec::new();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waggle_core::push::{ping_frame, text_frame};

    fn answered(peer: Peer, frame: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (mut received, mut out) = (Vec::new(), Vec::new());
        for byte in frame {
            received.push(*byte);
            answer(peer, &mut received, &mut out).unwrap();
        }
        assert!(received.is_empty());
        let [first, _, a, b, c, d, payload @ ..] = out.as_slice() else { return None };
        let mask = [a, b, c, d].into_iter().cycle();
        Some((first & 0x0f, payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()))
    }

    #[test]
    fn each_servers_heartbeat_is_answered() {
        let mark = text_frame(br#"{"type":"mark","offset":7,"sent":0}"#);
        let ack = br#"{"type":"ack","offset":7}"#.to_vec();
        assert_eq!(answered(Peer::Waggle, &mark), Some((TEXT, ack)));
        assert_eq!(answered(Peer::Nchan, &ping_frame(b"")), Some((PONG, Vec::new())));
        assert_eq!(answered(Peer::SocketIo, &text_frame(b"2")), Some((TEXT, b"3".to_vec())));
        assert_eq!(answered(Peer::Nats, b"\x82\x06PING\r\n"), Some((BINARY, b"PONG\r\n".to_vec())));
        assert_eq!(answered(Peer::Naive, &text_frame(b"2")), None);
        assert!(answer(Peer::Naive, &mut vec![0x88, 0], &mut Vec::new()).is_err());
    }
}
