//! The topology as the files of `queue-topology/` want it, for one version of RabbitMQ.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What holds for every version.
const BASE: &str = include_str!("../../../../../queue-topology/base.json");
/// The policies of each range of versions, by the first version of it, newest first.
const POLICIES: [((u32, u32), &str); 3] = [
    ((4, 0), include_str!("../../../../../queue-topology/policies-4.0+.json")),
    ((3, 13), include_str!("../../../../../queue-topology/policies-3.13+.json")),
    ((3, 10), include_str!("../../../../../queue-topology/policies-3.10.json")),
];

/// All that has to be there. The virtual host of the files is left out: it is the one of
/// the queue's address.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Exchanges.
    pub exchanges: Vec<Exchange>,
    /// Queues.
    pub queues: Vec<QueueShape>,
    /// Bindings.
    pub bindings: Vec<Binding>,
    /// Policies.
    pub policies: Vec<Policy>,
}

/// An exchange.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// `topic`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it outlives the broker's restart.
    pub durable: bool,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct QueueShape {
    /// Its name.
    pub name: String,
    /// Whether it outlives the broker's restart.
    pub durable: bool,
    /// What can never be changed afterwards: its type, and nothing else.
    pub arguments: BTreeMap<String, String>,
}

/// A binding of a queue to an exchange.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Binding {
    /// The exchange.
    pub source: String,
    /// The queue.
    pub destination: String,
    /// The pattern of routing keys.
    pub routing_key: String,
}

/// A policy: what can be changed while messages flow.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// A regular expression over names of queues.
    pub pattern: String,
    /// Which sort of queues it is for.
    #[serde(rename = "apply-to")]
    pub apply_to: String,
    /// The higher one wins.
    pub priority: i64,
    /// What it sets.
    pub definition: BTreeMap<String, Value>,
}

/// The files that are part of the program cannot be read, which a test rules out.
#[derive(Debug, thiserror::Error)]
#[error("the definitions in queue-topology/ cannot be read")]
pub struct WantedError(#[from] serde_json::Error);

impl Wanted {
    /// What a broker of this version should have.
    pub fn of_version(version: (u32, u32)) -> Result<Self, WantedError> {
        #[derive(Deserialize)]
        struct Base {
            exchanges: Vec<Exchange>,
            queues: Vec<QueueShape>,
            bindings: Vec<Binding>,
        }
        #[derive(Deserialize)]
        struct Policies {
            policies: Vec<Policy>,
        }
        let Base { exchanges, queues, bindings } = serde_json::from_str(BASE)?;
        let fits = POLICIES.iter().find(|(first, _)| *first <= version);
        // An older broker than the oldest is refused elsewhere.
        let (_, text) = fits.unwrap_or(&POLICIES[POLICIES.len() - 1]);
        let Policies { policies } = serde_json::from_str(text)?;
        Ok(Self { exchanges, queues, bindings, policies })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use quaestor_core::jobs::Step;
    use serde_json::json;

    use super::super::{DEAD_QUEUE, JOBS_EXCHANGE, queue_of};
    use super::*;

    #[test]
    fn each_step_has_one_queue_and_one_binding_and_no_queue_is_without_a_step() {
        let wanted = Wanted::of_version((4, 0)).unwrap();
        let queues: Vec<&str> = wanted.queues.iter().map(|queue| queue.name.as_str()).collect();
        let mut of_steps: Vec<&str> = Step::ALL.into_iter().map(queue_of).collect();
        of_steps.push(DEAD_QUEUE);
        assert_eq!(queues, of_steps);
        for step in Step::ALL {
            let queue = queue_of(step);
            assert_eq!(queue, format!("qs.{step}.v1"), "who looks for the step finds its queue");
            let bound: Vec<&Binding> = wanted
                .bindings
                .iter()
                .filter(|binding| binding.routing_key == step.as_str())
                .collect();
            assert_eq!(bound.len(), 1);
            assert_eq!(bound[0].destination, queue);
            assert_eq!(bound[0].source, JOBS_EXCHANGE);
        }
        let of_jobs = wanted.bindings.iter().filter(|binding| binding.source == JOBS_EXCHANGE);
        assert_eq!(of_jobs.count(), Step::ALL.len(), "a message is routed to one queue");
    }

    #[test]
    fn the_type_of_a_queue_is_its_only_argument() {
        let wanted = Wanted::of_version((4, 0)).unwrap();
        for queue in &wanted.queues {
            assert!(queue.durable);
            assert_eq!(json!(queue.arguments), json!({"x-queue-type": "quorum"}));
        }
        assert!(wanted.exchanges.iter().all(|exchange| exchange.durable));
    }

    #[test]
    fn each_version_has_its_policies() {
        let definition = |version: (u32, u32), key: &str| {
            let wanted = Wanted::of_version(version).unwrap();
            wanted.policies[0].definition.get(key).cloned()
        };
        assert_eq!(definition((3, 12), "consumer-timeout"), None);
        assert_eq!(definition((3, 13), "consumer-timeout"), Some(json!(3_600_000)));
        // Before 4.0 there is no limit unless one is set, and 3.10 refuses -1.
        assert_eq!(definition((3, 13), "delivery-limit"), None);
        assert_eq!(definition((4, 3), "delivery-limit"), Some(json!(-1)));
        for version in [(3, 10), (3, 13), (4, 0)] {
            let wanted = Wanted::of_version(version).unwrap();
            let names: BTreeSet<&str> = wanted.policies.iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names, BTreeSet::from(["qs-work", "qs-dead"]));
        }
    }

    #[test]
    fn the_files_hold_no_users_and_nothing_that_is_not_read() {
        for text in POLICIES.iter().map(|(_, text)| *text).chain([BASE]) {
            let file: BTreeMap<String, Vec<Value>> = serde_json::from_str(text).unwrap();
            for key in file.keys() {
                let known = ["vhosts", "exchanges", "queues", "bindings", "policies"];
                assert!(known.contains(&key.as_str()), "{key}");
            }
        }
    }
}
