//! Traces: the spans of a request's way through the processes, and how a trace goes on where a
//! message, an event or another process lies between.
//!
//! All spans of the program and all they tell stand here: names and attributes follow the
//! semantic conventions of OpenTelemetry (http, messaging, db, gen_ai), ids are the only
//! values that are not of a small set, and nothing of what people wrote is in any of them. A
//! backend listens to them where one is configured ([`install`]). Without one none is made:
//! every function here is one look at whether there is.

use std::sync::OnceLock;

use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::ids::{JobId, OutboxId};
use crate::jobs::Step;
use crate::model::Usage;
use crate::ports::model_call::Operation;

/// What spans of traces are told by from those of log lines.
pub const TARGET: &str = "quaestor_trace";

/// What listens to spans, and knows the ids under which they are kept.
pub trait Bridge: Send + Sync + 'static {
    /// Makes a span that was not entered yet the child of what a `traceparent` names.
    fn adopt(&self, span: &Span, traceparent: &str);

    /// The `traceparent` of a span.
    fn context_of(&self, span: &Span) -> Option<String>;

    /// The `traceparent` of what runs now.
    fn current(&self) -> Option<String>;
}

/// Which technologies a process stands on, by their names in the conventions.
#[derive(Clone, Copy, Debug)]
pub struct Systems {
    /// `db.system.name`.
    pub database: &'static str,
    /// `messaging.system`.
    pub messaging: &'static str,
    /// Whether providers of models are told the trace that a request belongs to.
    pub providers_are_told: bool,
}

struct Installed {
    bridge: Box<dyn Bridge>,
    systems: Systems,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Has spans made from now on, for as long as the process lives. False where they already are.
pub fn install(bridge: Box<dyn Bridge>, systems: Systems) -> bool {
    INSTALLED.set(Installed { bridge, systems }).is_ok()
}

/// Whether spans are made.
#[must_use]
pub fn is_on() -> bool {
    INSTALLED.get().is_some()
}

/// The `traceparent` of what runs now; none where no spans are made.
#[must_use]
pub fn current() -> Option<String> {
    INSTALLED.get()?.bridge.current()
}

/// The `traceparent` of a span; none where no spans are made.
#[must_use]
pub fn context_of(span: &Span) -> Option<String> {
    INSTALLED.get()?.bridge.context_of(span)
}

/// What a provider of models is told of the trace: nothing, unless that is configured.
#[must_use]
pub fn for_providers() -> Option<String> {
    let installed = INSTALLED.get().filter(|installed| installed.systems.providers_are_told)?;
    installed.bridge.current()
}

/// The W3C trace context of this text, if it is well formed: version, trace, parent, flags.
#[must_use]
pub fn well_formed(traceparent: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = traceparent.split('-');
    let (Some("00"), Some(trace), Some(parent), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && trace.bytes().any(|b| b != b'0')
        && parent.bytes().any(|b| b != b'0')
}

/// The trace's id in a `traceparent`.
#[must_use]
pub fn id_of(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| !id.is_empty())
}

/// Makes a span where spans are made, as the child of `parent` or of what runs now.
fn made(parent: Option<&str>, make: impl FnOnce(&Systems) -> Span) -> Span {
    let Some(Installed { bridge, systems }) = INSTALLED.get() else { return Span::none() };
    let span = make(systems);
    if let Some(parent) = parent.filter(|parent| well_formed(parent)) {
        bridge.adopt(&span, parent);
    }
    span
}

/// Ends what a span measures now, although it is kept for longer.
fn touch(span: &Span) {
    span.in_scope(|| {});
}

/// A request. `parent` is what the caller says it belongs to.
#[must_use]
pub fn request(method: &'static str, route: &str, parent: Option<&str>) -> Span {
    made(parent, |_| {
        debug_span!(
            target: TARGET,
            "request",
            otel.name = format!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = route,
            http.response.status_code = Empty,
            url.scheme = "http",
            error.type = Empty,
        )
    })
}

/// A request was answered.
pub fn answered(span: &Span, status: u16) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.to_string());
    }
}

/// What a client asks in a frame of a WebSocket.
#[must_use]
pub fn socket_request(kind: &'static str) -> Span {
    made(None, |_| {
        debug_span!(
            target: TARGET,
            parent: None,
            "socket_request",
            otel.name = format!("websocket {kind}"),
            otel.kind = "server",
            network.protocol.name = "websocket",
            quaestor.frame.kind = kind,
        )
    })
}

/// An event goes out in a frame of a WebSocket.
#[must_use]
pub fn frame(kind: &'static str, job: JobId, parent: &str) -> Span {
    made(Some(parent), |_| {
        debug_span!(
            target: TARGET,
            parent: None,
            "frame",
            otel.name = format!("send {kind}"),
            otel.kind = "producer",
            network.protocol.name = "websocket",
            quaestor.frame.kind = kind,
            quaestor.job.id = %job,
        )
    })
}

/// A message goes from the outbox to its queue. `parent` is what its job was accepted under.
#[must_use]
pub fn publish(step: Step, message: OutboxId, parent: Option<&str>) -> Span {
    made(parent, |systems| {
        debug_span!(
            target: TARGET,
            parent: None,
            "publish",
            otel.name = format!("publish {step}"),
            otel.kind = "producer",
            otel.status_code = Empty,
            messaging.system = systems.messaging,
            messaging.operation.name = "publish",
            messaging.operation.type = "send",
            messaging.destination.name = step.as_str(),
            messaging.message.id = %message,
            error.type = Empty,
        )
    })
}

/// What became of a message that was published.
pub fn published(span: &Span, outcome: &'static str) {
    if span.is_disabled() {
        return;
    }
    if outcome != "confirmed" {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", outcome);
    }
    touch(span);
}

/// A step of a job runs. `parent` is what its message carries, or what it follows at once.
#[must_use]
pub fn process(step: Step, job: JobId, attempt: u32, parent: Option<&str>) -> Span {
    made(parent, |systems| {
        debug_span!(
            target: TARGET,
            "process",
            otel.name = format!("process {step}"),
            otel.kind = "consumer",
            otel.status_code = Empty,
            messaging.system = systems.messaging,
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = step.as_str(),
            quaestor.job.id = %job,
            quaestor.job.attempt = attempt,
            quaestor.step.outcome = Empty,
        )
    })
}

/// How a step ended.
pub fn processed(span: &Span, outcome: &'static str) {
    if span.is_disabled() {
        return;
    }
    span.record("quaestor.step.outcome", outcome);
    if ["failed", "dead", "unsettled"].contains(&outcome) {
        span.record("otel.status_code", "ERROR");
    }
}

/// A call of the store.
#[must_use]
pub fn store(operation: &'static str) -> Span {
    made(None, |systems| {
        debug_span!(
            target: TARGET,
            "store",
            otel.name = operation,
            otel.kind = "client",
            db.system.name = systems.database,
            db.operation.name = operation,
        )
    })
}

/// A request to a provider of models.
#[must_use]
pub fn model_call(model: &str, operation: Operation) -> Span {
    made(None, |_| {
        let (provider, name) = model.split_once(':').unwrap_or((model, model));
        let operation = match operation {
            Operation::Chat => "chat",
            Operation::Embed => "embeddings",
            Operation::Rerank => "rerank",
        };
        debug_span!(
            target: TARGET,
            "model_call",
            otel.name = format!("{operation} {name}"),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = operation,
            gen_ai.provider.name = match provider {
                "azure" => "azure.ai.openai",
                provider => provider,
            },
            gen_ai.request.model = name,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            error.type = Empty,
        )
    })
}

/// A request to a provider ended.
pub fn model_answered(span: &Span, usage: &Usage) {
    if span.is_disabled() {
        return;
    }
    span.record("gen_ai.usage.input_tokens", usage.input_tokens);
    span.record("gen_ai.usage.output_tokens", usage.output_tokens);
    touch(span);
}

/// A request to a provider failed.
pub fn model_failed(span: &Span, class: &'static str) {
    if span.is_disabled() {
        return;
    }
    span.record("otel.status_code", "ERROR");
    span.record("error.type", class);
    touch(span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_listener_there_are_no_spans() {
        // No test of this package installs one.
        assert!(!is_on() && current().is_none() && for_providers().is_none());
        assert!(request("GET", "/api/jobs", None).is_disabled());
        assert!(store("claim").is_none());
    }

    #[test]
    fn only_a_well_formed_context_is_gone_on_with() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(well_formed(good));
        assert_eq!(id_of(good), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        for bad in [
            "",
            "anything",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!well_formed(bad), "{bad}");
        }
    }
}
