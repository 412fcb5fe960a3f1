//! `quaestor audit`: is the audit log what it was?

use quaestor_core::audit::{ChainBreak, Seal};
use serde::Deserialize;
use serde_json::json;

use super::args::{AuditAction, KeptLink};
use super::{Client, Connection, Ended, Style, Terminal, client};

/// So many links are asked for at a time.
const LINKS: u32 = 5_000;
/// So many breaks are printed; the rest is counted.
const SHOWN: usize = 50;

/// What the server says of a piece of the chain.
#[derive(Debug, Deserialize)]
struct Checked {
    links: u64,
    last: Option<Seal>,
    breaks: Vec<ChainBreak>,
    head: Option<Seal>,
    unsealed: u64,
    next: Option<u64>,
}

/// What came of all pieces together.
#[derive(Debug, Default)]
struct Whole {
    links: u64,
    breaks: Vec<ChainBreak>,
    head: Option<Seal>,
    unsealed: u64,
    /// Kept links that are not there, or are others.
    lost: Vec<KeptLink>,
}

/// Runs one of the actions.
pub(super) async fn run(
    connection: &Connection,
    action: AuditAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let AuditAction::Verify { kept, json } = action;
    let client = client(connection)?;
    let mut whole = verify(&client).await?;
    for link in kept {
        let path = format!("/api/admin/audit/verify?after={}&limit=1", link.number - 1);
        let piece: Checked = client.get(&path, "the audit log").await?;
        let is_there =
            piece.last.is_some_and(|last| (last.number, last.hash) == (link.number, link.hash));
        if !is_there {
            whole.lost.push(link);
        }
    }
    let is_whole = whole.breaks.is_empty() && whole.lost.is_empty();
    if json {
        let lost: Vec<String> =
            whole.lost.iter().map(|link| format!("{}:{}", link.number, link.hash)).collect();
        terminal.line(
            &json!({
                "whole": is_whole,
                "links": whole.links,
                "breaks": whole.breaks,
                "lost": lost,
                "head": whole.head,
                "unsealed": whole.unsealed,
            })
            .to_string(),
        )?;
    } else {
        print(&whole, terminal)?;
    }
    Ok(if is_whole { Ended::Well } else { Ended::Badly })
}

/// Checks the chain piece by piece, to its end.
async fn verify(client: &Client) -> anyhow::Result<Whole> {
    let mut whole = Whole::default();
    let mut after = 0;
    loop {
        let path = format!("/api/admin/audit/verify?after={after}&limit={LINKS}");
        let piece: Checked = client.get(&path, "the audit log").await?;
        whole.links += piece.links;
        whole.breaks.extend(piece.breaks);
        whole.head = piece.head;
        whole.unsealed = piece.unsealed;
        match piece.next.filter(|next| *next > after) {
            Some(next) => after = next,
            None => return Ok(whole),
        }
    }
}

fn print(whole: &Whole, terminal: &Terminal) -> anyhow::Result<()> {
    for broken in whole.breaks.iter().take(SHOWN) {
        let place = match (broken.number, broken.entry_id) {
            (Some(number), Some(entry)) => format!("link {number}, entry {entry}"),
            (Some(number), None) => format!("link {number}"),
            (None, Some(entry)) => format!("entry {entry}"),
            (None, None) => "the chain".to_owned(),
        };
        let mark = terminal.paint(Style::Red, "broken");
        terminal.line(&format!("{mark}  {place}: {}", broken.kind.sentence()))?;
    }
    if whole.breaks.len() > SHOWN {
        terminal.line(&format!("… and {} more", whole.breaks.len() - SHOWN))?;
    }
    for link in &whole.lost {
        let mark = terminal.paint(Style::Red, "broken");
        terminal.line(&format!(
            "{mark}  link {} is not the one that was kept: the chain was made anew",
            link.number
        ))?;
    }
    let state = if whole.breaks.is_empty() && whole.lost.is_empty() {
        terminal.paint(Style::Green, "whole")
    } else {
        terminal.paint(Style::Red, "broken")
    };
    terminal.line(&format!(
        "{state}: {} links were checked, {} entries are not sealed yet",
        whole.links, whole.unsealed
    ))?;
    if let Some(head) = &whole.head {
        terminal.line(&format!("it ends with {}:{}", head.number, head.hash))?;
        terminal.note("Keep that line elsewhere, and check it later with --kept.")?;
    }
    Ok(())
}
