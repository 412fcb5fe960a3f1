//! Spans as OpenTelemetry has them, sent to a collector by OTLP over HTTP.
//!
//! They wait in a queue with a limit, and a thread of its own sends them: whoever makes one
//! waits for nobody, and where the collector is away or slow what does not fit is dropped.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use quaestor_core::trace::{Bridge, Systems, TARGET, install};
use secrecy::{ExposeSecret, SecretString};
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Spans that wait to be sent; further ones are dropped.
const QUEUE: usize = 4_096;
/// Spans in one request.
const AT_ONCE: usize = 512;
/// How long spans are gathered.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What one span may have.
const MOST_ATTRIBUTES: u32 = 24;

/// Where spans are sent, and which.
#[derive(Clone)]
pub struct OtlpOptions {
    /// The collector's address, up to the `/v1/traces` that is put behind it.
    pub endpoint: String,
    /// Headers of each request as `name=value`, joined by commas.
    pub headers: Option<SecretString>,
    /// The part of traces that is kept, where the caller has not decided.
    pub ratio: f64,
    /// `service.name`.
    pub service: String,
    /// What this process does.
    pub role: &'static str,
    /// What spans tell of the surroundings.
    pub systems: Systems,
}

impl std::fmt::Debug for OtlpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpOptions").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}

/// Why no spans are sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A header that is none.
    #[error("`traces.headers` must be `name=value`, joined by commas")]
    Headers,
    /// The client could not be made.
    #[error("could not make the client that sends traces")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The spans of this process on their way out.
#[derive(Debug)]
pub struct Otlp(SdkTracerProvider);

/// A layer of a subscriber.
pub type SpanLayer<S> = Box<dyn Layer<S> + Send + Sync>;

impl Otlp {
    /// Begins to send spans, through the layer that is returned. Once per process.
    ///
    /// # Errors
    /// Headers that are none, or a client that cannot be made.
    pub fn start<S>(options: &OtlpOptions) -> Result<(Self, SpanLayer<S>), OtlpError>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let exporter = exporter(options)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(AT_ONCE)
            .with_scheduled_delay(GATHERED_FOR)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", options.service.clone()),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("quaestor.role", options.role),
                KeyValue::new("process.pid", i64::from(std::process::id())),
            ])
            .build();
        let sampler = Sampler::TraceIdRatioBased(options.ratio);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_max_attributes_per_span(MOST_ATTRIBUTES)
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("quaestor"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Spans of traces, and nothing of log lines: those tell of contents' names and causes.
            .with_filter(filter_fn(is_of_trace));
        install(Box::new(OtelBridge), options.systems);
        Ok((Self(provider), Box::new(layer)))
    }

    /// Sends what waits, for at most so long, and ends. Blocks its thread, which may not be
    /// one of a runtime.
    pub fn end(self, within: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(within) {
            tracing::warn!(error = &error as &dyn std::error::Error, "some traces were not sent");
        }
    }
}

fn is_of_trace(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

fn exporter(options: &OtlpOptions) -> Result<SpanExporter, OtlpError> {
    let headers = headers(options.headers.as_ref())?;
    // The blocking client runs a runtime of its own, and must not be made on one.
    let client = std::thread::spawn(|| {
        reqwest::blocking::Client::builder()
            .timeout(PATIENCE)
            // The headers would go wherever the collector points.
            .redirect(reqwest::redirect::Policy::none())
            .build()
    });
    let client = client
        .join()
        .map_err(|_| OtlpError::Client("its thread has ended".into()))?
        .map_err(|error| OtlpError::Client(error.without_url().into()))?;
    SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", options.endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .with_headers(headers)
        .build()
        .map_err(|error| OtlpError::Client(error.into()))
}

fn headers(text: Option<&SecretString>) -> Result<HashMap<String, String>, OtlpError> {
    let Some(text) = text else { return Ok(HashMap::new()) };
    let pairs = text.expose_secret().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(OtlpError::Headers)?;
            let (name, value) = (name.trim(), value.trim());
            let sound = http::HeaderName::try_from(name).is_ok()
                && http::HeaderValue::try_from(value).is_ok();
            if sound { Ok((name.to_owned(), value.to_owned())) } else { Err(OtlpError::Headers) }
        })
        .collect()
}

/// Knows the ids of spans.
struct OtelBridge;

impl Bridge for OtelBridge {
    fn adopt(&self, span: &Span, traceparent: &str) {
        if let Some(parent) = parsed(traceparent) {
            // It fails for a span that nobody listens to, which has no parent then.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
    }

    fn context_of(&self, span: &Span) -> Option<String> {
        written(span.context().span().span_context())
    }

    fn current(&self) -> Option<String> {
        written(Context::current().span().span_context())
    }
}

fn written(context: &SpanContext) -> Option<String> {
    let flags = context.trace_flags().to_u8();
    context
        .is_valid()
        .then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

fn parsed(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_written_as_it_was_read() {
        for traceparent in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        ] {
            let context = parsed(traceparent).unwrap();
            assert_eq!(written(&context).as_deref(), Some(traceparent));
        }
        assert!(parsed("00-nothing").is_none());
    }

    #[test]
    fn headers_are_pairs_and_never_shown() {
        let secret = |text: &str| SecretString::from(text);
        let read = headers(Some(&secret("authorization=Bearer a=b, x-tenant = desk"))).unwrap();
        assert_eq!(read["authorization"], "Bearer a=b");
        assert_eq!(read["x-tenant"], "desk");
        let refused = headers(Some(&secret("hunter2"))).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
