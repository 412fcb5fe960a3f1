//! Copies rows, table by table.

use super::{At, MOST, Tell, Told, TransferError, Workspaces};
use crate::failpoint;
use crate::ids::WorkspaceId;
use crate::ports::store::{Portable, Store, Table};

/// Copies every row of the source into the target, which has none.
///
/// # Errors
/// Whatever a store says; what has been copied until then stays at the target.
pub async fn copy_rows(
    source: &dyn Store,
    target: &dyn Store,
    tell: Tell<'_>,
) -> Result<(), TransferError> {
    for table in Table::ALL {
        let mut copied = 0;
        let mut workspaces = Workspaces::of(source, At::Source);
        while let Some(workspace) = workspaces.next().await? {
            copied = copy_table(source, target, workspace, table, copied, tell).await?;
        }
        tell(Told::Copied(table, copied));
        failpoint::hit("move.after_table");
    }
    Ok(())
}

async fn copy_table(
    source: &dyn Store,
    target: &dyn Store,
    workspace: WorkspaceId,
    table: Table,
    mut copied: u64,
    tell: Tell<'_>,
) -> Result<u64, TransferError> {
    let (reading, writing) = (At::Source.failed(table.name()), At::Target.failed(table.name()));
    let read = |after| Portable::read_records(source, workspace, table, after, MOST);
    let mut page = read(None).await.map_err(&reading)?;
    loop {
        copied += page.records.len() as u64;
        let records = std::mem::take(&mut page.records);
        let write = async {
            if records.is_empty() {
                return Ok(());
            }
            target.write_records(workspace, table, records).await
        };
        let (written, next) = match page.next.take() {
            None => (write.await, None),
            Some(after) => {
                let (written, next) = futures::future::join(write, read(Some(after))).await;
                (written, Some(next))
            }
        };
        written.map_err(&writing)?;
        tell(Told::Copying(table, copied));
        failpoint::hit("move.after_page");
        match next {
            None => return Ok(copied),
            Some(next) => page = next.map_err(&reading)?,
        }
    }
}

/// How many rows each table of the source has.
///
/// # Errors
/// Whatever the store says.
pub async fn count_rows(source: &dyn Store) -> Result<Vec<(Table, u64)>, TransferError> {
    let mut counts = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        let mut count = 0;
        let mut workspaces = Workspaces::of(source, At::Source);
        while let Some(workspace) = workspaces.next().await? {
            let counted = source.count_records(workspace, table).await;
            count += counted.map_err(At::Source.failed(table.name()))?;
        }
        counts.push((table, count));
    }
    Ok(counts)
}
