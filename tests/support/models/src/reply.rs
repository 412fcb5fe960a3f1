//! The vocabulary of scripts: what a request gets, and what goes wrong with it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::request::{Operation, Request};
use crate::steps::{Framing, Step};

/// What one request gets.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// Headers that would be sent, and are not.
    pub(crate) without: Vec<String>,
    pub(crate) wait: Duration,
    pub(crate) framing: Framing,
    pub(crate) content: Content,
    pub(crate) damage: Vec<Damage>,
    pub(crate) cut: Option<Cut>,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Answer(Answer),
    Vectors(Vectors),
    /// One score for each passage; None: by the words they share with the query.
    Scores(Option<Vec<f32>>),
    Json(Value),
    Raw {
        content_type: String,
        steps: Vec<Step>,
    },
    /// The connection ends, or stays, without a response.
    Nothing(Hangup),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// By an orderly end, as if all were said.
    Fin,
    /// By a reset.
    Reset,
    /// Not at all: nothing more comes.
    Silence,
}

/// Where a reply is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After so many tokens of an answer.
    AfterTokens(usize, Hangup),
    /// After so many bytes of the body.
    AfterBytes(usize, Hangup),
}

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It is done.
    Stop,
    /// It reached its limit.
    Length,
    /// The provider withheld the rest.
    Filter,
    /// The model refuses.
    Refusal,
    /// No reason is sent, only the end.
    Missing,
}

/// What is odd about the frames of a stream. Several may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Lines end with CR and LF.
    CrLf,
    /// Lines end with CR.
    Cr,
    /// A byte order mark comes first.
    Bom,
    /// Comments stand between the frames.
    Comments,
    /// `data:` without a space.
    NoSpace,
    /// A frame's JSON is spread over several `data:` lines.
    ManyLines,
    /// Each write has so many bytes, whatever they split.
    Pieces(usize),
    /// The last frame has no blank line after it.
    NoLastBlank,
    /// No `[DONE]` or `message_stop`.
    NoEnd,
    /// The end is ` [DONE] ` with spaces around it, and no blank line.
    OddEnd,
}

/// An answer to a chat.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) tokens: Vec<String>,
    pub(crate) first: Duration,
    pub(crate) between: Duration,
    pub(crate) finish: Finish,
    pub(crate) usage: bool,
    /// After so many tokens an error event comes instead of the next, of this type.
    pub(crate) error: Option<(usize, String)>,
    /// The tokens are repeated without end.
    pub(crate) endless: bool,
    /// Choices are there, and empty.
    pub(crate) no_choices: bool,
}

impl Answer {
    /// These words, one token each, at once.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::tokens(text.split_inclusive(' ').map(str::to_owned).collect())
    }

    /// These tokens, at once.
    #[must_use]
    pub fn tokens(tokens: Vec<String>) -> Self {
        Self {
            tokens,
            first: Duration::ZERO,
            between: Duration::ZERO,
            finish: Finish::Stop,
            usage: true,
            error: None,
            endless: false,
            no_choices: false,
        }
    }

    /// So many words: `Word-0 word-1 …`.
    #[must_use]
    pub fn words(count: usize) -> Self {
        let word = |n| if n == 0 { "Word-0".to_owned() } else { format!(" word-{n}") };
        Self::tokens((0..count).map(word).collect())
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> String {
        self.tokens.concat()
    }

    /// One token every so often, the first one too.
    #[must_use]
    pub fn every(self, between: Duration) -> Self {
        Self { first: between, between, ..self }
    }

    /// The first token comes after this long.
    #[must_use]
    pub fn first_after(self, first: Duration) -> Self {
        Self { first, ..self }
    }

    /// Ends for this reason.
    #[must_use]
    pub fn finish(self, finish: Finish) -> Self {
        Self { finish, ..self }
    }

    /// Its usage is never told.
    #[must_use]
    pub fn without_usage(self) -> Self {
        Self { usage: false, ..self }
    }

    /// After so many tokens an error event comes instead of the next.
    #[must_use]
    pub fn error_after(self, tokens: usize, kind: &str) -> Self {
        Self { error: Some((tokens, kind.to_owned())), ..self }
    }

    /// Its tokens come again and again.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// No choice is in any of its pieces.
    #[must_use]
    pub fn without_choices(self) -> Self {
        Self { no_choices: true, ..self }
    }
}

/// Vectors for texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vectors {
    /// Of this length, made from the texts' words.
    Good(usize),
    /// The same, told in another order than asked for, each with its index.
    Reordered(usize),
    /// The last one is missing.
    OneFewer(usize),
    /// Two of them have the same index.
    SameIndex(usize),
    /// One has a number that is none.
    NotANumber(usize),
    /// One is all zeros.
    Zero(usize),
}

impl Reply {
    fn with(status: u16, content: Content) -> Self {
        Self {
            status,
            headers: Vec::new(),
            without: Vec::new(),
            wait: Duration::ZERO,
            framing: Framing::Chunked,
            content,
            damage: Vec::new(),
            cut: None,
        }
    }

    /// What a request gets that nobody scripted: a short answer that cites the first
    /// passage, vectors of eight numbers or as many as were asked for, scores.
    #[must_use]
    pub fn sensible(request: &Request) -> Self {
        match request.operation {
            Operation::Chat => Self::answer(Answer::of("As the report says [1]. \u{1f642}")),
            Operation::Embed => {
                let wanted = request.body["dimensions"].as_u64().unwrap_or(8);
                Self::vectors(Vectors::Good(usize::try_from(wanted).unwrap_or(8)))
            }
            Operation::Rerank => Self::with(200, Content::Scores(None)),
            Operation::Models => {
                Self::json(json!({"object": "list", "data": [{"id": "tiny", "object": "model"}]}))
            }
            Operation::Token => Self::token("entra-token", 3600),
            Operation::Unknown => Self::error(404, "not_found_error"),
        }
    }

    /// This answer.
    #[must_use]
    pub fn answer(answer: Answer) -> Self {
        Self::with(200, Content::Answer(answer))
    }

    /// This text as an answer.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::answer(Answer::of(text))
    }

    /// These vectors.
    #[must_use]
    pub fn vectors(vectors: Vectors) -> Self {
        Self::with(200, Content::Vectors(vectors))
    }

    /// These scores of the passages, in their order.
    #[must_use]
    pub fn scores(scores: Vec<f32>) -> Self {
        Self::with(200, Content::Scores(Some(scores)))
    }

    /// A token that is good for so many seconds.
    #[must_use]
    pub fn token(token: &str, seconds: u64) -> Self {
        let body = json!({"token_type": "Bearer", "expires_in": seconds, "access_token": token});
        Self::json(body)
    }

    /// This JSON, whatever was asked for.
    #[must_use]
    pub fn json(body: Value) -> Self {
        Self::with(200, Content::Json(body))
    }

    /// An error in the provider's shape, with this code or type.
    #[must_use]
    pub fn error(status: u16, kind: &str) -> Self {
        let body = json!({
            "type": "error",
            "error": {"type": kind, "code": kind, "message": "The fake server says no."},
        });
        Self::with(status, Content::Json(body))
    }

    /// A status with any body.
    #[must_use]
    pub fn status(status: u16, content_type: &str, body: &str) -> Self {
        let steps = vec![Step::Bytes(body.as_bytes().to_vec())];
        Self::with(status, Content::Raw { content_type: content_type.to_owned(), steps })
    }

    /// A stream of events, step by step.
    #[must_use]
    pub fn stream(steps: Vec<Step>) -> Self {
        let content_type = "text/event-stream".to_owned();
        Self::with(200, Content::Raw { content_type, steps })
    }

    /// A stream of events, as written.
    #[must_use]
    pub fn events(body: impl Into<Vec<u8>>) -> Self {
        Self::stream(vec![Step::Bytes(body.into())])
    }

    /// No response at all.
    #[must_use]
    pub fn nothing(how: Hangup) -> Self {
        Self::with(200, Content::Nothing(how))
    }

    /// With another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a header that would be sent, such as the request's id.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.without.push(name.to_owned());
        self
    }

    /// The response begins after this long.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// The body ends with the connection, so that an orderly end looks like the end.
    #[must_use]
    pub fn until_close(self) -> Self {
        Self { framing: Framing::UntilClose, ..self }
    }

    /// Something about the frames is odd.
    #[must_use]
    pub fn damaged(mut self, damage: Damage) -> Self {
        self.damage.push(damage);
        self
    }

    /// Cut off there.
    #[must_use]
    pub fn cut(self, cut: Cut) -> Self {
        Self { cut: Some(cut), ..self }
    }
}
