//! A document's file, as it was uploaded: always a download, never a page of ours.

use std::fmt::Write;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use futures::{StreamExt, future};
use quaestor_core::ids::DocumentId;
use quaestor_core::model::StoredObject;
use quaestor_core::ports::objects::{ByteStream, ObjectKey};

use crate::app::App;
use crate::auth::Who;
use crate::input::{Params, PathId};
use crate::problem::{ApiError, Code};

pub(super) async fn content(
    State(app): State<App>,
    Who { caller, .. }: Who,
    PathId(id): PathId<DocumentId>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let mut params = Params::of(&uri)?;
    let version = params.parsed::<u32>("version", "a number from 1")?;
    params.finish()?;
    let object = app.front.store.document_object(caller.workspace_id, id, version).await?;
    let object = object.ok_or_else(|| ApiError::missing("document", id))?;
    respond(&app, &object, &headers).await
}

/// A stored file as a download, or the range of it that is asked for.
pub(super) async fn respond(
    app: &App,
    object: &StoredObject,
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let key = ObjectKey::parse(&object.key)?;
    let range = range(headers, object.size_bytes)?;
    let (start, len) = range.unwrap_or((0, object.size_bytes));
    let bytes = app.front.objects.get(&key, start).await?;

    let mut response = Response::new(Body::from_stream(bounded(bytes, len)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let media_type = HeaderValue::from_str(&object.media_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, media_type);
    if let Ok(value) = HeaderValue::from_str(&attachment(&object.filename)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", object.sha256)) {
        headers.insert(header::ETAG, value);
    }
    // Whatever a browser makes of it, it runs nothing and belongs to no origin.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    if range.is_some() {
        let end = start + len - 1;
        let value = format!("bytes {start}-{end}/{}", object.size_bytes);
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The first `len` bytes of a stream.
fn bounded(bytes: ByteStream, len: u64) -> ByteStream {
    let mut left = usize::try_from(len).unwrap_or(usize::MAX);
    bytes
        .map(move |piece| {
            piece.map(|mut piece| {
                piece.truncate(left);
                left -= piece.len();
                piece
            })
        })
        .take_while(|piece| future::ready(piece.as_ref().map_or(true, |piece| !piece.is_empty())))
        .boxed()
}

/// One range of bytes as start and length. Several ranges, or another unit, are served
/// as the whole file, which RFC 9110 allows.
fn range(headers: &HeaderMap, size: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let Some(spec) = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes="))
        .filter(|spec| !spec.contains(','))
    else {
        return Ok(None);
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Ok(None);
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, size.saturating_sub(1)),
        (Err(_), Ok(suffix)) if first.is_empty() => {
            (size.saturating_sub(suffix), size.saturating_sub(1))
        }
        _ => return Ok(None),
    };
    let empty_suffix = first.is_empty() && last == "0";
    if start >= size || empty_suffix {
        return Err(ApiError::field(
            Code::RangeNotSatisfiable,
            "Range",
            format!("the file has {size} bytes"),
        ));
    }
    Ok(Some((start, end - start + 1)))
}

/// `Content-Disposition` of RFC 6266: a plain name for old readers, the true one for all
/// others. No character of the name can end the header or the quotes.
pub(super) fn attachment(filename: &str) -> String {
    let plain: String = filename
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' | '/' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut encoded = String::with_capacity(filename.len());
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_the_header_or_its_quotes() {
        assert_eq!(
            attachment("a\"; x=\r\n.pdf"),
            "attachment; filename=\"a_; x=__.pdf\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0A.pdf"
        );
        assert_eq!(
            attachment("Zürich.pdf"),
            "attachment; filename=\"Z_rich.pdf\"; filename*=UTF-8''Z%C3%BCrich.pdf"
        );
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        let of = |spec: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, spec.parse().unwrap());
            range(&headers, 10).map_err(|error| error.code)
        };
        assert_eq!(of("bytes=0-3"), Ok(Some((0, 4))));
        assert_eq!(of("bytes=8-99"), Ok(Some((8, 2))));
        assert_eq!(of("bytes=8-"), Ok(Some((8, 2))));
        assert_eq!(of("bytes=-3"), Ok(Some((7, 3))));
        assert_eq!(of("bytes=10-"), Err(Code::RangeNotSatisfiable));
        assert_eq!(of("bytes=-0"), Err(Code::RangeNotSatisfiable));
        assert_eq!(of("bytes=0-1,3-4"), Ok(None));
        assert_eq!(of("lines=0-1"), Ok(None));
    }
}
