//! A language model that is slow in a known way: it writes always the same text, a word at a
//! time, and its server's log says how often it was asked.

use std::time::Duration;

use quaestor_model_server::{Answer, ModelServer, Operation, Reply};

/// A server of the model. It ends with the value.
pub(crate) struct Model {
    base_url: String,
    text: String,
    server: ModelServer,
}

impl Model {
    /// A model whose answers have so many words, one every so often.
    pub(crate) async fn start(words: usize, every: Duration) -> Self {
        let answer = Answer::words(words).every(every);
        let text = answer.text();
        let server = ModelServer::answering(move |request| match request.operation {
            Operation::Chat => Reply::answer(answer.clone()),
            _ => Reply::sensible(request),
        })
        .await;
        Self { base_url: server.openai_url(), text, server }
    }

    /// What names it to a process.
    pub(crate) fn environment(&self) -> [(&str, &str); 3] {
        [
            ("QUAESTOR_CHAT", "openai:slow"),
            ("OPENAI_BASE_URL", &self.base_url),
            ("OPENAI_API_KEY", "sk-none"),
        ]
    }

    /// The text of every answer.
    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }

    /// How many answers were begun.
    pub(crate) fn answers(&self) -> usize {
        self.server.calls_of(Operation::Chat).len()
    }

    /// Waits until so many answers were begun, and so many words said in all of them.
    pub(crate) async fn wait_for(&self, answers: usize, words: u64) {
        let said = |calls: &[quaestor_model_server::Call]| {
            calls.iter().map(|call| call.output_tokens).sum::<u64>()
        };
        self.server.wait_for(|calls| calls.len() >= answers && said(calls) >= words).await;
    }
}
