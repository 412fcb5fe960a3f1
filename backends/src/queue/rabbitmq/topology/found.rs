//! The topology as a broker has it, compared with the wanted one, and mended.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::address::BrokerAddress;
use super::super::management::{Management, ManagementError};
use super::super::version::numbers;
use super::wanted::{Binding, Exchange, Policy, Wanted, WantedError};

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// The virtual host is missing.
    NoVirtualHost(String),
    /// Something is missing; `apply` makes it.
    Missing(String),
    /// A policy says something else; `apply` changes it in place.
    Policy {
        /// Its name.
        name: String,
        /// Which part of it.
        part: String,
        /// What is there.
        found: Option<Value>,
        /// What should be.
        wanted: Option<Value>,
    },
    /// What cannot be changed in place is different: only another name helps.
    Unlike {
        /// What it is.
        what: String,
        /// Which part of it.
        part: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        wanted: String,
    },
    /// A binding that is not ours takes messages of the jobs' exchange, too.
    Stray(String),
    /// Another policy has the queue.
    Overruled {
        /// The queue.
        queue: String,
        /// The policy that it is under, if any.
        found: Option<String>,
        /// The policy that it should be under.
        wanted: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "not set".to_owned(), ToString::to_string)
        };
        match self {
            Self::NoVirtualHost(name) => write!(f, "virtual host {name} is missing"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::Policy { name, part, found, wanted } => {
                write!(
                    f,
                    "policy {name}: {part} is {}, and should be {}",
                    shown(found),
                    shown(wanted)
                )
            }
            Self::Unlike { what, part, found, wanted } => write!(
                f,
                "{what}: {part} is {found}, and should be {wanted}; this cannot be changed in place, see \
                 queue-topology/README.md"
            ),
            Self::Stray(what) => write!(
                f,
                "{what} is not ours: a message that goes to two queues can be refused by one and kept by the other"
            ),
            Self::Overruled { queue, found, wanted } => write!(
                f,
                "queue {queue} is under {}, and should be under policy {wanted}",
                found
                    .as_ref()
                    .map_or_else(|| "no policy".to_owned(), |name| format!("policy {name}"))
            ),
        }
    }
}

/// Why the topology could not be looked at or mended.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The management API could not.
    #[error(transparent)]
    Management(#[from] ManagementError),
    /// The files in the program cannot be read.
    #[error(transparent)]
    Wanted(#[from] WantedError),
    /// The broker names no version that we know.
    #[error(
        "RabbitMQ says that it is version {0:?}, and 3.10 is the oldest that works: upgrade it"
    )]
    Version(String),
}

/// A broker's topology, seen and changed over the management API, in the virtual host of
/// the queue's address.
#[derive(Debug)]
pub struct Topology<'a> {
    management: &'a Management,
    address: &'a BrokerAddress,
    wanted: Wanted,
}

#[derive(Deserialize)]
struct Overview {
    rabbitmq_version: String,
}

#[derive(Deserialize)]
struct FoundQueue {
    name: String,
    durable: bool,
    arguments: BTreeMap<String, Value>,
    #[serde(default)]
    policy: Option<String>,
}

impl<'a> Topology<'a> {
    /// Asks the broker for its version, which says what is wanted of it.
    pub async fn new(
        management: &'a Management,
        address: &'a BrokerAddress,
    ) -> Result<Self, TopologyError> {
        let overview: Option<Overview> = management.get(&["overview"]).await?;
        let said = overview.map(|overview| overview.rabbitmq_version).unwrap_or_default();
        let version = numbers(&said).filter(|version| *version >= super::super::OLDEST);
        let version = version.ok_or(TopologyError::Version(said))?;
        Ok(Self { management, address, wanted: Wanted::of_version(version)? })
    }

    /// What differs.
    pub async fn differences(&self) -> Result<Vec<Difference>, TopologyError> {
        let vhost = self.address.vhost();
        if self.management.get::<Value>(&["vhosts", vhost]).await?.is_none() {
            return Ok(vec![Difference::NoVirtualHost(vhost.to_owned())]);
        }
        let mut differences = Vec::new();
        self.compare_exchanges(&mut differences).await?;
        self.compare_queues(&mut differences).await?;
        self.compare_bindings(&mut differences).await?;
        self.compare_policies(&mut differences).await?;
        Ok(differences)
    }

    pub(super) fn management(&self) -> &Management {
        self.management
    }

    /// What the virtual host has of something.
    pub(super) async fn list<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
    ) -> Result<Vec<T>, TopologyError> {
        Ok(self.management.get(&[what, self.address.vhost()]).await?.unwrap_or_default())
    }

    async fn compare_exchanges(&self, into: &mut Vec<Difference>) -> Result<(), TopologyError> {
        let found: Vec<Exchange> = self.list("exchanges").await?;
        for wanted in &self.wanted.exchanges {
            let what = format!("exchange {}", wanted.name);
            let Some(found) = found.iter().find(|exchange| exchange.name == wanted.name) else {
                into.push(Difference::Missing(what));
                continue;
            };
            into.extend(unlike(&what, "type", &found.kind, &wanted.kind));
            into.extend(unlike(&what, "durable", &found.durable, &wanted.durable));
        }
        Ok(())
    }

    async fn compare_queues(&self, into: &mut Vec<Difference>) -> Result<(), TopologyError> {
        const TYPE: &str = "x-queue-type";
        let found: Vec<FoundQueue> = self.list("queues").await?;
        for wanted in &self.wanted.queues {
            let what = format!("queue {}", wanted.name);
            let Some(found) = found.iter().find(|queue| queue.name == wanted.name) else {
                into.push(Difference::Missing(what));
                continue;
            };
            let kind = found.arguments.get(TYPE).and_then(Value::as_str).unwrap_or("classic");
            let wanted_kind = wanted.arguments.get(TYPE).map_or("classic", String::as_str);
            into.extend(unlike(&what, "type", &kind, &wanted_kind));
            into.extend(unlike(&what, "durable", &found.durable, &wanted.durable));
            let foreign: Vec<&str> =
                found.arguments.keys().map(String::as_str).filter(|key| *key != TYPE).collect();
            into.extend(unlike(&what, "other arguments", &foreign.join(", ").as_str(), &""));
            let policy = if wanted.name == super::DEAD_QUEUE { "qs-dead" } else { "qs-work" };
            let under = found.policy.clone().filter(|name| !name.is_empty());
            // One that is missing altogether is told where policies are compared.
            if under.as_deref().is_some_and(|name| name != policy) {
                into.push(Difference::Overruled {
                    queue: wanted.name.clone(),
                    found: under,
                    wanted: policy.to_owned(),
                });
            }
        }
        Ok(())
    }

    async fn compare_bindings(&self, into: &mut Vec<Difference>) -> Result<(), TopologyError> {
        let found: Vec<Binding> = self.list("bindings").await?;
        let shown = |binding: &Binding| {
            format!(
                "binding of {} to {} with key {}",
                binding.destination, binding.source, binding.routing_key
            )
        };
        let missing = self.wanted.bindings.iter().filter(|wanted| !found.contains(wanted));
        into.extend(missing.map(|wanted| Difference::Missing(shown(wanted))));
        let stray = found.iter().filter(|binding| {
            binding.source == super::JOBS_EXCHANGE && !self.wanted.bindings.contains(binding)
        });
        into.extend(stray.map(|binding| Difference::Stray(shown(binding))));
        Ok(())
    }

    async fn compare_policies(&self, into: &mut Vec<Difference>) -> Result<(), TopologyError> {
        let found: Vec<Policy> = self.list("policies").await?;
        for wanted in &self.wanted.policies {
            match found.iter().find(|policy| policy.name == wanted.name) {
                Some(found) => drift(found, wanted, into),
                None => into.push(Difference::Missing(format!("policy {}", wanted.name))),
            }
        }
        Ok(())
    }

    /// Makes what is missing and changes policies that differ. What cannot be changed in
    /// place, and what is not ours, stays as it is: [`Topology::differences`] still tells
    /// it. The second time, nothing is done.
    ///
    /// Gives what was done.
    pub async fn apply(&self) -> Result<Vec<Difference>, TopologyError> {
        let vhost = self.address.vhost();
        let mut done = Vec::new();
        let mut differences = self.differences().await?;
        if let [Difference::NoVirtualHost(_)] = differences[..] {
            self.management.put(&["vhosts", vhost], &json!({})).await?;
            let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
            self.management.put(&["permissions", vhost, self.address.user()], &all).await?;
            done.append(&mut differences);
            differences = self.differences().await?;
        }
        // Policies first: a queue is then never without its limits.
        for wanted in &self.wanted.policies {
            let named = format!("policy {}", wanted.name);
            let differs = |difference: &Difference| match difference {
                Difference::Policy { name, .. } => *name == wanted.name,
                Difference::Missing(what) => *what == named,
                _ => false,
            };
            if differences.iter().any(differs) {
                self.management
                    .put(&["policies", vhost, &wanted.name], &put_policy(wanted))
                    .await?;
            }
        }
        let missing = |what: &str| {
            differences.iter().any(|d| matches!(d, Difference::Missing(name) if name == what))
        };
        for exchange in &self.wanted.exchanges {
            if missing(&format!("exchange {}", exchange.name)) {
                let body = json!({"type": exchange.kind, "durable": exchange.durable});
                self.management.put(&["exchanges", vhost, &exchange.name], &body).await?;
            }
        }
        for queue in &self.wanted.queues {
            if missing(&format!("queue {}", queue.name)) {
                let body = json!({"durable": queue.durable, "arguments": queue.arguments});
                self.management.put(&["queues", vhost, &queue.name], &body).await?;
            }
        }
        for binding in &self.wanted.bindings {
            let Binding { source, destination, routing_key } = binding;
            // The same binding twice is one.
            let body = json!({"routing_key": routing_key});
            let what = format!("binding of {destination} to {source} with key {routing_key}");
            if missing(&what) {
                self.management
                    .post(&["bindings", vhost, "e", source, "q", destination], &body)
                    .await?;
            }
        }
        let mended =
            |d: &Difference| matches!(d, Difference::Missing(_) | Difference::Policy { .. });
        done.extend(differences.into_iter().filter(mended));
        Ok(done)
    }
}

fn unlike<T: fmt::Display + PartialEq>(
    what: &str,
    part: &'static str,
    found: &T,
    wanted: &T,
) -> Option<Difference> {
    let shown = |value: &T| match value.to_string() {
        text if text.is_empty() => "none".to_owned(),
        text => text,
    };
    (found != wanted).then(|| Difference::Unlike {
        what: what.to_owned(),
        part,
        found: shown(found),
        wanted: shown(wanted),
    })
}

/// Each part of a policy that differs.
fn drift(found: &Policy, wanted: &Policy, into: &mut Vec<Difference>) {
    let mut part = |part: &str, found: Option<Value>, wanted_value: Option<Value>| {
        if found != wanted_value {
            let (name, part) = (wanted.name.clone(), part.to_owned());
            into.push(Difference::Policy { name, part, found, wanted: wanted_value });
        }
    };
    part("pattern", Some(json!(found.pattern)), Some(json!(wanted.pattern)));
    part("apply-to", Some(json!(found.apply_to)), Some(json!(wanted.apply_to)));
    part("priority", Some(json!(found.priority)), Some(json!(wanted.priority)));
    let keys: std::collections::BTreeSet<&String> =
        found.definition.keys().chain(wanted.definition.keys()).collect();
    for key in keys {
        part(key, found.definition.get(key).cloned(), wanted.definition.get(key).cloned());
    }
}

fn put_policy(policy: &Policy) -> Value {
    json!({
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
        "definition": policy.definition,
    })
}
