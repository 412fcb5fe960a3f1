//! What `deploy/` says of the program, held to the program: metrics, queues, keys of the
//! configuration and command lines.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Parser;
use quaestor::cli::{Arguments, Command};
use quaestor::config::{Environment, KEYS, Sources, load};
use quaestor_core::jobs::{JobKind, Step};
use quaestor_core::metrics::ALL;

fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a key, wherever it stands.
fn values<'a>(yaml: &'a str, key: &str) -> Vec<&'a str> {
    let lines = yaml.lines().map(|line| line.trim_start().trim_start_matches("- "));
    let of_key = |line: &'a str| line.strip_prefix(key)?.strip_prefix(": ");
    lines.filter_map(of_key).map(|value| value.trim_matches('"')).collect()
}

/// The parts of a file that are objects of their own.
fn objects<'a>(yaml: &'a str, kind: &str) -> Vec<&'a str> {
    let kind = format!("kind: {kind}");
    yaml.split("\n---\n").filter(|part| part.lines().any(|line| line == kind)).collect()
}

#[test]
fn every_worker_is_a_command_of_the_program_with_keys_that_it_knows() {
    let yaml = text("deploy/keda/workers.yaml");
    let mut kinds = BTreeSet::new();
    for object in objects(&yaml, "Deployment") {
        let arguments = values(object, "args")[0].trim_matches(['[', ']']);
        let all = std::iter::once("quaestor").chain(arguments.split(", "));
        let Command::Worker(worker) = Arguments::try_parse_from(all).unwrap().command else {
            panic!("{arguments} is no worker");
        };
        for queue in worker.queues {
            assert!(queue.parse::<JobKind>().is_ok() || queue.parse::<Step>().is_ok(), "{queue}");
            kinds.insert(queue);
        }
        assert_eq!(values(object, "terminationGracePeriodSeconds"), ["900"]);
        // The environment is a configuration that the program takes.
        let mut environment = Vec::new();
        let mut lines = object.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix("- name: QUAESTOR_") {
                let value = lines.peek().unwrap().strip_prefix("value: ").unwrap();
                environment.push((format!("QUAESTOR_{name}"), value.trim_matches('"')));
            }
        }
        let named: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let sources = Sources { environment: Environment::of(&named), ..Sources::default() };
        let config = load(&sources).unwrap().config;
        assert!(config.workers.drain_s < 900 && config.workers.drain_s > 800);
    }
    let all: BTreeSet<String> = JobKind::ALL.map(|kind| kind.as_str().to_owned()).into();
    assert_eq!(kinds, all, "each kind of work has its workers");
}

#[test]
fn every_queue_is_scaled_by_what_it_needs_and_by_the_brokers_own_number() {
    let workers = text("deploy/keda/workers.yaml");
    let yaml = text("deploy/keda/scaledobjects.yaml");
    let topology = text("queue-topology/base.json");
    let metric = ALL.iter().find(|metric| metric.name == "quaestor_desired_workers").unwrap();
    let mut scaled = BTreeSet::new();
    for object in objects(&yaml, "ScaledObject") {
        let target = values(object, "name")[0];
        let kind = target.strip_prefix("quaestor-worker-").unwrap();
        let deployment = objects(&workers, "Deployment");
        let deployment = deployment.iter().find(|part| values(part, "name")[0] == target).unwrap();
        let asked: Vec<Step> = values(object, "query")
            .iter()
            .map(|query| {
                let rest = query.strip_prefix("max(").unwrap();
                let (name, rest) = rest.split_once('{').unwrap();
                assert_eq!(name, metric.name);
                let (label, rest) = rest.split_once("=\"").unwrap();
                assert!(metric.labels.iter().any(|known| known.name == label), "{query}");
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        let of_kind = Step::ALL.into_iter().filter(|step| step.kind().as_str() == kind);
        assert_eq!(asked, of_kind.collect::<Vec<_>>(), "{target}");
        let of_broker: Vec<String> =
            asked.iter().map(|step| format!("qs.{}.v1", step.as_str())).collect();
        assert_eq!(values(object, "queueName"), of_broker);
        for queue in &of_broker {
            assert!(topology.contains(&format!("\"name\": \"{queue}\"")), "{queue}");
        }
        for (step, threshold) in asked.iter().zip(values(object, "threshold")) {
            let key = format!("workers.slots_max.{}", step.as_str().replace('.', "_"));
            let key = KEYS.iter().find(|known| known.path == key).unwrap();
            let of_pod = format!("name: {}\n              value: \"{threshold}\"", key.variable());
            assert!(deployment.contains(&of_pod), "{target}: a pod has {threshold} of {step}");
        }
        let least: u32 = values(object, "minReplicaCount")[0].parse().unwrap();
        assert_eq!(least > 0, kind == JobKind::Chat.as_str(), "who asks waits for no start");
        assert!(object.contains("stabilizationWindowSeconds: 300"));
        assert!(values(object, "excludeUnacknowledged").iter().all(|value| *value == "false"));
        scaled.extend(asked);
    }
    assert_eq!(scaled, BTreeSet::from(Step::ALL));
}

#[test]
fn units_start_commands_of_the_program() {
    for unit in ["quaestor-scaler.service", "quaestor-worker@.service"] {
        let unit = text(&format!("deploy/systemd/{unit}"));
        let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let parsed = Arguments::try_parse_from(command.split(' ')).unwrap();
        assert!(matches!(parsed.command, Command::Scaler(_) | Command::Worker(_)), "{command}");
        let environment = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
        let pairs: Vec<(&str, &str)> = environment
            .flat_map(|line| line.split(' '))
            .map(|pair| pair.split_once('=').unwrap())
            .collect();
        load(&Sources { environment: Environment::of(&pairs), ..Sources::default() }).unwrap();
    }
}
