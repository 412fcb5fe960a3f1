//! What a request asks for, whichever interface it came by.

use serde_json::Value;

/// Whose interface a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// `/v1/…` as OpenAI has it.
    OpenAi,
    /// `/openai/deployments/…` or `/openai/v1/…` as Azure has it.
    Azure,
    /// `/v1/messages` as Anthropic has it.
    Anthropic,
    /// `/v2/rerank` as Cohere has it.
    Cohere,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An answer.
    Chat,
    /// Vectors.
    Embed,
    /// Scores of passages.
    Rerank,
    /// The list of models.
    Models,
    /// A token for further requests.
    Token,
    /// Nothing that the server knows.
    Unknown,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose interface it came by.
    pub wire: Wire,
    /// What it asks for.
    pub operation: Operation,
    /// `POST`, mostly.
    pub method: String,
    /// Without what follows a `?`.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The key or token, without `Bearer`.
    pub key: Option<String>,
    /// The model, or the deployment that the path names.
    pub model: String,
    /// The body, null where it is no JSON.
    pub body: Value,
    /// The body as it came, where it is no JSON.
    pub text: String,
}

impl Request {
    pub(crate) fn of(
        method: String,
        target: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
    ) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (wire, operation, deployment) = route(path);
        let (body, text) = match serde_json::from_slice(body) {
            Ok(body) => (body, String::new()),
            Err(_) => (Value::Null, String::from_utf8_lossy(body).into_owned()),
        };
        let find = |name: &str| {
            headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.trim().to_owned())
        };
        let key = find("x-api-key").or_else(|| find("api-key")).or_else(|| {
            find("authorization").map(|v| v.strip_prefix("Bearer ").unwrap_or(&v).to_owned())
        });
        let named = body["model"].as_str().map(str::to_owned);
        Self {
            wire,
            operation,
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            key,
            model: deployment.or(named).unwrap_or_default(),
            headers,
            body,
            text,
        }
    }

    /// The value of a header; its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether the answer is to come as a stream.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.body["stream"] == true
    }

    /// Whether a stream is to end with its usage.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        self.wire == Wire::Anthropic || self.body["stream_options"]["include_usage"] == true
    }

    /// All that the prompt says, one part a paragraph.
    #[must_use]
    pub fn prompt(&self) -> String {
        let mut parts = Vec::new();
        collect_text(&self.body["system"], &mut parts);
        for message in self.body["messages"].as_array().into_iter().flatten() {
            collect_text(&message["content"], &mut parts);
        }
        parts.join("\n\n")
    }

    /// The texts to embed, or the passages to score.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let field = match self.operation {
            Operation::Rerank => &self.body["documents"],
            _ => &self.body["input"],
        };
        match field {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().or(item["text"].as_str()).unwrap_or_default().to_owned())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// How many tokens it is billed as: here, its words.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let words = |text: &str| text.split_whitespace().count();
        let count = match self.operation {
            Operation::Chat => words(&self.prompt()),
            Operation::Embed => self.texts().iter().map(|text| words(text)).sum(),
            Operation::Rerank => {
                let query = self.body["query"].as_str().map_or(0, words);
                self.texts().iter().map(|text| words(text) + query).sum()
            }
            Operation::Models | Operation::Token | Operation::Unknown => 0,
        };
        count as u64
    }
}

/// The texts of a content: a string, or a list of parts.
fn collect_text(content: &Value, parts: &mut Vec<String>) {
    match content {
        Value::String(text) => parts.push(text.clone()),
        Value::Array(items) => {
            parts.extend(items.iter().filter_map(|item| item["text"].as_str()).map(str::to_owned));
        }
        _ => {}
    }
}

/// Whose interface a path is of, what it asks for, and the deployment it names.
fn route(path: &str) -> (Wire, Operation, Option<String>) {
    if path.ends_with("/oauth2/v2.0/token") {
        return (Wire::Azure, Operation::Token, None);
    }
    let (wire, deployment, rest) = if let Some(rest) = path.strip_prefix("/openai/deployments/") {
        let (deployment, rest) = rest.split_once('/').unwrap_or((rest, ""));
        (Wire::Azure, Some(deployment.to_owned()), rest)
    } else if let Some(rest) = path.strip_prefix("/openai/v1/") {
        (Wire::Azure, None, rest)
    } else {
        let rest = path.trim_start_matches('/');
        let rest = rest.strip_prefix("v1/").or_else(|| rest.strip_prefix("v2/")).unwrap_or(rest);
        (Wire::OpenAi, None, rest)
    };
    match rest {
        "chat/completions" => (wire, Operation::Chat, deployment),
        "embeddings" => (wire, Operation::Embed, deployment),
        "models" => (wire, Operation::Models, deployment),
        "messages" => (Wire::Anthropic, Operation::Chat, None),
        "rerank" => (Wire::Cohere, Operation::Rerank, None),
        _ => (wire, Operation::Unknown, deployment),
    }
}
