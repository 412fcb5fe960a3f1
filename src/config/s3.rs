//! How is the object store reached, where it is S3?

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The `[s3]` section. Its short names in the environment are those of AWS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// Where it is (`AWS_ENDPOINT_URL_S3`); AWS itself where none is named.
    pub endpoint_url: Option<String>,
    /// The region (`AWS_REGION`).
    pub region: String,
    /// The access key's id (`AWS_ACCESS_KEY_ID`).
    pub access_key_id: Option<String>,
    /// The access key's secret (`AWS_SECRET_ACCESS_KEY`).
    #[serde(serialize_with = "super::secret::hidden")]
    pub secret_access_key: Option<SecretString>,
    /// The token of a temporary key (`AWS_SESSION_TOKEN`).
    #[serde(serialize_with = "super::secret::hidden")]
    pub session_token: Option<SecretString>,
    /// How the server is told to encrypt what it stores.
    pub encryption: Encryption,
    /// The key for `aws:kms`.
    pub kms_key_id: Option<String>,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: "us-east-1".to_owned(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            encryption: Encryption::Bucket,
            kms_key_id: None,
        }
    }
}

/// What the header for server-side encryption says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// No header: as the bucket is set up.
    #[serde(rename = "bucket")]
    Bucket,
    /// `AES256`.
    #[serde(rename = "AES256")]
    Aes256,
    /// `aws:kms`.
    #[serde(rename = "aws:kms")]
    Kms,
}
