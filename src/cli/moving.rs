//! `quaestor move`: takes an installation from one process to services, and back.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::ports::store::Table;
use quaestor_core::transfer::Told;
use serde_json::json;

use super::args::{MoveArguments, MoveTo};
use super::{Ended, Style, Terminal, settings, size};
use crate::app::{self, MoveReport, MoveRequest, Moving, To};

/// Moves, or says what would be moved.
pub(super) async fn run(arguments: MoveArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let settings = settings(&arguments.file)?;
    super::logging::start(&settings.config.log)?;
    let to = match arguments.to {
        MoveTo::Embedded => To::Embedded,
        MoveTo::Distributed => To::Distributed,
    };
    let request = MoveRequest {
        to,
        replace: arguments.replace,
        embedded_database: arguments.embedded_database,
        embedded_objects: arguments.embedded_objects,
    };
    if arguments.undo {
        let done = app::undo_move(&settings, &request, arguments.target_is_gone).await?;
        terminal.line(&done)?;
        return Ok(Ended::Well);
    }
    let clock = SystemClock;
    let began = clock.now();
    // With --json, standard output is the one object at the end.
    let say = |text: &str| {
        if arguments.json { terminal.note(text) } else { terminal.line(text) }
    };
    let bar = spinner();
    let begin = |moving: &Moving| -> anyhow::Result<bool> {
        say(&format!("from  {}", moving.from))?;
        say(&format!("to    {}", moving.to))?;
        if arguments.dry_run {
            plan(moving, &say)?;
        }
        Ok(!arguments.dry_run)
    };
    let tell = |told: Told| {
        let line = match told {
            Told::Copying(table, rows) => {
                return bar.set_message(told_rows("copying", table, rows));
            }
            Told::Checking(table, rows) => {
                return bar.set_message(told_rows("checking", table, rows));
            }
            Told::Files(files) => {
                let told = format!("files {}, {}", count(files.files), size(files.bytes));
                return bar.set_message(told);
            }
            Told::Copied(table, rows) => told_rows("copied", table, rows),
            Told::Checked(table, rows) => told_rows("checked", table, rows),
        };
        // A terminal that is gone does not stop a move.
        bar.suspend(|| {
            let _ = say(&line);
        });
    };
    let report = app::move_installation(&settings, &request, &begin, &tell).await;
    bar.finish_and_clear();
    let Some(report) = report? else { return Ok(Ended::Well) };
    let took = (clock.now() - began).to_std().unwrap_or_default();
    if arguments.json {
        terminal.line(&as_json(&report, took))?;
    } else {
        summary(&report, took, to, terminal)?;
    }
    Ok(Ended::Well)
}

pub(super) fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
    bar.with_style(style)
}

pub(super) fn told_rows(verb: &str, table: Table, rows: u64) -> String {
    format!("{verb:<9} {:<17} {:>12}", table.name(), count(rows))
}

/// A number with its thousands set apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plan(moving: &Moving, say: &dyn Fn(&str) -> std::io::Result<()>) -> std::io::Result<()> {
    for (table, rows) in &moving.rows {
        say(&told_rows("to move", *table, *rows))?;
    }
    say(if moving.files_stay {
        "the files stay where they are: both sides name the same place"
    } else {
        "and every file that a version of a document names"
    })?;
    say("nothing was moved: this was a dry run, and nothing is in the way")
}

fn summary(report: &MoveReport, took: Duration, to: To, terminal: &Terminal) -> anyhow::Result<()> {
    let mark = terminal.paint(Style::Green, "moved");
    let files = if report.files.files == 1 { "file" } else { "files" };
    terminal.line(&format!(
        "{mark} {} rows and {} {files} ({}) in {:.1} s; all were compared with the source",
        count(report.rows),
        count(report.files.files),
        size(report.files.bytes),
        took.as_secs_f64()
    ))?;
    for one in &report.excused {
        terminal.line(&format!("left out, as its document failed: {one}"))?;
    }
    terminal.line("event logs, rate limits and tickets are not moved: they are of a moment")?;
    terminal.line(match to {
        To::Distributed => {
            "next: set QUAESTOR_QUEUE_URL, QUAESTOR_QUEUE_MANAGEMENT_URL and QUAESTOR_EVENTS_URL, \
             run `quaestor topology apply`, then `quaestor front` and `quaestor worker`"
        }
        To::Embedded => {
            "next: unset QUAESTOR_DATABASE_URL, QUAESTOR_OBJECTS_URL, QUAESTOR_QUEUE_URL and \
             QUAESTOR_EVENTS_URL, then run `quaestor serve`"
        }
    })?;
    terminal.line("the former place is kept, and no longer starts: remove it when all is well")?;
    Ok(())
}

fn as_json(report: &MoveReport, took: Duration) -> String {
    json!({
        "rows": report.rows,
        "files": report.files.files,
        "bytes": report.files.bytes,
        "left_out": report.excused.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "seconds": took.as_secs_f64(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1_000, 12_345, 1_234_567].map(count),
            ["0", "999", "1,000", "12,345", "1,234,567"]
        );
    }
}
