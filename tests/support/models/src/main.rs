//! The server of models as a program: `quaestor-model-server 127.0.0.1:PORT [WORDS [MS]]`.
//!
//! Every chat gets so many words, one every so many milliseconds; vectors and scores are
//! made from the words of the texts.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use quaestor_model_server::{Answer, ModelServer, Operation, Reply};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .context("usage: quaestor-model-server ADDRESS:PORT [WORDS [MILLISECONDS]]")?;
    let mut number = |otherwise: u64| match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("{text} is no number")),
        None => Ok(otherwise),
    };
    let (words, every) = (number(40)?, Duration::from_millis(number(25)?));
    let words = usize::try_from(words)?;
    let server = ModelServer::start_at(&address)
        .await
        .with_context(|| format!("could not listen on {address}"))?;
    server.respond(move |request| match request.operation {
        Operation::Chat => Reply::answer(Answer::words(words).every(every)),
        _ => Reply::sensible(request),
    });
    writeln!(std::io::stderr(), "model-server: serves at {}", server.url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}
