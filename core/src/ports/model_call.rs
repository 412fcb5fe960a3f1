//! What the model ports share: for whom a model is called, and what each call was.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Time;
use crate::ids::{CallId, JobId, PrincipalId, WorkspaceId};
use crate::model::Usage;

/// What a model is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// To write an answer.
    Chat,
    /// To make vectors.
    Embed,
    /// To order passages.
    Rerank,
}

impl Operation {
    /// Every operation there is.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Embed, Self::Rerank];

    /// The name in rows, metrics and on pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embed => "embed",
            Self::Rerank => "rerank",
        }
    }
}

/// How a request to a provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// It was answered.
    Done,
    /// It began to be answered, and then broke off or was no longer wanted.
    Cut,
    /// It was not answered.
    Failed,
    /// Nobody knows: the process that sent it is gone.
    Lost,
}

impl CallOutcome {
    /// The name in rows, metrics and on pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cut => "cut",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// Whether it makes sense to ask a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// As often as one likes.
    Ready,
    /// Once, to see whether the provider is back.
    Trial,
    /// Not before this: everyone who could answer is left alone until then.
    NotBefore(Time),
}

impl Readiness {
    /// The better of two, where one model stands in for the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ready, _) | (_, Self::Ready) => Self::Ready,
            (Self::Trial, _) | (_, Self::Trial) => Self::Trial,
            (Self::NotBefore(one), Self::NotBefore(other)) => Self::NotBefore(one.min(other)),
        }
    }
}

/// One request that was sent to a provider, to be accounted. What was answered here, by a
/// model in this process, is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCall {
    /// Our own name for it, which it was sent with.
    pub id: CallId,
    /// `provider:model`.
    pub model: String,
    /// What for.
    pub operation: Operation,
    /// The provider's own id of the request, where it told one.
    pub request_id: Option<String>,
    /// What it cost; nothing where it was not answered.
    pub usage: Usage,
    /// Whether the usage is our estimate, because the provider did not tell.
    pub estimated: bool,
    /// How it ended.
    pub outcome: CallOutcome,
    /// When it was sent.
    pub started_at: Time,
    /// When it had ended.
    pub ended_at: Time,
}

/// A request that is about to be sent. It is written down before, so that one whose process
/// dies is accounted all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BegunCall {
    /// Our own name for it.
    pub id: CallId,
    /// `provider:model`.
    pub model: String,
    /// What for.
    pub operation: Operation,
    /// What it is taken to cost, should nobody tell.
    pub usage: Usage,
    /// When it is sent.
    pub started_at: Time,
}

/// Where the calls for one piece of work are written down, until they are stored with it.
/// Clones share the list. It holds what one step of one job sends, which the retries and
/// the length of the chain bound.
#[derive(Clone, Debug, Default)]
pub struct CallLog(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    calls: Vec<ModelCall>,
    asked: Asked,
}

/// What was asked of providers: it only rises, whoever takes the calls out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests that were sent.
    pub requests: u64,
    /// Tokens that they took, sent and written.
    pub tokens: u64,
}

impl Asked {
    /// What was asked since then.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            tokens: self.tokens.saturating_sub(before.tokens),
        }
    }
}

impl CallLog {
    /// Writes a call down.
    pub fn push(&self, call: ModelCall) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked.requests += 1;
        kept.asked.tokens += call.usage.input_tokens + call.usage.output_tokens;
        kept.calls.push(call);
    }

    /// What was asked by now, the calls that were taken out included.
    #[must_use]
    pub fn asked(&self) -> Asked {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    /// Puts calls back that were taken out and could not be stored.
    pub fn put_back(&self, mut calls: Vec<ModelCall>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.append(&mut kept.calls);
        kept.calls = calls;
    }

    /// Takes the calls out, in the order in which they ended.
    #[must_use]
    pub fn take(&self) -> Vec<ModelCall> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).calls)
    }
}

/// For whom and until when a model is called.
#[derive(Clone, Debug)]
pub struct CallScope {
    /// The tenant that pays.
    pub workspace: WorkspaceId,
    /// Who asked; none for work that nobody asked for.
    pub principal: Option<PrincipalId>,
    /// The job it is for, and its attempt; none for a search over HTTP.
    pub job: Option<(JobId, u32)>,
    /// After this the result is no longer wanted.
    pub deadline: Option<Time>,
    /// Where the calls are written down.
    pub calls: CallLog,
}

impl CallScope {
    /// The scope of work for a workspace, with an empty log and no deadline.
    #[must_use]
    pub fn of(workspace: WorkspaceId, principal: Option<PrincipalId>) -> Self {
        Self { workspace, principal, job: None, deadline: None, calls: CallLog::default() }
    }

    /// The same scope, for a job.
    #[must_use]
    pub fn for_job(mut self, job: JobId, attempt: u32, deadline: Option<Time>) -> Self {
        self.job = Some((job, attempt));
        self.deadline = deadline;
        self
    }
}
