//! Reading a file from the bucket.

use std::io;

use aws_sdk_s3::primitives::ByteStream as Body;
use futures::{StreamExt, stream};
use quaestor_core::ports::objects::{ByteStream, ObjectError, ObjectKey};

use super::{S3Objects, failure};

/// The bytes from `offset`, which end in an error where the storage sends fewer or more than
/// it has announced. A whole file is also held against its checksum, if the storage keeps one.
pub(super) async fn get(
    objects: &S3Objects,
    key: &ObjectKey,
    offset: u64,
) -> Result<ByteStream, ObjectError> {
    let request = objects
        .client
        .get_object()
        .bucket(&objects.options.place.bucket)
        .key(objects.name(key))
        .set_range((offset > 0).then(|| format!("bytes={offset}-")));
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if failure::is_missing(&error) => return Err(ObjectError::Missing(key.clone())),
        Err(error) if offset > 0 && failure::is_behind_end(&error) => {
            return Ok(stream::empty().boxed());
        }
        Err(error) => return Err(objects.failed("read", key, error)),
    };
    let from = format!("bytes {offset}-");
    if offset > 0 && !answer.content_range().is_some_and(|range| range.starts_with(&from)) {
        return Err(super::io("read", key, "the storage sent another range than was asked for"));
    }
    let Some(announced) = answer.content_length().and_then(|length| u64::try_from(length).ok())
    else {
        return Err(super::io("read", key, "the storage did not say how long the file is"));
    };
    Ok(counted(answer.body, announced))
}

fn counted(body: Body, announced: u64) -> ByteStream {
    stream::try_unfold((body, announced), |(mut body, left)| async move {
        match body.next().await {
            Some(Ok(piece)) => match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (body, left)))),
                None => Err(cut("the storage sent more than it had announced")),
            },
            Some(Err(error)) => Err(Box::new(error).into()),
            None if left == 0 => Ok(None),
            None => Err(cut("the storage broke off in the middle of the file")),
        }
    })
    .boxed()
}

fn cut(what: &'static str) -> Box<dyn std::error::Error + Send + Sync> {
    io::Error::new(io::ErrorKind::UnexpectedEof, what).into()
}
