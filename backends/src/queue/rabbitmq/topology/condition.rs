//! How a broker is that has the topology: what holds its publishers or its messages up.

use std::collections::BTreeMap;
use std::fmt;

use quaestor_core::jobs::Step;
use serde::Deserialize;

use super::found::{Topology, TopologyError};
use super::queue_of;

/// One thing that holds work up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A node is short of something and lets nobody publish.
    Alarm {
        /// The node.
        node: String,
        /// `memory` or `disk`.
        of: &'static str,
        /// What mends it.
        mend: &'static str,
    },
    /// Messages wait, and nobody takes them.
    Unattended {
        /// The step whose queue it is.
        step: Step,
        /// How many wait.
        ready: u64,
    },
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alarm { node, of, mend } => {
                write!(f, "node {node} is short of {of} and lets nobody publish: {mend}")
            }
            Self::Unattended { step, ready } => write!(
                f,
                "{ready} messages of {step} wait and no worker takes them: start `quaestor worker \
                 --queues {step}`"
            ),
        }
    }
}

#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    mem_alarm: bool,
    #[serde(default)]
    disk_free_alarm: bool,
}

/// The counts are missing until the broker has gathered them for the first time.
#[derive(Deserialize)]
struct Counted {
    name: String,
    #[serde(default)]
    consumers: Option<u64>,
    #[serde(default)]
    messages_ready: Option<u64>,
}

impl Topology<'_> {
    /// What holds work up now. The broker gathers its figures every few seconds.
    ///
    /// # Errors
    /// Where the management API does not answer, or refuses.
    pub async fn conditions(&self) -> Result<Vec<Condition>, TopologyError> {
        let nodes: Vec<Node> = self.management().get(&["nodes"]).await?.unwrap_or_default();
        let mut conditions = Vec::new();
        for node in nodes {
            let memory = (
                node.mem_alarm,
                "memory",
                "give it more, or raise \
                `vm_memory_high_watermark` in rabbitmq.conf",
            );
            let disk = (
                node.disk_free_alarm,
                "disk",
                "make room, or lower `disk_free_limit` in \
                rabbitmq.conf",
            );
            for (alarmed, of, mend) in [memory, disk] {
                if alarmed {
                    conditions.push(Condition::Alarm { node: node.name.clone(), of, mend });
                }
            }
        }
        let queues: Vec<Counted> = self.list("queues").await?;
        let queues: BTreeMap<&str, &Counted> =
            queues.iter().map(|queue| (queue.name.as_str(), queue)).collect();
        for step in Step::ALL {
            let Some(queue) = queues.get(queue_of(step)) else { continue };
            let ready = queue.messages_ready.unwrap_or(0);
            if ready > 0 && queue.consumers == Some(0) {
                conditions.push(Condition::Unattended { step, ready });
            }
        }
        Ok(conditions)
    }
}
