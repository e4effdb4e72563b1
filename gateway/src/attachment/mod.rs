//! Files of tickets: named by what they contain, so that the same file twice is stored once, and no name that
//! somebody gives ever becomes a path.

mod directory;
mod kind;

use std::fmt;
use std::str::FromStr;

pub use directory::{Directory, Upload};

use crate::store::Hex;
pub use kind::{Kind, NOT_TAKEN};

/// SHA-256 of a file's bytes; as text, 64 hexadecimal digits in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

/// Text that is no [`struct@Hash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an attachment is named by the SHA-256 of its bytes: 64 hexadecimal digits in lower case")]
pub struct NoHash;

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl FromStr for Hash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(NoHash),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(NoHash);
        }
        let mut hash = [0; 32];
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(hash))
    }
}

/// Why a file is not stored.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// Longer than is taken.
    #[error("the file is longer than {max} bytes")]
    TooLong {
        /// The most.
        max: u64,
    },
    /// Of no byte.
    #[error("the file is empty")]
    Empty,
    /// Of a kind that is not taken.
    #[error("the file is {0}, which is not taken; put it into an archive if it must be sent")]
    NotTaken(&'static str),
    /// The disk has not enough room left.
    #[error("the disk has no room left for files")]
    NoRoom,
    /// The disk does not do it.
    #[error("the file could not be stored")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_name() {
        let text = "00ff".repeat(16);
        let hash: Hash = text.parse().unwrap();
        assert_eq!((hash.0[1], hash.to_string()), (255, text.clone()));
        for wrong in
            ["", "..", "../../etc/passwd", &text[1..], &text.to_uppercase(), &format!("{text}0"), "é"]
        {
            assert_eq!(wrong.parse::<Hash>(), Err(NoHash), "{wrong}");
        }
    }
}
