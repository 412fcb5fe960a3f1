//! Which bucket, where, and by whose leave.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Region};
use http::Uri;
use secrecy::{ExposeSecret, SecretString};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the storage may take to begin its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one try of a request may take, with a part of an upload in it: 140 KiB/s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Tries of a request, with the SDK's growing pauses between them: well under a second.
const ATTEMPTS: u32 = 3;

/// Where files are kept, as `s3://bucket/prefix` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with, without a slash at its end; may be empty.
    pub prefix: String,
}

impl S3Place {
    /// Reads `s3://bucket` or `s3://bucket/prefix`. The error is a sentence.
    pub fn parse(url: &str) -> Result<Self, String> {
        let place = url.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
            && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
            && bucket.ends_with(|c: char| c.is_ascii_alphanumeric());
        // No part of it can lead out of the bucket, or need escaping.
        let is_prefix = prefix.is_empty()
            || prefix.len() <= 256
                && prefix.split('/').all(|part| {
                    part.bytes().any(|b| b.is_ascii_alphanumeric())
                        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                });
        if is_bucket && is_prefix {
            Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        } else {
            Err("expected `s3://<bucket>` or `s3://<bucket>/<prefix>`, with a bucket of lower case \
                 letters, digits and `-`, and a prefix of letters, digits, `-`, `_`, `.` and `/`"
                .to_owned())
        }
    }

    /// The prefix with its slash, or nothing.
    pub(super) fn prefix_folder(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// A key to the storage.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: SecretString,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`, for a key that was lent.
    pub session_token: Option<SecretString>,
}

/// What the storage is asked to encrypt files with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// A key of the storage's own (`AES256`).
    Aes256,
    /// A key in the key service (`aws:kms`), by its id.
    Kms {
        /// The key's id or ARN.
        key_id: String,
    },
}

/// Everything that the caller decides.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// The bucket and the prefix in it.
    pub place: S3Place,
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ENDPOINT_URL_S3`, for a storage that is not Amazon's.
    pub endpoint: Option<String>,
    /// The key.
    pub credentials: Credentials,
    /// Asked of the storage with every upload. Without it, the bucket's own setting holds.
    pub encryption: Option<Encryption>,
    /// A folder for copies that a parser reads. Processes may share it.
    pub scratch: PathBuf,
}

impl S3Options {
    /// Checks an endpoint. The error is a sentence.
    pub fn check_endpoint(endpoint: &str) -> Result<(), String> {
        let uri: Option<Uri> = endpoint.parse().ok();
        let fine = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
        });
        if fine {
            Ok(())
        } else {
            Err("expected `http://<host>:<port>` or `https://<host>`, without a key in it"
                .to_owned())
        }
    }

    /// Where the storage is, for a sentence.
    pub(super) fn whereabouts(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("Amazon S3 in {}", self.region),
        }
    }

    /// How the SDK is to speak to it.
    pub(super) fn client_config(&self) -> Config {
        let credentials = aws_sdk_s3::config::Credentials::new(
            self.credentials.access_key_id.expose_secret(),
            self.credentials.secret_access_key.expose_secret(),
            self.credentials.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
            None,
            "quaestor",
        );
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(credentials)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            // A storage of one's own seldom has a host name for each bucket.
            .force_path_style(self.endpoint.is_some());
        match &self.endpoint {
            Some(endpoint) => config.endpoint_url(endpoint).build(),
            None => config.build(),
        }
    }
}
