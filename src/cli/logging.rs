//! Where do log lines and traces go, and in which form?

use std::time::Duration;

use anyhow::Context;
use quaestor_backends::traces::otlp::{Otlp, OtlpOptions, SpanLayer};
use quaestor_core::trace::Systems;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::app::Role;
use crate::config::{Config, DatabaseChoice, Log, LogFormat, QueueChoice, Traces};

/// How long spans that wait may take to be sent when the process ends.
const SENT_WITHIN: Duration = Duration::from_secs(2);

/// What sends traces; nothing where none are sent.
#[derive(Debug, Default)]
pub(super) struct Sending(Option<Otlp>);

impl Sending {
    /// Sends what waits, within a bound.
    pub(super) fn end(self) {
        let Some(otlp) = self.0 else { return };
        // The client runs a runtime of its own, and must not be let go of on another.
        let ended = std::thread::spawn(move || otlp.end(SENT_WITHIN));
        if ended.join().is_err() {
            tracing::warn!("what sends traces has ended by an error of the program");
        }
    }
}

/// Sends log lines to standard error from now on, and traces to where the configuration
/// says. Once per process.
pub(super) fn start_with_traces(config: &Config, role: &Role) -> anyhow::Result<Sending> {
    let Some(endpoint) = &config.traces.otlp_endpoint else {
        start(&config.log)?;
        return Ok(Sending::default());
    };
    let (otlp, spans) = Otlp::start(&options(config, endpoint, role)?)
        .context("beginning to send traces (`traces.otlp_endpoint`)")?;
    let started = tracing_subscriber::registry().with(spans).with(filtered(&config.log)?);
    started.try_init().context("starting the log")?;
    Ok(Sending(Some(otlp)))
}

/// Sends log lines to standard error from now on. Once per process.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("reading `log.filter`")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}

type Lines = tracing_subscriber::layer::Layered<SpanLayer<Registry>, Registry>;

/// Log lines beside traces: the filter is theirs alone.
fn filtered(log: &Log) -> anyhow::Result<Box<dyn Layer<Lines> + Send + Sync>> {
    let filter = EnvFilter::try_new(&log.filter).context("reading `log.filter`")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match log.format {
        LogFormat::Text => Box::new(lines.with_filter(filter)),
        LogFormat::Json => Box::new(lines.json().with_filter(filter)),
    })
}

fn options(config: &Config, endpoint: &str, role: &Role) -> anyhow::Result<OtlpOptions> {
    let Traces { otlp_headers, sample_ratio, service_name, tell_providers, .. } = &config.traces;
    let systems = Systems {
        database: match config.data.database().map_err(anyhow::Error::msg)? {
            DatabaseChoice::Sqlite(_) => "sqlite",
            DatabaseChoice::Postgres => "postgresql",
        },
        messaging: match config.data.queue().map_err(anyhow::Error::msg)? {
            QueueChoice::Memory => "memory",
            QueueChoice::RabbitMq => "rabbitmq",
        },
        providers_are_told: *tell_providers,
    };
    Ok(OtlpOptions {
        endpoint: endpoint.to_owned(),
        headers: otlp_headers.clone(),
        ratio: *sample_ratio,
        service: service_name.clone(),
        role: match role {
            Role::Serve => "serve",
            Role::Front => "front",
            Role::Worker(_) => "worker",
            Role::Scaler(_) => "scaler",
        },
        systems,
    })
}
