//! A prompt in the shape in which Anthropic wants it.

use quaestor_core::ports::chat_model::{ChatRequest, PromptRole};
use serde_json::{Value, json};

/// The body of a request: what the product asks stands apart from the turns.
pub(super) fn body(model: &str, request: &ChatRequest) -> Value {
    let mut system: Vec<Value> = Vec::new();
    let mut turns: Vec<Value> = Vec::new();
    for message in &request.messages {
        // An empty text is refused.
        if message.content.trim().is_empty() {
            continue;
        }
        let text = json!({"type": "text", "text": message.content});
        let role = match message.role {
            PromptRole::System => {
                system.push(text);
                continue;
            }
            PromptRole::User => "user",
            PromptRole::Assistant => "assistant",
        };
        match turns.last_mut().filter(|turn| turn["role"] == role) {
            Some(turn) => {
                if let Some(content) = turn["content"].as_array_mut() {
                    content.push(text);
                }
            }
            None => turns.push(json!({"role": role, "content": [text]})),
        }
    }
    // What the product asks is the same for every question: kept by the provider, it is
    // not computed, and not paid in full, again.
    if let Some(stable) = system.first_mut() {
        stable["cache_control"] = json!({"type": "ephemeral"});
    }
    let mut body = json!({
        "model": model,
        "max_tokens": request.max_output_tokens,
        "messages": turns,
        "stream": true,
    });
    if !system.is_empty() {
        body["system"] = Value::Array(system);
    }
    body
}

#[cfg(test)]
mod tests {
    use quaestor_core::ports::chat_model::PromptMessage;

    use super::*;

    #[test]
    fn the_system_stands_apart_and_its_beginning_is_kept() {
        let message = |role, content: &str| PromptMessage { role, content: content.to_owned() };
        let request = ChatRequest {
            messages: vec![
                message(PromptRole::System, "Cite."),
                message(PromptRole::System, "Briefly."),
                message(PromptRole::User, "One?"),
                message(PromptRole::Assistant, " "),
                message(PromptRole::User, "Two?"),
            ],
            question: String::new(),
            passages: Vec::new(),
            input_tokens: 0,
            max_output_tokens: 9,
        };
        let text = |text: &str| json!({"type": "text", "text": text});
        let mut stable = text("Cite.");
        stable["cache_control"] = json!({"type": "ephemeral"});
        let wanted = json!({
            "model": "m", "max_tokens": 9, "stream": true,
            "system": [stable, text("Briefly.")],
            "messages": [{"role": "user", "content": [text("One?"), text("Two?")]}],
        });
        assert_eq!(body("m", &request), wanted);
    }
}
