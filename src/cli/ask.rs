//! `quaestor ask`: a question, its answer as it is written, and what it rests on.

use anyhow::Context;
use quaestor_core::events::Event;
use quaestor_core::ids::{CollectionId, ConversationId, JobId};
use quaestor_core::model::{
    Citation, Collection, Conversation, Derivation, DerivationKind, Figure, FigureReason,
    FigureStatus, Message, MessageState,
};
use serde_json::json;

use super::args::AskArguments;
use super::client::{AcceptedQuestion, Heard};
use super::terminal::plain;
use super::{Client, Ended, Style, Terminal, client};

/// Longer quotes are cut where they are shown to people; `--json` has them whole.
const MAX_QUOTE_CHARS: usize = 480;

/// An answer as the server has stored it, with the job that wrote it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The stored answer.
    pub message: Message,
    /// The job.
    pub job_id: JobId,
}

/// Runs the command.
pub(super) async fn run(arguments: AskArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let client = client(&arguments.connection)?;
    let conversation = match arguments.conversation {
        Some(id) => id,
        None => begin(&client, &arguments.collection).await?,
    };
    // Text that was shown cannot be taken back from a pipe, where it may have to be.
    let live = terminal.is_live() && !arguments.json;
    let answered =
        ask_once(&client, conversation, &arguments.question, live.then_some(terminal)).await?;
    if arguments.json {
        print_json(&arguments.question, &answered, terminal)?;
    } else {
        if !live {
            terminal.paragraph("", &plain(&answered.message.content))?;
        }
        print_answer(&answered.message, terminal)?;
        let again = format!("conversation {conversation}; go on with --conversation");
        terminal.note(&terminal.paint(Style::Dim, &again))?;
    }
    let whole = answered.message.state == MessageState::Done;
    Ok(if whole { Ended::Well } else { Ended::Badly })
}

/// Begins a conversation over the named collections; over all where none is named.
async fn begin(client: &Client, names: &[String]) -> anyhow::Result<ConversationId> {
    let mut body = json!({});
    if !names.is_empty() {
        let all: Vec<Collection> =
            client.list("/api/collections", usize::MAX, "the list of collections").await?;
        let mut ids: Vec<CollectionId> = Vec::new();
        for name in names {
            let found = all.iter().find(|collection| collection.name == *name);
            let found = found.with_context(|| {
                let known: Vec<&str> = all.iter().map(|c| c.name.as_str()).take(10).collect();
                format!("there is no collection named `{name}`; there is: {}", known.join(", "))
            })?;
            ids.push(found.id);
        }
        body["collection_ids"] = json!(ids);
    }
    let conversation: Conversation =
        client.post_once("/api/conversations", &body, "beginning a conversation").await?;
    Ok(conversation.id)
}

/// Asks and waits for the whole answer, which is shown as it is written where a terminal
/// is given.
pub async fn ask_once(
    client: &Client,
    conversation: ConversationId,
    question: &str,
    shown: Option<&Terminal>,
) -> anyhow::Result<Answered> {
    let path = format!("/api/conversations/{conversation}/messages");
    let what = format!("conversation {conversation}");
    let accepted: AcceptedQuestion =
        client.post(&path, &json!({ "content": question }), &what).await?;
    let mut written = String::new();
    client
        .follow(accepted.job_id)
        .until_end::<anyhow::Error>(|heard| {
            let Heard::Event(_, event) = heard else { return Ok(()) };
            match *event {
                Event::Token { text } => {
                    if let Some(terminal) = shown {
                        terminal.piece(&plain(&text))?;
                    }
                    written.push_str(&text);
                }
                Event::Restarted { .. } if !written.is_empty() => {
                    if let Some(terminal) = shown {
                        let note = "(interrupted; the answer is written again)";
                        terminal.line("")?;
                        terminal.line(&terminal.paint(Style::Yellow, note))?;
                    }
                    written.clear();
                }
                _ => {}
            }
            Ok(())
        })
        .await?;
    // The stored answer is the truth, whatever the stream has brought.
    let messages: Vec<Message> = client.list(&path, usize::MAX, &what).await?;
    let message = messages
        .into_iter()
        .find(|message| message.id == accepted.answer_id)
        .with_context(|| format!("the server no longer has the answer {}", accepted.answer_id))?;
    if let Some(terminal) = shown {
        if !written.is_empty() {
            terminal.line("")?;
        }
        if written != message.content {
            terminal.paragraph("", &plain(&message.content))?;
        }
    }
    Ok(Answered { message, job_id: accepted.job_id })
}

/// Prints what an answer rests on: citations, computed figures, and figures that nothing
/// supports.
pub fn print_answer(message: &Message, terminal: &Terminal) -> anyhow::Result<()> {
    if let Some(problem) = &message.error {
        let mark = terminal.paint(Style::Red, "no answer:");
        terminal.line(&format!("{mark} {}", plain(&problem.to_string())))?;
    }
    if message.state == MessageState::Cancelled {
        terminal.line(&terminal.paint(Style::Yellow, "the answer was cancelled"))?;
    }
    if !message.citations.is_empty() {
        terminal.line("")?;
    }
    for citation in &message.citations {
        let mark = format!("[{}]", citation.ordinal);
        terminal.line(&format!(
            "{} {}",
            terminal.paint(Style::Cyan, &mark),
            terminal.paint(Style::Bold, &place(citation))
        ))?;
        let quote = shortened(plain(&citation.quote).trim());
        terminal.paragraph("    ", &format!("\u{201c}{quote}\u{201d}"))?;
    }
    print_figures(&message.figures, terminal)?;
    if let Some(model) = &message.model {
        terminal.line(&terminal.paint(Style::Dim, &format!("answered by {}", plain(model))))?;
    }
    Ok(())
}

/// Where a citation points: `report.pdf, page 4` or `holdings.xlsx, Holdings!B7`.
fn place(citation: &Citation) -> String {
    let mut place = citation.filename.clone();
    match (&citation.cell, citation.page) {
        (Some(cell), _) => place.push_str(&format!(", {cell}")),
        (None, Some(page)) => place.push_str(&format!(", page {page}")),
        (None, None) => {
            if let Some(section) = &citation.section {
                place.push_str(&format!(", {section}"));
            }
        }
    }
    plain(&place)
}

/// A quote as it is shown: a whole table would push the answer off the screen.
fn shortened(quote: &str) -> String {
    match quote.char_indices().nth(MAX_QUOTE_CHARS) {
        Some((end, _)) => format!("{} \u{2026}", quote[..end].trim_end()),
        None => quote.to_owned(),
    }
}

/// Prints how figures were computed, and which of them nothing supports and why.
fn print_figures(figures: &[Figure], terminal: &Terminal) -> anyhow::Result<()> {
    let computed = figures.iter().filter_map(|figure| Some((figure, figure.derivation.as_ref()?)));
    let lines: Vec<String> = computed
        .map(|(figure, derivation)| {
            format!("{} = {}", plain(&figure.text), computation(derivation))
        })
        .collect();
    for (n, line) in lines.iter().enumerate() {
        if !lines[..n].contains(line) {
            terminal.line(&format!("{} {line}", terminal.paint(Style::Cyan, "computed:")))?;
        }
    }
    let mut loose: Vec<String> = Vec::new();
    for figure in figures.iter().filter(|figure| figure.status == FigureStatus::Unsupported) {
        let text = plain(&figure.text);
        let line = match figure.reason {
            Some(FigureReason::NotFound) | None => text,
            Some(reason) => format!("{text} ({})", reason.as_sentence()),
        };
        if !loose.contains(&line) {
            loose.push(line);
        }
    }
    if !loose.is_empty() {
        let mark = terminal.paint(Style::Yellow, "not found in the cited passages:");
        terminal.line(&format!("{mark} {}", loose.join(", ")))?;
    }
    Ok(())
}

/// A computation as people write it: `(82,959 [1] − 81,434 [1]) / 81,434 [1]`.
fn computation(derivation: &Derivation) -> String {
    let operands: Vec<String> = derivation
        .operands
        .iter()
        .map(|operand| format!("{} [{}]", plain(&operand.text), operand.ordinal))
        .collect();
    match (derivation.kind, operands.as_slice()) {
        (DerivationKind::Difference, [new, old]) => format!("{new} \u{2212} {old}"),
        (DerivationKind::Growth, [new, old]) => format!("({new} \u{2212} {old}) / {old}"),
        (DerivationKind::Ratio, [over, under]) => format!("{over} / {under}"),
        (DerivationKind::Average, all) => format!("({}) / {}", all.join(" + "), all.len()),
        (_, all) => all.join(" + "),
    }
}

fn print_json(question: &str, answered: &Answered, terminal: &Terminal) -> anyhow::Result<()> {
    let message = &answered.message;
    let mut object = json!({
        "question": question,
        "answer": message.content,
        "citations": message.citations,
        "figures": message.figures,
        "model": message.model,
        "conversation_id": message.conversation_id,
        "job_id": answered.job_id,
        "usage": message.usage,
        "state": message.state,
    });
    if let Some(problem) = &message.error {
        object["error"] = json!(problem);
    }
    terminal.line(&object.to_string())?;
    Ok(())
}
