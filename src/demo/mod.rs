//! `quaestor demo`: the whole way, on documents of its own.

mod documents;
mod factsheet;
mod fund;
mod pdf;
mod report;
mod workbook;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use quaestor_core::clock::SystemClock;
use quaestor_core::ids::ConversationId;
use quaestor_core::model::{Conversation, Message, MessageState};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app;
use crate::cli::{
    Client, DemoArguments, Ended, Style, Terminal, Waiting, ask_once, ingest_files, logging, plain,
    print_answer, walk,
};
use crate::config::{Environment, Settings, Sources, load};
use crate::scratch::{Scratch, hex};
use quaestor_backends::entropy::OsEntropy;

pub use documents::{FACTSHEET, HOLDINGS, POLICY, REPORT, SampleDocument, sample_documents};

/// A question whose answer is known.
struct Question {
    text: &'static str,
    /// What the answer must contain.
    expected: &'static str,
    /// The file that it must cite.
    file: &'static str,
}

const QUESTIONS: [Question; 3] = [
    Question {
        text: "What was the NAV per share of Class I at 31 December 2025?",
        expected: "127.45",
        file: REPORT,
    },
    Question {
        text: "What is the market value of Alpenrail Holding AG?",
        expected: "12,336,000",
        file: HOLDINGS,
    },
    Question {
        text: "Within how many business days must a passive breach be corrected?",
        expected: "20 business days",
        file: POLICY,
    },
];

/// Runs the demonstration in a scratch folder and on a free port.
pub(crate) async fn run(arguments: DemoArguments, terminal: &Terminal) -> anyhow::Result<Ended> {
    let scratch = Scratch::new("demo", arguments.keep.as_deref(), &OsEntropy)?;
    let key = SecretString::from(hex(&OsEntropy));
    let settings = settings(&scratch, &key)?;
    logging::start(&settings.config.log)?;
    terminal.line(
        &terminal.paint(Style::Bold, "Quaestor, shown on four documents of a fictional fund"),
    )?;
    let folder = scratch.documents();
    std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
    documents::write_into(&folder)?;

    let listener = TcpListener::bind(settings.config.server.listen)
        .await
        .context("listening on a free port of this machine")?;
    let stop = CancellationToken::new();
    let server =
        app::start(&settings, app::Role::Serve, listener, app::Stopping::at_once(stop.clone()))
            .await?;
    let address = format!("http://{}", server.address);
    terminal.line(&format!("server     {address}, everything in this one process"))?;
    terminal.line(&format!("vectors    {}", settings.embedder))?;
    terminal.line(&format!("answers    {}", settings.config.models.chat))?;
    let client = Client::new(&address, Some(&key), Arc::new(SystemClock), Arc::new(OsEntropy))?;
    let shown = show(&client, &folder, terminal).await;
    // However it went, the server ends in order; its own error is the lesser news.
    stop.cancel();
    let stopped = server.finished().await;
    shown?;
    stopped.context("stopping the server")?;
    farewell(&scratch, terminal)?;
    Ok(Ended::Well)
}

/// The user's models, and nothing else of the user's: data, address and key are the
/// demonstration's own.
fn settings(scratch: &Scratch, key: &SecretString) -> anyhow::Result<Settings> {
    let environment = Environment::of_process();
    let mut settings = load(&Sources { environment, ..Sources::default() })?;
    let config = &mut settings.config;
    config.server.listen = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    config.server.admin_key = Some(key.clone());
    config.data = crate::config::Data { dir: scratch.data(), ..Default::default() };
    // The demonstration speaks for itself; what goes wrong still shows.
    "error".clone_into(&mut config.log.filter);
    Ok(settings)
}

async fn show(client: &Client, folder: &Path, terminal: &Terminal) -> anyhow::Result<()> {
    let collection = client.collection_or_new("demo").await?;
    let files = walk(&[folder.to_path_buf()])?;
    terminal.line("")?;
    for file in &files {
        let size = crate::cli::size(file.size_bytes);
        terminal.line(&format!("ingesting  {:<24} {size:>9}", file.name))?;
    }
    let ingested = ingest_files(client, collection.id, &files, Waiting::UntilSearchable).await?;
    ingested.print(terminal)?;
    anyhow::ensure!(
        ingested.failed.is_empty() && ingested.ready.len() == files.len(),
        "not every sample document became searchable"
    );
    for (index, question) in QUESTIONS.iter().enumerate() {
        terminal.line("")?;
        let asked = format!("{}. {}", index + 1, question.text);
        terminal.line(&terminal.paint(Style::Bold, &asked))?;
        // A conversation each: no question leans on the one before.
        let body = json!({ "collection_ids": [collection.id] });
        let conversation: Conversation =
            client.post_once("/api/conversations", &body, "beginning a conversation").await?;
        ask(client, conversation.id, question, terminal).await?;
    }
    Ok(())
}

async fn ask(
    client: &Client,
    conversation: ConversationId,
    question: &Question,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    let live = terminal.is_live();
    let answered = ask_once(client, conversation, question.text, live.then_some(terminal)).await?;
    if !live {
        terminal.paragraph("", &plain(&answered.message.content))?;
    }
    print_answer(&answered.message, terminal)?;
    check(&answered.message, question)
}

/// A demonstration that shows a wrong answer has failed, and says so.
fn check(answer: &Message, question: &Question) -> anyhow::Result<()> {
    anyhow::ensure!(
        answer.state == MessageState::Done,
        "there is no answer to {:?}",
        question.text
    );
    anyhow::ensure!(
        comparable(&answer.content).contains(&comparable(question.expected)),
        "the answer to {:?} does not hold {}",
        question.text,
        question.expected
    );
    anyhow::ensure!(
        answer.citations.iter().any(|citation| citation.filename == question.file),
        "the answer to {:?} does not cite {}",
        question.text,
        question.file
    );
    Ok(())
}

/// Text without what may be written one way or another: marks between thousands, line
/// breaks, capitals.
fn comparable(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|c| *c != ',').collect::<String>().to_lowercase())
        .collect();
    words.join(" ")
}

fn farewell(scratch: &Scratch, terminal: &Terminal) -> anyhow::Result<()> {
    terminal.line("")?;
    terminal.line(
        &terminal
            .paint(Style::Green, "Three questions, three right answers, each with its source."),
    )?;
    if let Some(kept) = scratch.kept() {
        terminal.line(&format!("The documents and the data are in {}.", kept.display()))?;
    }
    terminal.line("To go on with documents of your own:")?;
    let program = std::env::args().next().unwrap_or_else(|| "quaestor".to_owned());
    for (command, told) in [
        ("make run", "starts the server and prints your key, once"),
        ("export QUAESTOR_API_KEY=...", "the key, for the commands below"),
        (&format!("{program} ingest ~/reports"), "makes a folder searchable"),
        (&format!("{program} ask \"What is ...?\""), "answers with citations"),
    ] {
        terminal.line(&format!("  {command:<29} {}", terminal.paint(Style::Dim, told)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_however_they_are_grouped() {
        assert!(comparable("It is 12,336,000 EUR [1].").contains(&comparable("12336000")));
        assert!(comparable("within 20\nBusiness days").contains(&comparable("20 business days")));
    }
}
