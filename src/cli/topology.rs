//! `quaestor topology`: is the broker as it should be, and make it so.

use anyhow::{Context, bail};
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::queue::rabbitmq::management::Management;
use quaestor_backends::queue::rabbitmq::topology::{Difference, Topology};
use quaestor_backends::queue::rabbitmq::{BrokerAddress, RabbitOptions, RabbitQueue};
use quaestor_core::clock::SystemClock;
use secrecy::SecretString;
use std::sync::Arc;

use super::args::TopologyAction;
use super::{ConfigFile, Ended, Style, Terminal, settings};
use crate::config::QueueChoice;

/// Runs one of `check`, `diff` and `apply`.
pub(super) async fn run(
    file: &ConfigFile,
    action: TopologyAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let settings = settings(file)?;
    let data = &settings.config.data;
    if data.queue().map_err(anyhow::Error::msg)? != QueueChoice::RabbitMq {
        bail!("the queue in force has no topology; set QUAESTOR_QUEUE_URL to `amqp://…`");
    }
    let address: BrokerAddress = data.queue_url.expose().parse()?;
    let management = data.queue_management_url.as_ref();
    let management = management
        .map(|url| Management::new(&SecretString::from(url.expose().to_owned())))
        .transpose()?;
    match (action, &management) {
        (TopologyAction::Check, None) => check_by_amqp(address, terminal).await,
        (TopologyAction::Check | TopologyAction::Diff, Some(management)) => {
            let topology = Topology::new(management, &address).await?;
            let differences = topology.differences().await?;
            told(&address, &differences, action, terminal)
        }
        (TopologyAction::Apply, Some(management)) => apply(management, &address, terminal).await,
        (TopologyAction::Diff | TopologyAction::Apply, None) => bail!(
            "this goes over RabbitMQ's management API: set QUAESTOR_QUEUE_MANAGEMENT_URL, such as \
             http://user:password@mq.example.org:15672"
        ),
    }
}

/// What AMQP alone can tell.
async fn check_by_amqp(address: BrokerAddress, terminal: &Terminal) -> anyhow::Result<Ended> {
    let options = RabbitOptions {
        address: address.clone(),
        name: "quaestor topology".to_owned(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    let queue = RabbitQueue::connect(options).await?;
    queue.close().await;
    terminal.line(&format!(
        "{} exchanges and queues at {address} are as they should be",
        terminal.paint(Style::Green, "ok  ")
    ))?;
    terminal.note(
        "bindings and policies were not looked at: set QUAESTOR_QUEUE_MANAGEMENT_URL for them",
    )?;
    Ok(Ended::Well)
}

fn told(
    address: &BrokerAddress,
    differences: &[Difference],
    action: TopologyAction,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    for difference in differences {
        let mark = terminal.paint(Style::Red, "fail");
        terminal.line(&match action {
            TopologyAction::Check => format!("{mark} {difference}"),
            TopologyAction::Diff | TopologyAction::Apply => difference.to_string(),
        })?;
    }
    if differences.is_empty() {
        if action == TopologyAction::Check {
            let mark = terminal.paint(Style::Green, "ok  ");
            terminal.line(&format!("{mark} the topology at {address} is as it should be"))?;
        }
        return Ok(Ended::Well);
    }
    terminal.note("`quaestor topology apply` makes what is missing and sets policies right")?;
    Ok(Ended::Badly)
}

async fn apply(
    management: &Management,
    address: &BrokerAddress,
    terminal: &Terminal,
) -> anyhow::Result<Ended> {
    let topology = Topology::new(management, address).await?;
    let done = topology.apply().await.context("applying the topology")?;
    for difference in &done {
        terminal.line(&format!("mended: {difference}"))?;
    }
    if done.is_empty() {
        terminal.line(&format!("nothing to do at {address}"))?;
    }
    let left = topology.differences().await?;
    for difference in &left {
        terminal.note(&format!("{} {difference}", terminal.paint(Style::Red, "left as it is:")))?;
    }
    Ok(if left.is_empty() { Ended::Well } else { Ended::Badly })
}
