//! The server of models as a program:
//! `quaestor-model-server 127.0.0.1:PORT [WORDS [MS [TEXT_US]]]`.
//!
//! Every chat gets so many words, one every so many milliseconds; vectors and scores are
//! made from the words of the texts, vectors so many microseconds for each text later.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use quaestor_model_server::{Answer, ModelServer, Operation, Reply, Request};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().context(
        "usage: quaestor-model-server ADDRESS:PORT [WORDS [MILLISECONDS [TEXT_MICROSECONDS]]]",
    )?;
    let mut number = |otherwise: u64| match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("{text} is no number")),
        None => Ok(otherwise),
    };
    let (words, every) = (number(40)?, Duration::from_millis(number(25)?));
    let (words, text_us) = (usize::try_from(words)?, number(0)?);
    let server = ModelServer::start_at(&address)
        .await
        .with_context(|| format!("could not listen on {address}"))?;
    server.respond(move |request| match request.operation {
        Operation::Chat => Reply::answer(Answer::words(words).every(every)),
        Operation::Embed => {
            let wait = Duration::from_micros(text_us.saturating_mul(texts(request)));
            Reply::sensible(request).after(wait)
        }
        _ => Reply::sensible(request),
    });
    writeln!(std::io::stderr(), "model-server: serves at {}", server.url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// How many texts a request asks vectors of.
fn texts(request: &Request) -> u64 {
    request.body["input"].as_array().map_or(1, |texts| texts.len() as u64)
}
