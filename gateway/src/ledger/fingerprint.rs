//! What an idempotency key stands for.

use sha2::{Digest, Sha256};

/// The first eight bytes of SHA-256 over method, path and body, as the command has them over HTTP; a
/// command that comes another way has the same, so that its author may ask again either way. It is stored,
/// so it must never come out differently in another version.
#[must_use]
pub fn fingerprint(method: &str, path: &str, body: &[u8]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(method.as_bytes());
    hasher.update(b"\n");
    hasher.update(path.as_bytes());
    hasher.update(b"\n");
    hasher.update(body);
    let digest: [u8; 32] = hasher.finalize().into();
    digest.first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_never_change() {
        assert_eq!(fingerprint("POST", "/v1/tickets", b"{}"), 16_147_922_258_607_541_852);
        assert_ne!(fingerprint("POST", "/v1/tickets", b"{}"), fingerprint("POST", "/v1/tickets", b"{ }"));
    }
}
