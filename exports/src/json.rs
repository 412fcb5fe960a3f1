//! JSON: messages as the interface gives them, tables as rows, streamed.

use quaestor_core::problem::Problem;
use serde::Serialize;

use crate::part::{About, Part};
use crate::render::{Render, out_of_order};

/// Writes JSON.
#[derive(Debug, Default)]
pub(crate) struct Json {
    items: u64,
    in_table: bool,
    rows: u64,
}

impl Render for Json {
    fn part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Problem> {
        match part {
            Part::Cover(cover) => {
                out.extend_from_slice(b"{\"export\":");
                write(&cover, out)?;
                out.extend_from_slice(match cover.about {
                    About::Answers => b",\n\"turns\":[",
                    About::Tables => b",\n\"tables\":[",
                });
            }
            Part::Turn(turn) => {
                self.item(out);
                write(&turn, out)?;
            }
            Part::Table(table) => {
                self.end_table(out);
                self.item(out);
                out.extend_from_slice(b"{\"table\":");
                write(&table, out)?;
                out.extend_from_slice(b",\"rows\":[");
                (self.in_table, self.rows) = (true, 0);
            }
            Part::Rows(rows) => {
                for row in rows {
                    out.extend_from_slice(if self.rows > 0 { b",\n" } else { b"\n" });
                    self.rows += 1;
                    write(&row, out)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        self.end_table(out);
        out.extend_from_slice(b"\n]}\n");
        Ok(())
    }
}

impl Json {
    fn item(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.items > 0 { b",\n" } else { b"\n" });
        self.items += 1;
    }

    fn end_table(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.in_table) {
            out.extend_from_slice(b"]}");
        }
    }
}

fn write(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Problem> {
    serde_json::to_writer(out, value)
        .map_err(|error| out_of_order(&format!("a part cannot be written as JSON: {error}")))
}
