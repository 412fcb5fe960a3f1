//! Answers as Anthropic tells them.

use serde_json::{Value, json};

use super::{tokens, told};
use crate::reply::{Answer, Finish};
use crate::request::Request;
use crate::steps::Step;

fn event(value: &Value) -> String {
    let kind = value["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {value}\n\n")
}

pub(super) fn stream(answer: &Answer, request: &Request) -> Vec<Step> {
    let bytes = |value: Value| Step::Bytes(event(&value).into_bytes());
    let begin = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": request.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": request.tokens(), "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 1},
    }});
    let block = json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "text", "text": ""}});
    let mut steps = vec![bytes(begin)];
    if !answer.no_choices {
        steps.push(bytes(block));
    }
    steps.push(bytes(json!({"type": "ping"})));
    let kind = answer.error.as_ref().map(|(_, kind)| kind.as_str()).unwrap_or_default();
    let error = json!({"type": "error",
        "error": {"type": kind, "message": "The fake server says no."}});
    let frame = |token: &str| {
        event(&json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": token}}))
    };
    let (written, goes_on) = tokens(answer, frame, &event(&error));
    let begun = steps.len();
    if !answer.no_choices {
        steps.extend(written.into_iter().map(|step| match step {
            Step::Again(_) => Step::Again(begun),
            step => step,
        }));
    }
    if !goes_on {
        return steps;
    }
    if !answer.no_choices {
        steps.push(bytes(json!({"type": "content_block_stop", "index": 0})));
    }
    if told(answer.finish) {
        let mut end = json!({"type": "message_delta",
            "delta": {"stop_reason": reason(answer.finish), "stop_sequence": null}});
        if answer.usage {
            end["usage"] = json!({"output_tokens": answer.tokens.len()});
            steps.push(Step::Usage(event(&end).into_bytes()));
        } else {
            steps.push(bytes(end));
        }
    }
    steps.push(bytes(json!({"type": "message_stop"})));
    steps
}

pub(super) fn whole(answer: &Answer, request: &Request) -> Value {
    let content = if answer.no_choices {
        json!([])
    } else {
        json!([{"type": "text", "text": answer.text()}])
    };
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": request.model,
        "content": content, "stop_reason": reason(answer.finish), "stop_sequence": null,
        "usage": {"input_tokens": request.tokens(), "output_tokens": answer.tokens.len()}})
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Missing => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Filter | Finish::Refusal => "refusal",
    }
}
