//! Answers and vectors as OpenAI tells them, and Azure with it.

use serde_json::{Value, json};

use super::{tokens, told};
use crate::reply::{Answer, Finish, Vectors};
use crate::request::{Request, Wire};
use crate::steps::Step;
use crate::vectors::vector;

pub(super) fn stream(answer: &Answer, request: &Request) -> Vec<Step> {
    let chunk = |choices: Value| {
        let value = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
            "model": request.model, "system_fingerprint": null, "choices": choices,
        });
        format!("data: {value}\n\n")
    };
    let delta = |delta: Value, reason: Option<&str>| {
        if answer.no_choices {
            return chunk(json!([]));
        }
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]))
    };
    let mut steps = Vec::new();
    if request.wire == Wire::Azure {
        // Azure begins with what its filter thinks of the prompt, and no choice.
        let value = json!({"choices": [], "created": 0, "id": "", "model": "", "object": "",
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]});
        steps.push(Step::Bytes(format!("data: {value}\n\n").into_bytes()));
    }
    steps.push(Step::Bytes(delta(json!({"role": "assistant", "content": ""}), None).into_bytes()));
    let kind = answer.error.as_ref().map(|(_, kind)| kind.as_str()).unwrap_or_default();
    let error =
        json!({"error": {"type": kind, "code": kind, "message": "The fake server says no."}});
    let field = if answer.finish == Finish::Refusal { "refusal" } else { "content" };
    let frame = |token: &str| delta(json!({field: token}), None);
    let (written, goes_on) = tokens(answer, frame, &format!("data: {error}\n\n"));
    let begun = steps.len();
    steps.extend(written.into_iter().map(|step| match step {
        Step::Again(_) => Step::Again(begun),
        step => step,
    }));
    if !goes_on {
        return steps;
    }
    if told(answer.finish) {
        steps.push(Step::Bytes(delta(json!({}), Some(reason(answer.finish))).into_bytes()));
    }
    if answer.usage && request.wants_usage() {
        let value = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk",
            "choices": [], "usage": usage(answer, request)});
        steps.push(Step::Usage(format!("data: {value}\n\n").into_bytes()));
    }
    steps.push(Step::Bytes(b"data: [DONE]\n\n".to_vec()));
    steps
}

pub(super) fn whole(answer: &Answer, request: &Request) -> Value {
    let field = if answer.finish == Finish::Refusal { "refusal" } else { "content" };
    let choice = json!({"index": 0, "message": {"role": "assistant", field: answer.text()},
        "finish_reason": reason(answer.finish)});
    let choices = if answer.no_choices { json!([]) } else { json!([choice]) };
    let mut value = json!({"id": "chatcmpl-1", "object": "chat.completion",
        "model": request.model, "choices": choices});
    if answer.usage {
        value["usage"] = usage(answer, request);
    }
    value
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Refusal | Finish::Missing => "stop",
        Finish::Length => "length",
        Finish::Filter => "content_filter",
    }
}

fn usage(answer: &Answer, request: &Request) -> Value {
    let (input, output) = (request.tokens(), answer.tokens.len() as u64);
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0}})
}

pub(super) fn vectors(vectors: Vectors, request: &Request) -> Value {
    let (Vectors::Good(length)
    | Vectors::Reordered(length)
    | Vectors::OneFewer(length)
    | Vectors::SameIndex(length)
    | Vectors::NotANumber(length)
    | Vectors::Zero(length)) = vectors;
    let mut data: Vec<Value> = request
        .texts()
        .iter()
        .enumerate()
        .map(|(index, text)| {
            json!({"object": "embedding", "index": index, "embedding": vector(text, length)})
        })
        .collect();
    match vectors {
        Vectors::Good(_) => {}
        Vectors::Reordered(_) => data.reverse(),
        Vectors::OneFewer(_) => drop(data.pop()),
        Vectors::SameIndex(_) => data.iter_mut().for_each(|item| item["index"] = json!(0)),
        // JSON has no word for it; what servers write instead is null.
        Vectors::NotANumber(_) => change_last(&mut data, &Value::Null),
        Vectors::Zero(_) => {
            if let Some(item) = data.last_mut() {
                item["embedding"] = json!(vec![0.0_f32; length]);
            }
        }
    }
    let tokens = request.tokens();
    json!({"object": "list", "data": data, "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

fn change_last(data: &mut [Value], number: &Value) {
    if let Some(item) = data.last_mut() {
        item["embedding"][0] = number.clone();
    }
}
