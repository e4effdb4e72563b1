//! Where files of tickets are kept.

use std::io;
use std::path::PathBuf;

use rusty_s3::Credentials;
use serde::{Deserialize, Serialize};
use waggle_core::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENT_STORE_BYTES_MAX};

use super::{ConfigError, range};
use crate::attachment::{S3Settings, SettingsError, Timeouts, check_bucket, check_endpoint, check_prefix};

/// See `Config::attachments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentsConfig {
    /// Of one file.
    pub bytes_max: u64,
    /// A store that they are kept in, in place of the data directory.
    pub s3: S3Config,
}

/// See [`AttachmentsConfig::s3`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// Its address; empty is none.
    pub endpoint: String,
    /// As signatures name it.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What objects' names begin with.
    pub prefix: String,
    /// A file with the access key.
    pub access_key_file: Option<PathBuf>,
    /// A file with the secret key.
    pub secret_key_file: Option<PathBuf>,
    /// Whether the bucket is in the path of addresses.
    pub path_style: bool,
    /// Certificate authorities besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for AttachmentsConfig {
    fn default() -> Self {
        Self { bytes_max: ATTACHMENT_BYTES_MAX, s3: S3Config::default() }
    }
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            bucket: String::new(),
            prefix: String::new(),
            access_key_file: None,
            secret_key_file: None,
            path_style: true,
            ca_file: None,
        }
    }
}

impl AttachmentsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        range("attachments.bytes_max", self.bytes_max, 1, 1 << 40)?;
        if self.s3.endpoint.is_empty() {
            return self.s3.check_unused();
        }
        range("attachments.bytes_max (with attachments.s3)", self.bytes_max, 1, ATTACHMENT_STORE_BYTES_MAX)?;
        self.s3.check()
    }
}

impl S3Config {
    fn check(&self) -> Result<(), ConfigError> {
        check_endpoint(&self.endpoint)?;
        check_bucket(&self.bucket)?;
        check_prefix(&self.prefix)?;
        if self.region.is_empty() || !self.region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            let wanted =
                "a region's name, such as eu-central-1; us-east-1 where the store has none".to_owned();
            let value = format!("{:?}", self.region);
            return Err(ConfigError::Range { key: "attachments.s3.region", value, wanted });
        }
        if self.access_key_file.is_some() != self.secret_key_file.is_some() {
            let key = "attachments.s3.access_key_file and secret_key_file";
            let (value, wanted) = ("one of two".to_owned(), "both of them, or none".to_owned());
            return Err(ConfigError::Range { key, value, wanted });
        }
        Ok(())
    }

    /// Whoever names a bucket means to use it.
    fn check_unused(&self) -> Result<(), ConfigError> {
        let names_something =
            !self.bucket.is_empty() || self.access_key_file.is_some() || self.secret_key_file.is_some();
        if names_something {
            check_endpoint(&self.endpoint)?;
        }
        Ok(())
    }

    /// The store, where there is one. Key and secret are read from their files, or else from the variables that other
    /// programs read them from, too.
    ///
    /// # Errors
    /// Where there are none.
    pub fn settings(&self) -> Result<Option<S3Settings>, SettingsError> {
        if self.endpoint.is_empty() {
            return Ok(None);
        }
        let credentials = match (&self.access_key_file, &self.secret_key_file) {
            (Some(access), Some(secret)) => Credentials::new(secret_of(access)?, secret_of(secret)?),
            _ => Credentials::from_env().ok_or_else(|| SettingsError::Wrong {
                key: "access_key_file",
                value: String::new(),
                wanted:
                    "it and secret_key_file, or the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                        .to_owned(),
            })?,
        };
        Ok(Some(S3Settings {
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            credentials,
            path_style: self.path_style,
            roots: self.ca_file.clone(),
            timeouts: Timeouts::default(),
        }))
    }
}

fn secret_of(path: &PathBuf) -> Result<String, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable { path: path.clone(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    match text.trim() {
        "" => Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is empty"))),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> S3Config {
        S3Config {
            endpoint: "https://s3.example".to_owned(),
            bucket: "files".to_owned(),
            ..S3Config::default()
        }
    }

    fn wrong_with(change: impl FnOnce(&mut AttachmentsConfig)) -> String {
        let mut config = AttachmentsConfig { s3: good(), ..AttachmentsConfig::default() };
        config.check().unwrap();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn a_store_is_checked_before_the_gateway_starts() {
        AttachmentsConfig::default().check().unwrap();
        for (error, key) in [
            (wrong_with(|config| config.s3.endpoint = "s3.example".to_owned()), "s3.endpoint"),
            (wrong_with(|config| config.s3.endpoint.clear()), "s3.endpoint"),
            (wrong_with(|config| config.s3.bucket.clear()), "s3.bucket"),
            (wrong_with(|config| config.s3.prefix = "../x".to_owned()), "s3.prefix"),
            (wrong_with(|config| config.s3.region = "eu west".to_owned()), "s3.region"),
            (wrong_with(|config| config.s3.access_key_file = Some("x".into())), "secret_key_file"),
            (wrong_with(|config| config.bytes_max = 1 << 33), "bytes_max"),
        ] {
            assert!(error.contains(key) && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn secrets_are_read_from_files_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let (access_key_file, secret_key_file) =
            (write("access", "ACCESS\n"), write("secret", "hush-hush\n"));
        let config = S3Config { access_key_file, secret_key_file, ..good() };
        let settings = config.settings().unwrap().unwrap();
        assert_eq!((settings.credentials.key(), settings.credentials.secret()), ("ACCESS", "hush-hush"));
        assert!(!format!("{settings:?}").contains("hush"));
        let empty = S3Config { secret_key_file: write("empty", " \n"), ..config.clone() };
        assert!(empty.settings().unwrap_err().to_string().contains("empty"));
        let gone = S3Config { secret_key_file: Some("/gone".into()), ..config };
        assert!(gone.settings().unwrap_err().to_string().contains("/gone"));
    }
}
