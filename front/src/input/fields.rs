//! The fields of a JSON object, taken one by one: what is wrong is named, and what
//! nobody asked for is refused.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::problem::{ApiError, Code};

/// An object whose fields are taken out; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    /// `filters.` for the fields of a nested object.
    prefix: String,
}

impl Fields {
    /// The fields of a body, which must be an object.
    pub(crate) fn of(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(members) => Ok(Self { members, prefix: String::new() }),
            _ => Err(ApiError::new(Code::InvalidField, "the body must be a JSON object")),
        }
    }

    fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// A field that is there and not null.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.members.remove(field).filter(|value| !value.is_null())
    }

    fn invalid<T>(&self, field: &str, wanted: &str) -> Result<T, ApiError> {
        Err(ApiError::invalid(self.name(field), wanted))
    }

    fn missing(&self, field: &str) -> ApiError {
        let name = self.name(field);
        let detail = format!("`{name}` is needed");
        ApiError::field(Code::MissingField, name, detail)
    }

    /// Text that is not blank, of at most so many characters.
    pub(crate) fn text(&mut self, field: &str, max_chars: usize) -> Result<String, ApiError> {
        // Null is a wrong type for a field that is needed, not an absence.
        if self.members.get(field) == Some(&Value::Null) {
            return self.invalid(field, "text");
        }
        self.optional_text(field, max_chars)?.ok_or_else(|| self.missing(field))
    }

    /// The same, where it may be left out.
    pub(crate) fn optional_text(
        &mut self,
        field: &str,
        max_chars: usize,
    ) -> Result<Option<String>, ApiError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let wanted = || format!("text of 1 to {max_chars} characters");
                if text.trim().is_empty() || text.chars().nth(max_chars).is_some() {
                    return self.invalid(field, &wanted());
                }
                if text.contains('\0') {
                    return self.invalid(field, "text without the character NUL");
                }
                Ok(Some(text))
            }
            Some(_) => self.invalid(field, "text"),
        }
    }

    /// Text that is one of a few names.
    pub(crate) fn parsed<T: FromStr>(&mut self, field: &str, wanted: &str) -> Result<T, ApiError> {
        match self.optional_parsed(field, wanted)? {
            Some(value) => Ok(value),
            None => Err(self.missing(field)),
        }
    }

    /// The same, where it may be left out.
    pub(crate) fn optional_parsed<T: FromStr>(
        &mut self,
        field: &str,
        wanted: &str,
    ) -> Result<Option<T>, ApiError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => match text.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => self.invalid(field, wanted),
            },
            Some(_) => self.invalid(field, wanted),
        }
    }

    /// `true` or `false`, where it may be left out.
    pub(crate) fn optional_flag(&mut self, field: &str) -> Result<Option<bool>, ApiError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => self.invalid(field, "true or false"),
        }
    }

    /// A whole number within bounds, where it may be left out.
    pub(crate) fn optional_integer(
        &mut self,
        field: &str,
        bounds: RangeInclusive<i64>,
    ) -> Result<Option<i64>, ApiError> {
        match self.take(field) {
            None => Ok(None),
            Some(value) => match value.as_i64().filter(|number| bounds.contains(number)) {
                Some(number) => Ok(Some(number)),
                None => {
                    let wanted =
                        format!("a whole number from {} to {}", bounds.start(), bounds.end());
                    self.invalid(field, &wanted)
                }
            },
        }
    }

    /// A whole number within bounds.
    pub(crate) fn integer(
        &mut self,
        field: &str,
        bounds: RangeInclusive<i64>,
    ) -> Result<i64, ApiError> {
        self.optional_integer(field, bounds)?.ok_or_else(|| self.missing(field))
    }

    /// An id, where it may be left out.
    pub(crate) fn optional_id<T: From<Uuid>>(
        &mut self,
        field: &str,
    ) -> Result<Option<T>, ApiError> {
        match self.take(field) {
            None => Ok(None),
            Some(value) => match value.as_str().and_then(parse_id) {
                Some(id) => Ok(Some(T::from(id))),
                None => self.invalid(field, "an id (a UUID as text)"),
            },
        }
    }

    /// An id.
    pub(crate) fn id<T: From<Uuid>>(&mut self, field: &str) -> Result<T, ApiError> {
        self.optional_id(field)?.ok_or_else(|| self.missing(field))
    }

    /// A list of ids, each kept once, where it may be left out. An empty list stays one.
    pub(crate) fn optional_ids<T: From<Uuid>>(
        &mut self,
        field: &str,
        max: usize,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let Some(texts) = self.optional_texts(field, max, "ids (UUIDs as text)")? else {
            return Ok(None);
        };
        let mut seen = BTreeSet::new();
        let mut ids = Vec::new();
        for text in texts {
            let Some(id) = parse_id(&text) else {
                return self.invalid(field, "a list of ids (UUIDs as text)");
            };
            if seen.insert(id) {
                ids.push(T::from(id));
            }
        }
        Ok(Some(ids))
    }

    /// A list of texts, where it may be left out.
    pub(crate) fn optional_texts(
        &mut self,
        field: &str,
        max: usize,
        of: &str,
    ) -> Result<Option<Vec<String>>, ApiError> {
        /// Longer than any media type or id.
        const MAX_ITEM_BYTES: usize = 255;
        let wanted = format!("a list of at most {max} {of}");
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return self.invalid(field, &wanted);
        };
        if items.len() > max {
            return self.invalid(field, &wanted);
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::String(text) if text.len() <= MAX_ITEM_BYTES && !text.contains('\0') => {
                    texts.push(text);
                }
                _ => return self.invalid(field, &wanted),
            }
        }
        Ok(Some(texts))
    }

    /// A nested object, where it may be left out.
    pub(crate) fn optional_object(&mut self, field: &str) -> Result<Option<Self>, ApiError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(members)) => {
                Ok(Some(Self { members, prefix: format!("{}.", self.name(field)) }))
            }
            Some(_) => self.invalid(field, "an object"),
        }
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let Some(field) = self.members.keys().next() else {
            return Ok(());
        };
        // A stranger's name for a field is shown back in bounds.
        let name: String = self.name(field).chars().take(100).collect();
        let detail = format!("`{name}` is not a field of this request");
        Err(ApiError::field(Code::UnknownField, name, detail))
    }
}

/// An id in the one form that Quaestor writes: 36 characters with hyphens.
pub(crate) fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: Value, read: impl Fn(&mut Fields) -> Result<(), ApiError>) -> (Code, String) {
        let mut fields = Fields::of(body).unwrap();
        let error = read(&mut fields).and_then(|()| fields.finish()).unwrap_err();
        (error.code, error.field.unwrap())
    }

    #[test]
    fn each_error_names_its_field() {
        let name = |fields: &mut Fields| fields.text("name", 5).map(|_| ());
        assert_eq!(check(json!({}), name), (Code::MissingField, "name".into()));
        for bad in [json!(1), json!(null), json!(""), json!("  "), json!("123456"), json!("\0")] {
            assert_eq!(check(json!({"name": bad}), name), (Code::InvalidField, "name".into()));
        }
        assert_eq!(
            check(json!({"name": "ok", "owner_id": 1}), name),
            (Code::UnknownField, "owner_id".into())
        );
    }

    #[test]
    fn a_nested_field_is_named_with_its_path() {
        let read = |fields: &mut Fields| {
            let mut filters = fields.optional_object("filters")?.unwrap();
            filters.optional_integer("from", 1..=3)?;
            filters.finish()
        };
        assert_eq!(check(json!({"filters": {"from": 4}}), read).1, "filters.from");
        assert_eq!(check(json!({"filters": {"or": []}}), read).1, "filters.or");
    }

    #[test]
    fn an_empty_list_of_ids_is_not_the_absence_of_one() {
        let mut fields = Fields::of(json!({"a": [], "b": null})).unwrap();
        assert_eq!(fields.optional_ids::<Uuid>("a", 3).unwrap(), Some(vec![]));
        assert_eq!(fields.optional_ids::<Uuid>("b", 3).unwrap(), None);
    }

    #[test]
    fn an_id_has_one_form() {
        let id = "018f0000-0000-7000-8000-000000000001";
        assert!(parse_id(id).is_some());
        assert!(parse_id(&id.replace('-', "")).is_none());
        assert!(parse_id(&format!("{{{id}}}")).is_none());
    }
}
