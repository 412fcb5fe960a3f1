//! `quaestor config`: what is in force, and who said so?

use serde_json::{Value, json};

use super::{ConfigFile, Ended, Style, Terminal, settings};

/// Prints every key with its value and where it comes from. Secrets were hidden when the
/// values were made.
pub(super) fn run(file: &ConfigFile, as_json: bool, terminal: &Terminal) -> anyhow::Result<Ended> {
    let settings = settings(file)?;
    if as_json {
        let all = json!({
            "keys": settings.in_force,
            "embedder": settings.embedder.to_string(),
            "warnings": settings.warnings,
        });
        terminal.line(&serde_json::to_string_pretty(&all)?)?;
        return Ok(Ended::Well);
    }
    let mut section = "";
    for row in &settings.in_force {
        let (above, name) = row.key.rsplit_once('.').unwrap_or(("", &row.key));
        if above != section {
            if !section.is_empty() {
                terminal.line("")?;
            }
            terminal.line(&terminal.paint(Style::Bold, &format!("[{above}]")))?;
            section = above;
        }
        let setting = match &row.value {
            Value::Null => format!("{name} is not set"),
            value => format!("{name} = {value}"),
        };
        let style = if row.origin == "default" { Style::Dim } else { Style::Green };
        terminal.line(&format!("{setting:<52} {}", terminal.paint(style, &row.origin)))?;
    }
    terminal.line("")?;
    terminal.line(&format!("vectors are made by: {}", settings.embedder))?;
    for warning in &settings.warnings {
        terminal.note(&format!("{} {warning}", terminal.paint(Style::Yellow, "warning:")))?;
    }
    Ok(Ended::Well)
}
