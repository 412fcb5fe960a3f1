//! How each interface tells answers, vectors and scores.

mod anthropic;
mod openai;

use serde_json::{Value, json};

use crate::reply::{Answer, Content, Finish, Reply};
use crate::request::{Operation, Request, Wire};
use crate::steps::{Step, cut, damaged};
use crate::vectors::score;

/// The header of a request's id.
pub(crate) fn id_headers(wire: Wire) -> &'static [&'static str] {
    match wire {
        Wire::OpenAi => &["x-request-id"],
        Wire::Azure => &["apim-request-id", "x-request-id"],
        Wire::Anthropic => &["request-id"],
        Wire::Cohere => &["x-request-id"],
    }
}

/// The type of the body, and the steps that send it.
pub(crate) fn body(reply: Reply, request: &Request) -> (String, Vec<Step>) {
    let json_type = || "application/json".to_owned();
    let whole = |value: &Value| vec![Step::Bytes(value.to_string().into_bytes())];
    let (content_type, steps) = match reply.content {
        Content::Answer(answer) if request.operation == Operation::Chat && request.streams() => {
            let steps = match request.wire {
                Wire::Anthropic => anthropic::stream(&answer, request),
                _ => openai::stream(&answer, request),
            };
            ("text/event-stream".to_owned(), steps)
        }
        Content::Answer(answer) => {
            let value = match request.wire {
                Wire::Anthropic => anthropic::whole(&answer, request),
                _ => openai::whole(&answer, request),
            };
            let mut steps = waits(&answer);
            // A body that comes at once carries its usage, and all of its tokens are billed.
            steps.extend(answer.tokens.iter().map(|_| Step::Token(Vec::new())));
            let bytes = value.to_string().into_bytes();
            steps.push(if answer.usage { Step::Usage(bytes) } else { Step::Bytes(bytes) });
            (json_type(), steps)
        }
        Content::Vectors(vectors) => {
            let value = openai::vectors(vectors, request);
            (json_type(), vec![Step::Usage(value.to_string().into_bytes())])
        }
        Content::Scores(scores) => (json_type(), whole(&scored(scores, request))),
        Content::Json(value) => (json_type(), whole(&value)),
        Content::Raw { content_type, steps } => (content_type, steps),
        Content::Nothing(how) => (String::new(), vec![Step::End(how)]),
    };
    let steps = damaged(steps, &reply.damage);
    let steps = match reply.cut {
        Some(there) => cut(steps, there),
        None => steps,
    };
    (content_type, steps)
}

/// How long the whole of an answer takes to be written.
fn waits(answer: &Answer) -> Vec<Step> {
    let later = u32::try_from(answer.tokens.len().saturating_sub(1)).unwrap_or(u32::MAX);
    vec![Step::Wait(answer.first + answer.between * later)]
}

/// The steps of the tokens with what lies between them, up to an error if there is one.
/// Second is whether the answer goes on to its end.
fn tokens(answer: &Answer, frame: impl Fn(&str) -> String, error: &str) -> (Vec<Step>, bool) {
    let mut steps = Vec::new();
    for (number, token) in answer.tokens.iter().enumerate() {
        if matches!(answer.error, Some((after, _)) if after == number) {
            break;
        }
        let wait = if number == 0 { answer.first } else { answer.between };
        if !wait.is_zero() {
            steps.push(Step::Wait(wait));
        }
        steps.push(Step::Token(frame(token).into_bytes()));
    }
    if answer.error.is_some() {
        steps.push(Step::Bytes(error.as_bytes().to_vec()));
        return (steps, false);
    }
    if answer.endless {
        steps.push(Step::Again(0));
        return (steps, false);
    }
    (steps, true)
}

/// Scores as Cohere tells them: best first, each with the place of its passage.
fn scored(scores: Option<Vec<f32>>, request: &Request) -> Value {
    let query = request.body["query"].as_str().unwrap_or_default();
    let scores = scores
        .unwrap_or_else(|| request.texts().iter().map(|passage| score(query, passage)).collect());
    let mut results: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
    results.sort_by(|a, b| b.1.total_cmp(&a.1));
    if let Some(top) = request.body["top_n"].as_u64() {
        results.truncate(usize::try_from(top).unwrap_or(usize::MAX));
    }
    let results: Vec<Value> = results
        .into_iter()
        .map(|(index, score)| json!({"index": index, "relevance_score": score}))
        .collect();
    json!({"id": "rerank-1", "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}})
}

/// Whether a reason is sent.
fn told(finish: Finish) -> bool {
    finish != Finish::Missing
}
