//! CSV: a record for each row of each table, all of the same length (RFC 4180).

use csv::WriterBuilder;
use quaestor_core::problem::Problem;

use crate::cell::harmless;
use crate::part::{Part, TableHead};
use crate::render::{Render, out_of_order};
use crate::text::{clean, line};

/// What stands before the cells of a row.
const NAMES: [&str; 7] = ["document", "version", "page", "cells", "section", "table", "row"];

/// Without it Excel takes the file for one of the system's old code page.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Writes CSV.
#[derive(Debug, Default)]
pub(crate) struct Csv {
    columns: usize,
    table: Option<TableHead>,
}

impl Render for Csv {
    fn part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Problem> {
        match part {
            Part::Cover(cover) => {
                self.columns = (cover.counts.columns as usize).max(1);
                out.extend_from_slice(BYTE_ORDER_MARK);
                let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
                names.extend((1..=self.columns).map(|number| format!("value_{number}")));
                write([names], out)
            }
            Part::Turn(_) => Err(out_of_order("answers are no tables")),
            Part::Table(table) => {
                let captions = table.captions.iter().map(|text| vec![text.clone()]);
                let lines = captions.map(|row| ("caption", row));
                let header = table.header.iter().map(|row| ("header", row.clone()));
                let rows: Vec<_> = lines.chain(header).collect();
                let records: Result<Vec<_>, _> =
                    rows.iter().map(|(kind, row)| self.record(&table, kind, row)).collect();
                self.table = Some(table);
                write(records?, out)
            }
            Part::Rows(rows) => {
                let Some(table) = &self.table else {
                    return Err(out_of_order("rows came before their table"));
                };
                let records: Result<Vec<_>, _> =
                    rows.iter().map(|row| self.record(table, "row", row)).collect();
                write(records?, out)
            }
        }
    }

    fn end(&mut self, _out: &mut Vec<u8>) -> Result<(), Problem> {
        Ok(())
    }
}

impl Csv {
    fn record(
        &self,
        table: &TableHead,
        kind: &str,
        row: &[String],
    ) -> Result<Vec<String>, Problem> {
        if row.len() > self.columns {
            return Err(out_of_order("a row is longer than the longest that was counted"));
        }
        let page = table.page.map(|page| page.to_string()).unwrap_or_default();
        let mut record = vec![
            harmless(&line(&table.filename)),
            table.version.to_string(),
            page,
            harmless(&line(table.cells.as_deref().unwrap_or_default())),
            harmless(&line(&table.section)),
            table.number.to_string(),
            kind.to_owned(),
        ];
        record.extend(row.iter().map(|cell| harmless(&clean(cell))));
        record.resize(NAMES.len() + self.columns, String::new());
        Ok(record)
    }
}

fn write(records: impl IntoIterator<Item = Vec<String>>, out: &mut Vec<u8>) -> Result<(), Problem> {
    let mut writer = WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
    for record in records {
        writer
            .write_record(&record)
            .map_err(|error| out_of_order(&format!("a row cannot be written: {error}")))?;
    }
    writer.flush().map_err(|error| out_of_order(&format!("a row cannot be written: {error}")))
}
