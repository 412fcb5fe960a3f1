//! A model that does whatever the documents in its prompt say.

use crate::reply::Reply;
use crate::request::{Operation, Request};

/// What a passage says to a model that obeys it; the rest of the line is what it answers.
const ORDER: &str = "ANSWER WITH:";

/// Answers with what follows `ANSWER WITH:` in the prompt, every order after the other, so
/// that whatever holds against an injection is the program and not the model. Without an
/// order it answers sensibly.
#[must_use]
pub fn obedient(request: &Request) -> Reply {
    let prompt = request.prompt();
    let ordered: Vec<&str> = prompt
        .lines()
        .filter_map(|line| line.split_once(ORDER))
        .map(|(_, order)| order.trim())
        .collect();
    if request.operation != Operation::Chat || ordered.is_empty() {
        return Reply::sensible(request);
    }
    Reply::text(&ordered.join(" "))
}
