//! Compares two stores row by row.

use std::collections::VecDeque;
use std::fmt;

use super::digest::Tally;
use super::{At, MOST, Tell, Told, TransferError, Workspaces};
use crate::ids::WorkspaceId;
use crate::ports::store::{Cursor, Kind, Portable, Record, Store, Table, Value};

/// So often, in rows, is told how far the check is.
const TOLD_EVERY: u64 = 1_000;

/// A table that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: Table,
    /// Whose rows differ; none where the workspaces themselves do.
    pub workspace: Option<WorkspaceId>,
    /// What the source has.
    pub source: Tally,
    /// What the target has.
    pub target: Tally,
    /// A row that differs, where one could be told.
    pub row: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.table.name();
        write!(f, "{name}")?;
        if let Some(workspace) = self.workspace {
            write!(f, " of workspace {workspace}")?;
        }
        let (source, target) = (self.source.records, self.target.records);
        if source == target {
            write!(f, ": {source} rows on both sides, which are not the same")?;
        } else {
            write!(f, ": {source} rows at the source and {target} at the target")?;
        }
        match &self.row {
            Some(row) => write!(f, "; the first that differs is {row}"),
            None => Ok(()),
        }
    }
}

/// Compares every row of both sides. Returns how many rows are the same and what is not.
///
/// # Errors
/// Whatever a store says.
pub async fn check_rows(
    source: &dyn Store,
    target: &dyn Store,
    tell: Tell<'_>,
) -> Result<(u64, Vec<Difference>), TransferError> {
    let mut differences = Vec::new();
    let mut rows = 0;
    let (mut here, mut there) =
        (count_workspaces(source, At::Source).await?, count_workspaces(target, At::Target).await?);
    if here != there {
        let tally = |records: &mut u64| Tally { records: *records, ..Tally::default() };
        differences.push(Difference {
            table: Table::Workspaces,
            workspace: None,
            source: tally(&mut here),
            target: tally(&mut there),
            row: None,
        });
    }
    for table in Table::ALL {
        let mut checked = 0;
        let mut workspaces = Workspaces::of(source, At::Source);
        while let Some(workspace) = workspaces.next().await? {
            match compare(source, target, workspace, table, checked, tell).await? {
                Ok(same) => checked += same,
                Err(difference) => differences.push(difference),
            }
        }
        tell(Told::Checked(table, checked));
        rows += checked;
    }
    Ok((rows, differences))
}

/// What the rows of a table come to, over all workspaces.
///
/// # Errors
/// Whatever the store says.
pub async fn tally_rows(
    store: &dyn Store,
    table: Table,
    tell: Tell<'_>,
) -> Result<Tally, TransferError> {
    let mut tally = Tally::default();
    let mut workspaces = Workspaces::of(store, At::Target);
    while let Some(workspace) = workspaces.next().await? {
        let mut rows = Rows::of(store, At::Target, workspace, table);
        while let Some(record) = rows.next().await? {
            tally.add(&record);
            if tally.records.is_multiple_of(TOLD_EVERY) {
                tell(Told::Checking(table, tally.records));
            }
        }
    }
    tell(Told::Checked(table, tally.records));
    Ok(tally)
}

async fn count_workspaces(store: &dyn Store, at: At) -> Result<u64, TransferError> {
    let mut workspaces = Workspaces::of(store, at);
    let mut count = 0;
    while workspaces.next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

async fn compare(
    source: &dyn Store,
    target: &dyn Store,
    workspace: WorkspaceId,
    table: Table,
    before: u64,
    tell: Tell<'_>,
) -> Result<Result<u64, Difference>, TransferError> {
    let mut here = Rows::of(source, At::Source, workspace, table);
    let mut there = Rows::of(target, At::Target, workspace, table);
    let (mut of_source, mut of_target) = (Tally::default(), Tally::default());
    // Names the row where the sides part. Should a database list rows in another order,
    // this may name one that is the same; the sums decide.
    let mut row = None;
    loop {
        let (one, other) = futures::future::join(here.next(), there.next()).await;
        let (one, other) = (one?, other?);
        let (first, second) = (
            one.as_ref().map(|record| of_source.add(record)),
            other.as_ref().map(|record| of_target.add(record)),
        );
        if first != second && row.is_none() {
            row = one.as_ref().or(other.as_ref()).map(name);
        }
        if one.is_none() && other.is_none() {
            break;
        }
        let checked = before + of_source.records;
        if checked.is_multiple_of(TOLD_EVERY) {
            tell(Told::Checking(table, checked));
        }
    }
    // A row that reading in pages does not come by would be missing on both sides.
    let counted = source.count_records(workspace, table).await;
    let counted = counted.map_err(At::Source.failed(table.name()))?;
    if counted != of_source.records {
        of_source.records = counted;
        row = None;
    }
    if of_source == of_target {
        return Ok(Ok(of_source.records));
    }
    let (source, target) = (of_source, of_target);
    Ok(Err(Difference { table, workspace: Some(workspace), source, target, row }))
}

/// A record by its ids and numbers, never by its contents.
fn name(record: &Record) -> String {
    let columns = record.table.columns().iter().zip(&record.values);
    let ids = columns.filter_map(|(column, value)| match (column.kind, value) {
        (Kind::Id, Value::Id(id)) => Some(format!("{} {id}", column.name)),
        (Kind::Integer, Value::Integer(number))
            if ["version", "ordinal"].contains(&column.name) =>
        {
            Some(format!("{} {number}", column.name))
        }
        _ => None,
    });
    ids.take(4).collect::<Vec<_>>().join(", ")
}

/// The records of a table one by one.
struct Rows<'a> {
    store: &'a dyn Store,
    at: At,
    workspace: WorkspaceId,
    table: Table,
    read: VecDeque<Record>,
    next: Option<Option<Cursor>>,
}

impl<'a> Rows<'a> {
    fn of(store: &'a dyn Store, at: At, workspace: WorkspaceId, table: Table) -> Self {
        Self { store, at, workspace, table, read: VecDeque::new(), next: Some(None) }
    }

    async fn next(&mut self) -> Result<Option<Record>, TransferError> {
        loop {
            if let Some(record) = self.read.pop_front() {
                return Ok(Some(record));
            }
            let Some(after) = self.next.take() else { return Ok(None) };
            let page = Portable::read_records(self.store, self.workspace, self.table, after, MOST);
            let page = page.await.map_err(self.at.failed(self.table.name()))?;
            self.read = page.records.into();
            self.next = page.next.map(Some);
        }
    }
}
