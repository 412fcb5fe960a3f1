//! What was asked of the server, and what became of it.

use std::time::Instant;

use crate::request::{Operation, Request, Wire};

/// One request that came, whatever became of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose interface it came by.
    pub wire: Wire,
    /// What was asked for.
    pub operation: Operation,
    /// The model or deployment.
    pub model: String,
    /// The key or token it came with.
    pub key: Option<String>,
    /// The id under which it was answered.
    pub request_id: String,
    /// The whole request.
    pub request: Request,
    /// The status that was sent; 0 before it was.
    pub status: u16,
    /// Tokens of the request, as the answer's usage tells them.
    pub input_tokens: u64,
    /// Tokens of the answer that were sent.
    pub output_tokens: u64,
    /// Whether the answer's usage was sent.
    pub usage_sent: bool,
    /// How it ended.
    pub ended: Ended,
    /// When it came.
    pub began_at: Instant,
    /// When it ended.
    pub ended_at: Option<Instant>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It runs.
    Running,
    /// Everything that the script says was sent.
    Whole,
    /// The script cut it off.
    Cut,
    /// The client went away before the end.
    ClientGone,
}

impl Call {
    pub(crate) fn begun(request: &Request, request_id: String) -> Self {
        Self {
            wire: request.wire,
            operation: request.operation,
            model: request.model.clone(),
            key: request.key.clone(),
            request_id,
            input_tokens: request.tokens(),
            request: request.clone(),
            status: 0,
            output_tokens: 0,
            usage_sent: false,
            ended: Ended::Running,
            began_at: Instant::now(),
            ended_at: None,
        }
    }
}
