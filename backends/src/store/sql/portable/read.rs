//! Reads a page of a table.

use std::borrow::Cow;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{Cursor, Kind, Most, Record, RecordPage, Table, Value};
use sqlx::{AssertSqlSafe, Row};

use super::super::dialect::{DbConnection, DbQuery, DbRow};
use super::super::fault::{Fault, corrupt};
use super::super::search;
use super::values;
use super::ways::{self, Source, Way};

/// So many parents are looked up at once.
const PARENTS: u32 = 1_000;

/// A page that is being read, and how much room is left in it.
struct Reading<'a> {
    connection: &'a mut DbConnection,
    workspace: WorkspaceId,
    table: Table,
    most: Most,
    bytes: u64,
    records: Vec<Record>,
}

/// Where a source is entered.
enum From {
    Start,
    At(Vec<Value>),
    After(Vec<Value>),
}

pub(super) async fn page(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    table: Table,
    after: Option<Cursor>,
    most: Most,
) -> Result<RecordPage, Fault> {
    let mut reading = Reading { connection, workspace, table, most, bytes: 0, records: Vec::new() };
    let after = after.map(|Cursor(values)| values);
    let next = match ways::way(table) {
        Way::Flat(source) => {
            let from = after.map_or(From::Start, From::After);
            reading.take(&source, source.from, &[], from).await?
        }
        Way::Walk { parents, given, children } => {
            reading.walk(&parents, given, &children, after).await?
        }
    };
    Ok(RecordPage { records: reading.records, next: next.map(Cursor) })
}

impl Reading<'_> {
    /// Takes children of one parent after the other. Returns where to go on.
    async fn walk(
        &mut self,
        parents: &Source,
        given: &[(&str, Kind)],
        children: &Source,
        after: Option<Vec<Value>>,
    ) -> Result<Option<Vec<Value>>, Fault> {
        let places = parents.order.len();
        let (mut from, mut within) = match after {
            None => (From::Start, None),
            Some(mut parent) => {
                if parent.len() != places + children.order.len() {
                    return Err(corrupt("cursor", "it is another table's"));
                }
                let child = parent.split_off(places);
                (From::At(parent), Some(child))
            }
        };
        loop {
            let found = self.parents(parents, given, &from).await?;
            let last = found.len() < PARENTS as usize;
            for row in &found {
                let parent = order_of(row, parents, 0)?;
                let keys = given
                    .iter()
                    .enumerate()
                    .map(|(place, (_, kind))| values::value(row, places + place, *kind))
                    .collect::<Result<Vec<_>, _>>()?;
                // The parent that the page before has ended in.
                let of_before = matches!(&from, From::At(before) if *before == parent);
                let start = match within.take_if(|_| of_before) {
                    None => From::Start,
                    Some(child) => From::After(child),
                };
                let table = match keys.first() {
                    Some(Value::Integer(key)) => {
                        let vectors: Cow<'_, str> = search::vectors_table(*key).into();
                        children.from.replace("{vectors}", &vectors)
                    }
                    _ => children.from.to_owned(),
                };
                if let Some(child) = self.take(children, &table, &keys, start).await? {
                    return Ok(Some(parent.into_iter().chain(child).collect()));
                }
            }
            match found.last() {
                Some(row) if !last => from = From::After(order_of(row, parents, 0)?),
                _ => return Ok(None),
            }
        }
    }

    async fn parents(
        &mut self,
        parents: &Source,
        given: &[(&str, Kind)],
        from: &From,
    ) -> Result<Vec<DbRow>, Fault> {
        let order = parents.order.iter().map(|(column, _)| *column);
        let wanted: Vec<&str> = order.chain(given.iter().map(|(column, _)| *column)).collect();
        let sql = sql(parents, parents.from, &wanted.join(", "), from, 1);
        let query = bind_from(self.asked(sql, &[]), parents, from, PARENTS);
        Ok(query.fetch_all(&mut *self.connection).await?)
    }

    /// Takes rows of a source until the page is full. Returns where to go on, where the
    /// page is full.
    async fn take(
        &mut self,
        source: &Source,
        table: &str,
        keys: &[Value],
        from: From,
    ) -> Result<Option<Vec<Value>>, Fault> {
        let taken = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        let mut limit = self.most.records.max(1).saturating_sub(taken);
        let mut cut = false;
        if let Some(weight) = ways::weight(self.table) {
            let weight = format!("CAST({weight} AS BIGINT)");
            let sql = sql(source, table, &weight, &from, 1 + keys.len());
            let query = bind_from(self.asked(sql, keys), source, &from, limit);
            let weights = query.fetch_all(&mut *self.connection).await?;
            let mut fits = 0;
            for row in &weights {
                let weight = row.try_get::<Option<i64>, _>(0)?.unwrap_or(0).unsigned_abs();
                // One is taken however large it is.
                let first = taken == 0 && fits == 0;
                if !first && self.bytes.saturating_add(weight) > self.most.bytes {
                    cut = true;
                    break;
                }
                self.bytes = self.bytes.saturating_add(weight);
                fits += 1;
            }
            limit = fits;
        }
        if limit == 0 {
            // Nothing is left of this parent; or the next row is too large for this page.
            return Ok(cut.then(|| match from {
                From::After(values) | From::At(values) => values,
                From::Start => lowest(source),
            }));
        }
        let columns = self.table.columns();
        let order = source.order.iter().map(|(column, _)| (*column).to_owned());
        let wanted: Vec<String> = columns
            .iter()
            .map(|column| ways::expression(self.table, column.name))
            .chain(order)
            .collect();
        let sql = sql(source, table, &wanted.join(", "), &from, 1 + keys.len());
        let query = bind_from(self.asked(sql, keys), source, &from, limit);
        let rows = query.fetch_all(&mut *self.connection).await?;
        for row in &rows {
            let values = values::values(row, columns)?;
            self.records.push(Record { table: self.table, values });
        }
        let full = cut || self.records.len() >= self.most.records.max(1) as usize;
        match rows.last() {
            Some(row) if full => Ok(Some(order_of(row, source, columns.len())?)),
            _ => Ok(None),
        }
    }

    fn asked(&self, sql: String, keys: &[Value]) -> DbQuery<'static> {
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.workspace.uuid());
        keys.iter().fold(query, |query, key| values::bind(query, Kind::Integer, key.clone()))
    }
}

/// A cursor before every row: a page was full before any row of this parent was taken.
fn lowest(source: &Source) -> Vec<Value> {
    source
        .order
        .iter()
        .map(|(_, kind)| match kind {
            Kind::Id => Value::Id(uuid::Uuid::nil()),
            Kind::Text => Value::Text(String::new()),
            _ => Value::Integer(i64::MIN),
        })
        .collect()
}

fn order_of(row: &DbRow, source: &Source, first: usize) -> Result<Vec<Value>, Fault> {
    let kinds = source.order.iter().enumerate();
    kinds.map(|(place, (_, kind))| values::value(row, first + place, *kind)).collect()
}

/// The statement. `before` placeholders come before those of where it is entered, and the
/// last one is how many rows are wanted.
fn sql(source: &Source, table: &str, wanted: &str, from: &From, before: usize) -> String {
    let columns: Vec<&str> = source.order.iter().map(|(column, _)| *column).collect();
    let places: Vec<String> =
        (1..=columns.len()).map(|place| format!("${}", before + place)).collect();
    let mut which = source.which.to_owned();
    let mut limit = before + 1;
    let compared = match from {
        From::Start => None,
        From::At(_) => Some(">="),
        From::After(_) => Some(">"),
    };
    if let Some(compared) = compared {
        let seek = source.seek;
        if seek > 0 && seek < columns.len() {
            let (columns, places) = (columns[..seek].join(", "), places[..seek].join(", "));
            which.push_str(&format!(" AND ({columns}) >= ({places})"));
        }
        let (columns, places) = (columns.join(", "), places.join(", "));
        which.push_str(&format!(" AND ({columns}) {compared} ({places})"));
        limit += source.order.len();
    }
    let order = columns.join(", ");
    format!("SELECT {wanted} FROM {table} WHERE {which} ORDER BY {order} LIMIT ${limit}")
}

fn bind_from<'q>(query: DbQuery<'q>, source: &Source, from: &From, limit: u32) -> DbQuery<'q> {
    let query = match from {
        From::Start => query,
        From::At(values) | From::After(values) => source
            .order
            .iter()
            .zip(values)
            .fold(query, |query, ((_, kind), value)| values::bind(query, *kind, value.clone())),
    };
    query.bind(i64::from(limit))
}
