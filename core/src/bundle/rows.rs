//! Pages of rows in a bundle, and what rows of older bundles lack.

use serde::{Deserialize, Serialize};

use super::{BundleError, Frame, FrameReader};
use crate::ids::WorkspaceId;
use crate::ports::store::{Record, Table, Value};
use crate::transfer::Tally;

/// What a table's rows hold, in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHead {
    /// The table's name.
    pub table: String,
    /// Its columns, in the order of the values.
    pub columns: Vec<String>,
}

impl TableHead {
    /// A table as this program has it.
    #[must_use]
    pub fn of(table: Table) -> Self {
        let columns = table.columns().iter().map(|column| column.name.to_owned()).collect();
        Self { table: table.name().to_owned(), columns }
    }
}

/// How the rows of a table in a bundle become records.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// The table.
    pub table: Table,
    /// How many values a row has in the bundle.
    width: usize,
    /// For each column of a record where its value stands in a row, or what it is.
    from: Vec<Result<usize, Value>>,
}

impl Columns {
    /// Matches a bundle's table with this program's.
    ///
    /// # Errors
    /// A sentence about a table or a column that this program does not know.
    pub fn of(head: &TableHead) -> Result<Self, String> {
        let newer = |what: &str| {
            format!("{what} is unknown here: it was written by a later version, so use that")
        };
        let table = Table::ALL
            .into_iter()
            .find(|table| table.name() == head.table)
            .ok_or_else(|| newer(&format!("the table {}", head.table)))?;
        let columns = table.columns();
        let unknown = head.columns.iter().find(|name| columns.iter().all(|c| c.name != **name));
        if let Some(name) = unknown {
            return Err(newer(&format!("the column {}.{name}", head.table)));
        }
        let from = columns.iter().map(|column| {
            if let Some(place) = head.columns.iter().position(|name| name == column.name) {
                return Ok(Ok(place));
            }
            let absent = lacking(table, column.name);
            let absent = absent.or(column.optional.then_some(Value::Null));
            absent.map(Err).ok_or_else(|| {
                format!("{}.{} is not in it, and has to be", table.name(), column.name)
            })
        });
        let from = from.collect::<Result<Vec<_>, String>>()?;
        Ok(Self { table, width: head.columns.len(), from })
    }

    /// Whether rows are records as they are.
    #[must_use]
    pub fn are_those_of_now(&self) -> bool {
        let mut places = self.from.iter().enumerate();
        self.width == self.from.len() && places.all(|(at, from)| *from == Ok(at))
    }

    fn record(&self, mut row: Vec<Value>) -> Option<Record> {
        if row.len() != self.width {
            return None;
        }
        let mut take = |place: usize| std::mem::replace(&mut row[place], Value::Null);
        let values = self.from.iter().map(|from| match from {
            Ok(place) => take(*place),
            Err(absent) => absent.clone(),
        });
        let record = Record { table: self.table, values: values.collect() };
        record.check().is_ok().then_some(record)
    }
}

/// What a column holds in rows of bundles that were written before it was there, where it
/// may not be empty. A migration that adds such a column adds its arm here; the golden
/// bundles of the tests show where one is missing.
fn lacking(table: Table, column: &str) -> Option<Value> {
    match (table, column) {
        (Table::Generations, "skipped" | "embedded" | "embed_us" | "cut")
        | (Table::Versions, "cut") => Some(Value::Integer(0)),
        (Table::Versions, "staged" | "other") => Some(Value::Boolean(false)),
        _ => None,
    }
}

/// A page of rows as a payload.
///
/// # Errors
/// Where a value cannot be written.
pub fn pack(workspace: WorkspaceId, records: &[Record]) -> Result<Vec<u8>, BundleError> {
    let rows: Vec<&[Value]> = records.iter().map(|record| record.values.as_slice()).collect();
    postcard::to_stdvec(&(workspace, rows))
        .map_err(|error| BundleError::Write { what: "rows", source: error.into() })
}

/// A page of rows out of a frame. Adds each row to `tally` as it stands in the bundle,
/// where it may have fewer columns than the record that it becomes.
///
/// # Errors
/// Where they are none of this table.
pub fn unpack(
    reader: &FrameReader,
    frame: &Frame,
    columns: &Columns,
    tally: &mut Tally,
) -> Result<(WorkspaceId, Vec<Record>), BundleError> {
    let (workspace, rows): (WorkspaceId, Vec<Vec<Value>>) = reader.postcard(frame)?;
    let table = columns.table;
    let records: Option<Vec<Record>> = rows
        .into_iter()
        .map(|values| {
            let row = Record { table, values };
            tally.add(&row);
            columns.record(row.values)
        })
        .collect();
    let none = || reader.damaged(&format!("a row of {} is none", table.name()));
    Ok((workspace, records.ok_or_else(none)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_another_order_is_read_and_an_optional_column_may_be_missing() {
        let mut head = TableHead::of(Table::ApiKeys);
        assert_eq!(head.columns.last().map(String::as_str), Some("revoked_at"));
        head.columns.pop();
        head.columns.reverse();
        let columns = Columns::of(&head).unwrap();
        let row = vec![
            Value::Integer(1),
            Value::Bytes(vec![1; 32]),
            Value::Text("qs".into()),
            Value::Text("admin".into()),
            Value::Text("first".into()),
            Value::Id(uuid::Uuid::from_u128(2)),
            Value::Id(uuid::Uuid::from_u128(1)),
        ];
        let record = columns.record(row.clone()).unwrap();
        assert_eq!(record.id("id"), Some(uuid::Uuid::from_u128(1)));
        assert_eq!(record.text("role"), Some("admin"));
        assert_eq!(record.get("revoked_at"), Some(&Value::Null));
        assert_eq!(columns.record(row[1..].to_vec()), None);
    }

    /// These bytes are in bundles that somebody keeps: a kind of value is never renumbered.
    #[test]
    fn values_are_written_as_they_always_were() {
        let id = uuid::Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let day = chrono::NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
        let written = |value: Value| {
            let bytes = postcard::to_stdvec(&value).unwrap();
            assert_eq!(postcard::from_bytes::<Value>(&bytes).unwrap(), value);
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(written(Value::Null), "00");
        assert_eq!(written(Value::Id(id)), "01100102030405060708090a0b0c0d0e0f10");
        assert_eq!(written(Value::Text("ab".to_owned())), "02026162");
        assert_eq!(written(Value::Integer(-2)), "0303");
        assert_eq!(written(Value::Boolean(true)), "0401");
        assert_eq!(written(Value::Bytes(vec![7, 8])), "05020708");
        assert_eq!(written(Value::Day(day)), "060a323032362d30312d3331");
        assert_eq!(written(Value::Floats(vec![1.0, -0.0])), "07020000803f00000080");
    }

    #[test]
    fn what_a_later_version_wrote_is_told_by_name() {
        let mut head = TableHead::of(Table::Jobs);
        head.columns.push("mood".to_owned());
        assert!(Columns::of(&head).unwrap_err().contains("jobs.mood"));
        head.table = "moods".to_owned();
        assert!(Columns::of(&head).unwrap_err().contains("moods"));
        let none = TableHead { table: "jobs".to_owned(), columns: Vec::new() };
        assert!(Columns::of(&none).unwrap_err().contains("has to be"));
    }
}
