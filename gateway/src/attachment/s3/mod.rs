//! Files in a bucket of a store that speaks S3: each an object, named by its hash.
//!
//! A file is sent as one object when its hash is known, so nothing half-sent is ever there to be cleaned up, and a
//! file that is there already is not sent at all.

mod client;
mod settings;

use std::path::Path;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp as Moment;
use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use waggle_core::limits::{ATTACHMENT_PAGE_MAX, ATTACHMENT_STORE_SIGNATURE_MS};
use waggle_core::time::Timestamp;

use super::spool::Whole;
use super::{AttachmentError, Hash, Kept, Reading};
use crate::directory::base64;
use client::{Client, StoreRequest};
pub use client::{S3Error, Timeouts};
pub use settings::{S3Settings, SettingsError, check_bucket, check_endpoint, check_prefix};

/// By which a store makes sure that it has got what was sent.
const CHECKSUM: &str = "x-amz-checksum-sha256";
/// How long a request that was signed may be on its way.
const SIGNED_FOR: Duration = Duration::from_millis(ATTACHMENT_STORE_SIGNATURE_MS);

/// A bucket of files.
#[derive(Debug)]
pub(super) struct S3 {
    bucket: Bucket,
    credentials: Credentials,
    /// Empty, or with a slash at its end.
    prefix: String,
    client: Client,
}

impl S3 {
    pub(super) fn new(settings: S3Settings) -> Result<Self, SettingsError> {
        let endpoint = check_endpoint(&settings.endpoint)?;
        let style = if settings.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let region = settings.region.clone();
        let bucket = Bucket::new(endpoint, style, settings.bucket.clone(), region).map_err(|error| {
            SettingsError::wrong(
                "endpoint",
                &settings.endpoint,
                &format!("an address for the bucket: {error}"),
            )
        })?;
        let host = bucket.base_url().host_str().unwrap_or_default().to_owned();
        let client = Client::new(host, settings.roots.as_deref(), settings.timeouts)?;
        let mut prefix = settings.prefix;
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        Ok(Self { bucket, credentials: settings.credentials, prefix, client })
    }

    /// Requests that were sent once more.
    pub(super) fn repeated(&self) -> u64 {
        self.client.repeated()
    }

    /// Sends a file, unless it is there already, of the same length.
    pub(super) async fn keep(&self, path: &Path, whole: &Whole) -> Result<(), AttachmentError> {
        if self.length(whole.hash).await? == Some(whole.bytes) {
            return Ok(());
        }
        let mut answer = self.put(path, whole, Some(&base64(&whole.hash.0))).await?;
        // Some stores do not know the header.
        if answer.status() == StatusCode::NOT_IMPLEMENTED {
            answer = self.put(path, whole, None).await?;
        }
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.client.refused(answer).await.into()),
        }
    }

    async fn put(
        &self,
        path: &Path,
        whole: &Whole,
        checksum: Option<&str>,
    ) -> Result<http::Response<Incoming>, AttachmentError> {
        let key = self.key(whole.hash);
        let mut action = self.bucket.put_object(Some(&self.credentials), &key);
        let header = checksum.map(|checksum| (CHECKSUM, checksum));
        if let Some((name, value)) = header {
            action.headers_mut().insert(name, value);
        }
        let sign = || action.sign(SIGNED_FOR);
        let file = Some((path, whole));
        self.client.send(StoreRequest { header, file, ..StoreRequest::new(&Method::PUT, &sign) }).await
    }

    pub(super) async fn read(&self, hash: Hash, bytes: u64) -> Result<Reading, AttachmentError> {
        let key = self.key(hash);
        let action = self.bucket.get_object(Some(&self.credentials), &key);
        let answer = self.client.send(StoreRequest::new(&Method::GET, &|| action.sign(SIGNED_FOR))).await?;
        match answer.status() {
            StatusCode::OK if length_of(&answer).is_some_and(|there| there != bytes) => {
                Err(AttachmentError::Damaged(hash))
            }
            StatusCode::OK => {
                Ok(Reading::of_store(answer.into_body(), hash, bytes, self.client.timeouts().answer))
            }
            StatusCode::NOT_FOUND => Err(self.missing(hash, answer).await),
            _ => Err(self.client.refused(answer).await.into()),
        }
    }

    pub(super) async fn remove(&self, hash: Hash) -> Result<(), AttachmentError> {
        let key = self.key(hash);
        let action = self.bucket.delete_object(Some(&self.credentials), &key);
        let answer =
            self.client.send(StoreRequest::new(&Method::DELETE, &|| action.sign(SIGNED_FOR))).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::NOT_FOUND => match self.missing(hash, answer).await {
                AttachmentError::Missing(_) => Ok(()),
                error => Err(error),
            },
            _ => Err(self.client.refused(answer).await.into()),
        }
    }

    /// Files with hashes above `after`, in order, as many as a page has; none at the end.
    pub(super) async fn page(&self, after: Option<Hash>) -> Result<Vec<Kept>, AttachmentError> {
        let start = after.map(|after| self.key(after));
        let mut next: Option<String> = None;
        loop {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_max_keys(ATTACHMENT_PAGE_MAX);
            if !self.prefix.is_empty() {
                action.with_prefix(self.prefix.as_str());
            }
            match (&next, &start) {
                (Some(token), _) => action.with_continuation_token(token.as_str()),
                (None, Some(start)) => action.with_start_after(start.as_str()),
                (None, None) => {}
            }
            let answer =
                self.client.send(StoreRequest::new(&Method::GET, &|| action.sign(SIGNED_FOR))).await?;
            if answer.status() != StatusCode::OK {
                return Err(self.client.refused(answer).await.into());
            }
            let text = self.client.text(answer).await?;
            let listed = ListObjectsV2::parse_response(&text)
                .map_err(|error| self.client.shape("a list of objects", &error.to_string()))?;
            // Objects of other names are not Waggle's.
            let kept = listed.contents.iter().filter_map(|object| {
                let hash = object.key.strip_prefix(&self.prefix)?.parse().ok()?;
                let changed = object.last_modified.as_deref()?.parse::<Moment>().ok()?;
                let changed_at = Timestamp(u64::try_from(changed.as_millisecond()).unwrap_or_default());
                Some(Kept { hash, bytes: object.size.unwrap_or_default(), changed_at })
            });
            let kept: Vec<Kept> = kept.filter(|kept| Some(kept.hash) > after).collect();
            next = listed.next_continuation_token;
            if !kept.is_empty() || next.is_none() {
                return Ok(kept);
            }
        }
    }

    /// The length of a file that is there. Who may not list a bucket is not told that one is missing (403): it is sent
    /// then, which does no harm to one that is there.
    async fn length(&self, hash: Hash) -> Result<Option<u64>, AttachmentError> {
        let key = self.key(hash);
        let action = self.bucket.head_object(Some(&self.credentials), &key);
        let answer = self.client.send(StoreRequest::new(&Method::HEAD, &|| action.sign(SIGNED_FOR))).await?;
        match answer.status() {
            StatusCode::OK => Ok(length_of(&answer)),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            _ => Err(self.client.refused(answer).await.into()),
        }
    }

    /// Why there is nothing: a bucket that is not there has lost no file.
    async fn missing(&self, hash: Hash, answer: http::Response<Incoming>) -> AttachmentError {
        match self.client.refused(answer).await {
            S3Error::Refused { code, .. } if code.is_empty() || code == "NoSuchKey" => {
                AttachmentError::Missing(hash)
            }
            error => error.into(),
        }
    }

    fn key(&self, hash: Hash) -> String {
        format!("{}{hash}", self.prefix)
    }
}

fn length_of(answer: &http::Response<Incoming>) -> Option<u64> {
    answer.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
