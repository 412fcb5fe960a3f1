//! What went wrong between us and the storage, as a sentence that says how to mend it.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::options::S3Options;
use crate::tls;

/// A request that failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(super) struct Failure {
    sentence: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl Failure {
    pub(super) fn new<E>(options: &S3Options, error: SdkError<E>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        Self { sentence: sentence(options, &error), source: error.into() }
    }
}

fn sentence<E>(options: &S3Options, error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata,
{
    let (bucket, region, at) = (&options.place.bucket, &options.region, options.whereabouts());
    let (code, status) = match error {
        SdkError::ServiceError(refused) => {
            (refused.err().code().unwrap_or_default(), refused.raw().status().as_u16())
        }
        SdkError::ResponseError(broken) => ("", broken.raw().status().as_u16()),
        SdkError::TimeoutError(_) => return format!("{at} did not answer in time"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            return format!("{at} did not answer in time");
        }
        SdkError::DispatchFailure(failure) => {
            let trouble = failure.as_connector_error().and_then(|error| tls::trouble(error));
            if let Some(trouble) = trouble {
                return format!("TLS with {at} fails: {trouble}");
            }
            return format!(
                "nothing answers at {at}: start the storage, or mend AWS_ENDPOINT_URL_S3"
            );
        }
        _ => return "the request could not be made".to_owned(),
    };
    match (code, status) {
        ("RequestTimeTooSkewed", _) => {
            format!("this machine's clock and that of {at} differ too much: set both by NTP")
        }
        ("NoSuchBucket", _) => format!(
            "there is no bucket {bucket} at {at}: make it (`aws s3 mb s3://{bucket}`), or mend \
             QUAESTOR_OBJECTS_URL"
        ),
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "NotSignedUp"
            | "InvalidToken"
            | "ExpiredToken",
            _,
        )
        | (_, 401) => format!(
            "{at} refuses the access key: mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and \
             AWS_SESSION_TOKEN, if it is lent)"
        ),
        ("AccessDenied", _) | (_, 403) => format!(
            "the access key may not do this in the bucket {bucket}: allow it to list the bucket, \
             to get, put and delete objects, and to list and abort multipart uploads"
        ),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed", _) | (_, 301 | 307) => {
            format!("the bucket {bucket} is not in the region {region}: mend AWS_REGION")
        }
        ("" | "NotFound", 404) => {
            format!("there is no bucket {bucket} at {at}, or nothing under the key")
        }
        (code, status) => format!("{at} answered {status} {code}"),
    }
}

/// Nothing stands under the key; the bucket does.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(refused) = error else { return false };
    refused.raw().status().as_u16() == 404 && refused.err().code() != Some("NoSuchBucket")
}

/// The range lies behind the end of the file.
pub(super) fn is_behind_end<E>(error: &SdkError<E>) -> bool {
    matches!(error, SdkError::ServiceError(refused) if refused.raw().status().as_u16() == 416)
}

/// Whether the storage may have done what it did not confirm.
pub(super) fn may_have_been_done<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(refused) => refused.raw().status().is_server_error(),
        _ => true,
    }
}
