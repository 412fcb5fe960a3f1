//! Neutral values on their way into statements and out of rows.

use chrono::NaiveDate;
use quaestor_core::ports::store::{Column, Kind, Value};
use sqlx::Row;
use uuid::Uuid;

use super::super::dialect::{self, DbQuery, DbRow};
use super::super::fault::Fault;
use super::super::search;

/// Hands a value to a statement. Null too has a type.
pub(super) fn bind(query: DbQuery<'_>, kind: Kind, value: Value) -> DbQuery<'_> {
    match (kind, value) {
        (_, Value::Id(id)) => query.bind(id),
        (_, Value::Text(text)) => query.bind(dialect::text(text)),
        (_, Value::Integer(number)) => query.bind(number),
        (_, Value::Boolean(truth)) => query.bind(truth),
        (_, Value::Bytes(bytes)) => query.bind(bytes),
        (_, Value::Day(day)) => query.bind(day),
        (_, Value::Floats(floats)) => query.bind(search::to_stored(&floats)),
        (Kind::Id, Value::Null) => query.bind(None::<Uuid>),
        (Kind::Text, Value::Null) => query.bind(None::<String>),
        (Kind::Integer, Value::Null) => query.bind(None::<i64>),
        (Kind::Boolean, Value::Null) => query.bind(None::<bool>),
        (Kind::Bytes | Kind::Floats, Value::Null) => query.bind(None::<Vec<u8>>),
        (Kind::Day, Value::Null) => query.bind(None::<NaiveDate>),
    }
}

/// The value at a place of a row.
pub(super) fn value(row: &DbRow, place: usize, kind: Kind) -> Result<Value, Fault> {
    Ok(match kind {
        Kind::Id => row.try_get::<Option<Uuid>, _>(place)?.map(Value::Id),
        Kind::Text => row.try_get::<Option<String>, _>(place)?.map(Value::Text),
        Kind::Integer => row.try_get::<Option<i64>, _>(place)?.map(Value::Integer),
        Kind::Boolean => row.try_get::<Option<bool>, _>(place)?.map(Value::Boolean),
        Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(place)?.map(Value::Bytes),
        Kind::Day => row.try_get::<Option<NaiveDate>, _>(place)?.map(Value::Day),
        Kind::Floats => Some(Value::Floats(search::from_stored(row, place)?)),
    }
    .unwrap_or(Value::Null))
}

/// The values that a row begins with.
pub(super) fn values(row: &DbRow, columns: &[Column]) -> Result<Vec<Value>, Fault> {
    columns.iter().enumerate().map(|(place, column)| value(row, place, column.kind)).collect()
}
