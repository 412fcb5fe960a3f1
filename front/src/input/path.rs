//! The id in a path. One that cannot be an id answers as one that is not there.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use uuid::Uuid;

use super::fields::parse_id;
use crate::problem::{ApiError, Code};

/// The `{id}` of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<S: Send + Sync, T: From<Uuid> + Send> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let noun = parts.extensions.get::<&'static crate::Route>().map_or("thing", |r| r.noun);
        let id = match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => parse_id(&text),
            Err(_) => None,
        };
        match id {
            Some(id) => Ok(Self(T::from(id))),
            None => Err(ApiError::new(Code::NotFound, format!("there is no {noun} with this id"))),
        }
    }
}
