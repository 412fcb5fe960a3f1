//! A collector of spans in the test's own memory: it takes OTLP over HTTP, as a real one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// A span, as the test looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    /// The number of OTLP: 2 server, 3 client, 4 producer, 5 consumer.
    pub(crate) kind: i32,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// `quaestor.role` of the process that sent it.
    pub(crate) role: String,
    pub(crate) pid: String,
    pub(crate) failed: bool,
    pub(crate) nanos: u64,
}

/// The collector. It ends with this value.
pub(crate) struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Seen>>>,
    headers: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (spans, headers) = (Arc::default(), Arc::default());
        let (kept, told) = (Arc::clone(&spans), Arc::clone(&headers));
        let tasks = TaskTracker::new();
        let task = tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(serve(stream, Arc::clone(&kept), Arc::clone(&told)));
            }
        });
        Self { address, spans, headers, task }
    }

    /// Where it is, for `QUAESTOR_OTLP_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.address
    }

    /// Every head that was sent to it.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.headers.lock().unwrap().clone()
    }

    /// What it has by now.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap().clone()
    }

    /// Waits until it has what is wanted.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let spans = self.spans();
            if wanted(&spans) {
                return spans;
            }
            assert!(Instant::now() < until, "these are all: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Takes requests of one connection until it closes.
async fn serve(stream: TcpStream, spans: Arc<Mutex<Vec<Seen>>>, heads: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        heads.lock().unwrap().push(head);
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        spans.lock().unwrap().extend(read(&request));
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                      content-length: 0\r\n\r\n";
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn read(request: &ExportTraceServiceRequest) -> Vec<Seen> {
    let mut seen = Vec::new();
    for resource in &request.resource_spans {
        let of = resource.resource.as_ref().map(|resource| resource.attributes.as_slice());
        let of = attributes(of.unwrap_or_default());
        let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
        seen.extend(spans.map(|span| one(span, &of)));
    }
    seen
}

fn one(span: &Span, of: &BTreeMap<String, String>) -> Seen {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(span.events.is_empty(), "log lines are no part of a trace: {:?}", span.events);
    Seen {
        name: span.name.clone(),
        kind: span.kind,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: attributes(&span.attributes),
        role: of.get("quaestor.role").cloned().unwrap_or_default(),
        pid: of.get("process.pid").cloned().unwrap_or_default(),
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        nanos: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|one| one.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}
