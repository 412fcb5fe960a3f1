//! Where traces are sent, and which.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret::hidden;

/// The `[traces]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The address of an OpenTelemetry collector that takes OTLP over HTTP, up to the
    /// `/v1/traces` that is put behind it; without it no spans are made.
    pub otlp_endpoint: Option<String>,
    /// Headers that the collector wants, as `name=value`, joined by commas.
    #[serde(serialize_with = "hidden")]
    pub otlp_headers: Option<SecretString>,
    /// The part of traces that is kept, from 0 to 1, where the caller has not decided.
    pub sample_ratio: f64,
    /// The name under which the spans are found.
    pub service_name: String,
    /// Whether providers of models are told the trace that a request belongs to.
    pub tell_providers: bool,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: None,
            sample_ratio: 1.0,
            service_name: "quaestor".to_owned(),
            tell_providers: false,
        }
    }
}

/// What cannot work, by the key.
pub(super) fn check(traces: &Traces) -> Result<(), (&'static str, String)> {
    if let Some(endpoint) = &traces.otlp_endpoint {
        let web = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        if web.is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || rest.contains('@')) {
            let sentence = "it is no address: http or https, a host and a port, such as \
                            http://127.0.0.1:4318; a password goes into traces.otlp_headers"
                .to_owned();
            return Err(("traces.otlp_endpoint", sentence));
        }
    }
    if !(0.0..=1.0).contains(&traces.sample_ratio) {
        let sentence = format!("it is {}, and must be from 0 to 1", traces.sample_ratio);
        return Err(("traces.sample_ratio", sentence));
    }
    Ok(())
}
