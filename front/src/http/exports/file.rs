//! The file of an export, for whoever has a link to it that is signed and has not expired. No
//! key is needed, so that a browser can fetch it.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use quaestor_core::clock::Time;
use quaestor_core::ids::{ExportId, WorkspaceId};
use quaestor_core::model::StoredObject;

use super::link::is_signed;
use crate::app::App;
use crate::http::content;
use crate::input::Params;
use crate::problem::{ApiError, Code};

pub(crate) async fn download(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let mut params = Params::of(&uri)?;
    let export = params.id("export")?.map(ExportId);
    let workspace = params.id("workspace")?.map(WorkspaceId);
    let expires = params.parsed::<i64>("expires", "a time in seconds since 1970")?;
    let signature = params.text("signature");
    params.finish()?;
    let (Some(export), Some(workspace), Some(expires), Some(signature)) =
        (export, workspace, expires, signature)
    else {
        return Err(refused());
    };
    let found = app.front.store.export_file(workspace, export).await?;
    let Some((file, filename, format)) = found else { return Err(refused()) };
    if !is_signed(&file.link_key, workspace, export, expires, &signature) {
        return Err(refused());
    }
    let now = app.front.clock.now();
    let is_over = Time::from_timestamp(expires, 0).is_none_or(|expires| expires <= now);
    if is_over || file.kept_until <= now {
        return Err(ApiError::new(
            Code::LinkExpired,
            "the link has expired; ask for the export again to get a new one",
        ));
    }
    let object = StoredObject {
        key: file.object_key,
        size_bytes: file.size_bytes,
        sha256: file.sha256,
        media_type: format.media_type().to_owned(),
        filename,
    };
    content::respond(&app, &object, &headers).await
}

/// The same for a file that is missing, another's, and a signature that is wrong.
fn refused() -> ApiError {
    ApiError::new(Code::NotFound, "there is no file behind this link; ask for the export again")
}
