//! Where a store is, and as whom it is asked.

use std::io;
use std::path::PathBuf;

use rusty_s3::Credentials;
use url::Url;
use waggle_core::limits::ATTACHMENT_PREFIX_BYTES_MAX;

use super::Timeouts;
use crate::trust::RootsError;

/// A bucket, and as whom it is used.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The store's address, without the bucket.
    pub endpoint: String,
    /// As signatures name it.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What objects' names begin with; a slash follows.
    pub prefix: String,
    /// Key and secret; the latter is never shown.
    pub credentials: Credentials,
    /// Whether the bucket is in the path of addresses, or else in the host's name.
    pub path_style: bool,
    /// Certificate authorities besides the system's.
    pub roots: Option<PathBuf>,
    /// How long a store may take.
    pub timeouts: Timeouts,
}

/// Why files cannot be kept where they should be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value that is not taken.
    #[error("attachments.s3.{key} is {value:?}; expected {wanted}")]
    Wrong {
        /// Of which key.
        key: &'static str,
        /// As given.
        value: String,
        /// What is taken.
        wanted: String,
    },
    /// A file or folder that cannot be used.
    #[error("{} cannot be used", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Certificate authorities.
    #[error("attachments.s3.ca_file cannot be used")]
    Roots(#[from] RootsError),
}

impl SettingsError {
    pub(super) fn wrong(key: &'static str, value: &str, wanted: &str) -> Self {
        let value = value.chars().take(200).collect();
        Self::Wrong { key, value, wanted: wanted.to_owned() }
    }
}

/// A store's address.
///
/// # Errors
/// Says what would be right.
pub fn check_endpoint(endpoint: &str) -> Result<Url, SettingsError> {
    let wanted = "http:// or https:// with a host, and no name, password or query";
    let url = Url::parse(endpoint).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    // What is not shown may be a password.
    url.ok_or_else(|| SettingsError::wrong("endpoint", endpoint.split('@').next_back().unwrap_or(""), wanted))
}

/// A bucket's name, as S3 has them.
///
/// # Errors
/// Says what would be right.
pub fn check_bucket(bucket: &str) -> Result<(), SettingsError> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| letter(c) || matches!(c, '-' | '.'))
        && bucket.starts_with(letter)
        && bucket.ends_with(letter)
        && !bucket.contains("..");
    let wanted = "a bucket's name: 3 to 63 of a to z, digits, - and .";
    if is_name { Ok(()) } else { Err(SettingsError::wrong("bucket", bucket, wanted)) }
}

/// What objects' names begin with: addresses would not mean the same object with other characters in them.
///
/// # Errors
/// Says what would be right.
pub fn check_prefix(prefix: &str) -> Result<(), SettingsError> {
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let text = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_prefix =
        prefix.is_empty() || prefix.len() <= ATTACHMENT_PREFIX_BYTES_MAX && text.split('/').all(segment);
    let wanted = "names of letters, digits, - _ and ., with slashes between them, such as waggle/files";
    if is_prefix { Ok(()) } else { Err(SettingsError::wrong("prefix", prefix, wanted)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_object_is_not_taken() {
        for good in ["http://minio:9000", "https://s3.eu-west-1.amazonaws.com", "https://example.com/s3/"] {
            assert!(check_endpoint(good).is_ok(), "{good}");
        }
        for wrong in ["", "minio:9000", "ftp://a", "https://", "https://a?b", "https://user:secret@a"] {
            let error = check_endpoint(wrong).unwrap_err().to_string();
            assert!(error.contains("attachments.s3.endpoint") && !error.contains("secret"), "{error}");
        }
        assert!(check_bucket("waggle-files.2").is_ok());
        for wrong in ["", "ab", "Files", "a/b", "-ab", "a..b", "ab_c", &"a".repeat(64)] {
            assert!(check_bucket(wrong).is_err(), "{wrong}");
        }
        for good in ["", "files", "files/", "a/b.c/d_e-f"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for wrong in ["/", "/a", "a//b", "a/../b", ".", "a b", "é", "a?b"] {
            assert!(check_prefix(wrong).is_err(), "{wrong}");
        }
    }
}
