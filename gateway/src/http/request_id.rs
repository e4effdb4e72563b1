//! Request ids: a random start per process, then a counter. Cheap, unique, and easy to find in a log.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// `xxxxxxxx-n`: eight hexadecimal digits of this process, and the request's number in hexadecimal.
pub(super) struct RequestId {
    text: [u8; ID_BYTES_MAX],
    start: usize,
}

const PROCESS_DIGITS: usize = 8;
const ID_BYTES_MAX: usize = PROCESS_DIGITS + 1 + 16;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Gives ids out.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut process = [0; 4];
        getrandom::fill(&mut process)?;
        Ok(Self { process: u32::from_le_bytes(process), next: AtomicU64::new(1) })
    }

    pub(super) fn next(&self) -> RequestId {
        RequestId::new(self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl RequestId {
    /// Written from the end, so that the number has no leading zeros.
    fn new(process: u32, number: u64) -> Self {
        let mut text = [b'0'; ID_BYTES_MAX];
        let mut start = ID_BYTES_MAX;
        let mut rest = number;
        // At most 16 digits of number, one dash and eight digits of process: the array holds them all,
        // and four bits index sixteen digits.
        loop {
            start -= 1;
            text[start] = HEX[(rest & 15) as usize];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        start -= 1;
        text[start] = b'-';
        for digit in 0..PROCESS_DIGITS {
            start -= 1;
            text[start] = HEX[(process >> (4 * digit) & 15) as usize];
        }
        Self { text, start }
    }

    pub(super) fn as_str(&self) -> &str {
        let text = self.text.get(self.start..).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    pub(super) fn header(&self) -> HeaderValue {
        // Hexadecimal digits and a dash are always a header's value.
        HeaderValue::from_str(self.as_str()).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_process_and_number() {
        assert_eq!(RequestId::new(0xc0ffee, 1).as_str(), "00c0ffee-1");
        assert_eq!(RequestId::new(u32::MAX, u64::MAX).as_str(), "ffffffff-ffffffffffffffff");
        let ids = RequestIds::new().unwrap();
        assert_ne!(ids.next().as_str(), ids.next().as_str());
    }
}
