//! `quaestor backup` and `quaestor restore`: an installation as one encrypted bundle, and back.

use std::time::Duration;

use quaestor_core::bundle::{Header, Trailer};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::transfer::Told;
use serde_json::json;

use super::args::{BackupAction, BackupArguments, BundleArguments, RestoreArguments};
use super::moving::{count, spinner, told_rows};
use super::{Ended, Style, Terminal, settings, size};
use crate::app::{self, BackupReport, BackupRequest, FoundBundle, RestoreReport, RestoreRequest};

/// Makes a backup, or looks at those there are.
pub(super) async fn run(arguments: BackupArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    match arguments.action {
        None => make(arguments, terminal).await,
        Some(BackupAction::List { file, from, json }) => {
            let settings = settings(&file)?;
            let (place, kept) = app::list_backups(&settings.config, from.as_deref()).await?;
            for bundle in kept.iter().rev() {
                let name = bundle.name.to_string();
                if json {
                    let at = bundle.name.at;
                    let line = json!({"name": name, "at": at, "size_bytes": bundle.size_bytes});
                    terminal.line(&line.to_string())?;
                } else {
                    let at = bundle.name.at.format("%F %R UTC");
                    terminal.line(&format!("{name}  {at}  {:>10}", size(bundle.size_bytes)))?;
                }
            }
            if kept.is_empty() && !json {
                terminal.note(&format!("there are no backups at {place}"))?;
            }
            Ok(Ended::Well)
        }
        Some(BackupAction::Verify { file, bundle }) => {
            let settings = settings(&file)?;
            super::logging::start(&settings.config.log)?;
            let watch = Watch::begin(terminal, bundle.json);
            let begin = |found: &FoundBundle| watch.found(found);
            let (request, tell) = (request(&bundle), |told| watch.tell(told));
            let report = app::verify_backup(&settings, &request, &begin, &tell).await;
            watch.end();
            restored(&report?, &watch, "whole", terminal)
        }
    }
}

/// Restores a bundle.
pub(super) async fn restore(
    arguments: RestoreArguments,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let settings = settings(&arguments.file)?;
    super::logging::start(&settings.config.log)?;
    let watch = Watch::begin(terminal, arguments.bundle.json);
    let begin = |found: &FoundBundle| watch.found(found);
    let (request, tell) = (request(&arguments.bundle), |told| watch.tell(told));
    let report = app::restore(&settings, &request, &begin, &tell).await;
    watch.end();
    let ended = restored(&report?, &watch, "restored", terminal)?;
    if !arguments.bundle.json {
        terminal.line("what ran when the backup was made is queued again, as after a crash")?;
        terminal.line(
            "the configuration is no part of a backup: it, its secrets and the models are as they \
             are here",
        )?;
    }
    Ok(ended)
}

fn request(bundle: &BundleArguments) -> RestoreRequest {
    RestoreRequest {
        bundle: bundle.bundle.clone(),
        from: bundle.from.clone(),
        identity: bundle.identity.clone(),
        unencrypted: bundle.unencrypted,
    }
}

async fn make(arguments: BackupArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let settings = settings(&arguments.file)?;
    super::logging::start(&settings.config.log)?;
    let request = BackupRequest { to: arguments.to, unencrypted: arguments.unencrypted };
    let watch = Watch::begin(terminal, arguments.json);
    let report = app::back_up(&settings, &request, &|told| watch.tell(told)).await;
    watch.end();
    let report = report?;
    if arguments.json {
        terminal.line(&as_json(&report, watch.took()))?;
    } else {
        told(&report, watch.took(), terminal)?;
    }
    Ok(if report.damaged == 0 { Ended::Well } else { Ended::Badly })
}

/// Tells how far it is, as `quaestor move` does.
struct Watch<'a> {
    terminal: &'a Terminal,
    json: bool,
    bar: indicatif::ProgressBar,
    began: quaestor_core::clock::Time,
}

impl<'a> Watch<'a> {
    fn begin(terminal: &'a Terminal, json: bool) -> Self {
        Self { terminal, json, bar: spinner(), began: SystemClock.now() }
    }

    /// With --json, standard output is the one object at the end.
    fn say(&self, text: &str) -> std::io::Result<()> {
        if self.json { self.terminal.note(text) } else { self.terminal.line(text) }
    }

    fn found(&self, found: &FoundBundle) -> anyhow::Result<()> {
        let header = &found.header;
        let at = header.created_at.format("%F %T UTC");
        self.say(&format!("from  {}", found.called))?;
        self.say(&format!("of    {at}, {}, Quaestor {}", header.store, header.product))?;
        if let Some(to) = &found.to {
            self.say(&format!("to    {to}"))?;
        }
        Ok(())
    }

    fn tell(&self, told: Told) {
        let line = match told {
            Told::Copying(table, rows) => {
                return self.bar.set_message(told_rows("copying", table, rows));
            }
            Told::Checking(table, rows) => {
                return self.bar.set_message(told_rows("checking", table, rows));
            }
            Told::Files(files) => {
                let told = format!("files {}, {}", count(files.files), size(files.bytes));
                return self.bar.set_message(told);
            }
            Told::Copied(table, rows) => told_rows("copied", table, rows),
            Told::Checked(table, rows) => told_rows("checked", table, rows),
        };
        // A terminal that is gone does not stop the work.
        self.bar.suspend(|| {
            let _ = self.say(&line);
        });
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn took(&self) -> Duration {
        (SystemClock.now() - self.began).to_std().unwrap_or_default()
    }
}

fn files_of(files: u64, bytes: u64) -> String {
    let noun = if files == 1 { "file" } else { "files" };
    format!("{} {noun} ({})", count(files), size(bytes))
}

fn told(report: &BackupReport, took: Duration, terminal: &Terminal) -> anyhow::Result<()> {
    let mark = terminal.paint(Style::Green, "kept");
    terminal.line(&format!(
        "{mark} {} ({}) at {}: {} rows and {} in {:.1} s",
        report.name,
        size(report.size_bytes),
        report.place,
        count(report.rows),
        files_of(report.files.files, report.files.bytes),
        took.as_secs_f64()
    ))?;
    if report.deleted > 0 {
        terminal.line(&format!("deleted while it was made: {}", count(report.deleted)))?;
    }
    missing(report.damaged, report.named.iter().map(ToString::to_string), terminal)
}

fn missing(
    damaged: u64,
    named: impl Iterator<Item = String>,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    if damaged > 0 {
        let mark = terminal.paint(Style::Red, "missing:");
        terminal.line(&format!("{mark} {} files were lost before", count(damaged)))?;
    }
    for one in named {
        terminal.line(&format!("  {one}"))?;
    }
    Ok(())
}

fn as_json(report: &BackupReport, took: Duration) -> String {
    json!({
        "name": report.name,
        "place": report.place,
        "size_bytes": report.size_bytes,
        "rows": report.rows,
        "files": report.files.files,
        "bytes": report.files.bytes,
        "deleted": report.deleted,
        "damaged": report.damaged,
        "damaged_files": report.named.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "seconds": took.as_secs_f64(),
    })
    .to_string()
}

fn restored(
    report: &RestoreReport,
    watch: &Watch<'_>,
    word: &str,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let (header, restored) = (&report.header, &report.restored);
    let (trailer, took) = (&restored.trailer, watch.took());
    let rows: u64 = trailer.tables.iter().map(|table| table.records).sum();
    if watch.json {
        let damaged = restored.damaged.iter().map(ToString::to_string);
        terminal.line(&restored_json(header, trailer, rows, &damaged.collect::<Vec<_>>(), took))?;
    } else {
        let mark = terminal.paint(Style::Green, word);
        let files = files_of(trailer.files.files, trailer.files.bytes);
        let (rows, took) = (count(rows), took.as_secs_f64());
        terminal.line(&format!("{mark}: {rows} rows and {files} in {took:.1} s"))?;
        let named = restored.damaged.iter().map(ToString::to_string);
        missing(trailer.files.damaged, named, terminal)?;
    }
    Ok(if trailer.files.damaged == 0 { Ended::Well } else { Ended::Badly })
}

fn restored_json(
    header: &Header,
    trailer: &Trailer,
    rows: u64,
    damaged: &[String],
    took: Duration,
) -> String {
    json!({
        "name": header.name,
        "created_at": header.created_at,
        "store": header.store,
        "product": header.product,
        "rows": rows,
        "tables": trailer.tables,
        "files": trailer.files.files,
        "bytes": trailer.files.bytes,
        "deleted": trailer.files.deleted,
        "damaged": trailer.files.damaged,
        "damaged_files": damaged,
        "seconds": took.as_secs_f64(),
    })
    .to_string()
}
