//! What a file is, by its first bytes and not by what somebody says.

/// How a file is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(&'static str);

/// Shown by their names where they are refused: programs of the systems that people use, and what those run
/// when it is opened.
pub const NOT_TAKEN: [(&str, &str); 8] = [
    ("application/vnd.microsoft.portable-executable", "a Windows program"),
    ("application/x-executable", "a Linux program"),
    ("application/x-mach-binary", "a macOS program"),
    ("application/java", "a Java program"),
    ("application/vnd.android.dex", "an Android program"),
    ("application/vnd.android.dey", "an Android program"),
    ("application/wasm", "a WebAssembly program"),
    ("application/x-msi", "a Windows installer"),
];

/// Types that nothing active can be in; a browser may know them by their names. All else is bytes.
const PASSIVE: [&str; 12] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/heif",
    "application/pdf",
    "application/zip",
    "application/gzip",
    "audio/mpeg",
    "video/mp4",
    "text/plain",
];

/// Bytes at a file's beginning that are looked at.
pub(super) const LOOK_BYTES: usize = 4096;

impl Kind {
    /// By a file's first bytes.
    ///
    /// # Errors
    /// What it is, where that is not taken.
    pub fn of(first: &[u8]) -> Result<Self, &'static str> {
        let found = infer::get(first).map(|found| found.mime_type());
        if let Some((_, name)) = NOT_TAKEN.iter().find(|(not_taken, _)| found == Some(not_taken)) {
            return Err(name);
        }
        if first.starts_with(b"#!") {
            return Err("a script");
        }
        let known = found.and_then(|found| PASSIVE.iter().find(|passive| **passive == found));
        let is_text = found.is_none() && is_text(first);
        let plain = is_text.then_some(&"text/plain");
        Ok(Self(known.or(plain).copied().unwrap_or("application/octet-stream")))
    }

    /// As a `Content-Type` has it.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        self.0
    }
}

/// UTF-8 without control characters; a letter may be cut in two at the end of what is looked at.
fn is_text(first: &[u8]) -> bool {
    let text = match std::str::from_utf8(first) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => first
            .get(..error.valid_up_to())
            .map_or("", |valid| std::str::from_utf8(valid).unwrap_or_default()),
        Err(_) => return false,
    };
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_what_a_file_is() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        for (first, wanted) in [
            (&png[..], Ok("image/png")),
            (b"%PDF-1.7", Ok("application/pdf")),
            (b"hello, \xe4\xbd\xa0", Ok("text/plain")),
            (b"hello, \xe4\xbd", Ok("text/plain")),
            (b"\0\x01\x02", Ok("application/octet-stream")),
            // Pages and drawings can run things: nobody is told that they are such.
            (b"<!DOCTYPE html><script>alert(1)</script>", Ok("application/octet-stream")),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>", Ok("text/plain")),
            (b"MZ\x90\0\x03\0\0\0", Err("a Windows program")),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Err("a Linux program")),
            (b"#!/bin/sh\nrm -rf /\n", Err("a script")),
        ] {
            assert_eq!(Kind::of(first).map(Kind::media_type), wanted, "{first:?}");
        }
    }
}
