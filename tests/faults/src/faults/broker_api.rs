//! RabbitMQ's management interface, as far as faults are made by it.

use std::time::Duration;

use anyhow::ensure;
use reqwest::Method;
use serde_json::Value;

use crate::bench::Bench;
use crate::place::http;

/// The vhost of a run.
pub(super) struct Broker {
    base: String,
    vhost: String,
    http: reqwest::Client,
}

impl Broker {
    pub(super) fn of(bench: &Bench) -> anyhow::Result<Self> {
        let (base, vhost) = bench.place.broker()?;
        Ok(Self { base, vhost: vhost.to_owned(), http: http(Duration::from_secs(10))? })
    }

    /// Does something to one thing of the vhost.
    pub(super) async fn call(
        &self,
        method: Method,
        kind: &str,
        name: &str,
        body: Option<Value>,
    ) -> anyhow::Result<()> {
        let url = format!("{}/api/{kind}/{}/{name}", self.base, self.vhost);
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let status = request.send().await?.status();
        ensure!(status.is_success(), "the broker answers {status} to {kind}/{name}");
        Ok(())
    }

    /// The names of its queues.
    pub(super) async fn queues(&self) -> anyhow::Result<Vec<String>> {
        let url = format!("{}/api/queues/{}", self.base, self.vhost);
        let queues: Value = self.http.get(url).send().await?.error_for_status()?.json().await?;
        let queues = queues.as_array().cloned().unwrap_or_default();
        Ok(queues.iter().filter_map(|queue| queue["name"].as_str().map(str::to_owned)).collect())
    }
}
