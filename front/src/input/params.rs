//! The parameters after the `?`: each known, each once, each within its bounds.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use quaestor_core::model::{Cursor, DEFAULT_PAGE, MAX_PAGE, PageRequest};
use uuid::Uuid;

use super::fields::parse_id;
use crate::problem::{ApiError, Code};

/// Parameters that are taken out; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// The parameters of a request.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(ApiError::new(Code::InvalidField, "the query string cannot be read"));
        };
        let mut params = BTreeMap::new();
        for (name, value) in pairs {
            let shown: String = name.chars().take(100).collect();
            if params.insert(name, value).is_some() {
                let detail = format!("`{shown}` may stand once");
                return Err(ApiError::field(Code::InvalidField, shown, detail));
            }
        }
        Ok(Self(params))
    }

    /// A parameter as text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A parameter that is one of a few names, or a number.
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        wanted: &str,
    ) -> Result<Option<T>, ApiError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| ApiError::invalid(name, wanted)),
        }
    }

    /// A parameter that is an id.
    pub(crate) fn id<T: From<Uuid>>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(text) => match parse_id(&text) {
                Some(id) => Ok(Some(T::from(id))),
                None => Err(ApiError::invalid(name, "an id (a UUID)")),
            },
        }
    }

    /// How many items of a list are wanted.
    pub(crate) fn limit(&mut self) -> Result<u32, ApiError> {
        let wanted = format!("a number from 1 to {MAX_PAGE}");
        match self.parsed::<u32>("limit", &wanted)? {
            None => Ok(DEFAULT_PAGE),
            Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
            Some(_) => Err(ApiError::invalid("limit", &wanted)),
        }
    }

    /// `limit` and `cursor` of a list of things with ids.
    pub(crate) fn page(&mut self) -> Result<PageRequest, ApiError> {
        let limit = self.limit()?;
        let after = match self.0.remove("cursor") {
            None => None,
            Some(text) => match parse_id(&text) {
                Some(id) => Some(Cursor(id)),
                None => {
                    return Err(ApiError::invalid("cursor", "the `next` of an earlier answer"));
                }
            },
        };
        Ok(PageRequest { limit, after })
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.0.keys().next() else {
            return Ok(());
        };
        let name: String = name.chars().take(100).collect();
        let detail = format!("`{name}` is not a parameter of this request");
        Err(ApiError::field(Code::UnknownField, name, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, ApiError> {
        Params::of(&format!("/x?{query}").parse().unwrap())
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=x", "limit"),
            ("cursor=1", "cursor"),
            ("limit=1&limit=2", "limit"),
            ("sort=name", "sort"),
        ] {
            let error = params(query)
                .and_then(|mut params| {
                    params.page()?;
                    params.finish()
                })
                .unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{query}");
            assert_eq!(error.code.status().as_u16(), 422);
        }
    }
}
