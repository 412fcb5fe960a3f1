//! A cluster of three nodes: the contracts, channels over nodes, a slot that moves, and a
//! node that dies and comes back.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, future};
use quaestor_backends::cache::redis::RedisCache;
use quaestor_backends::event_log::redis::RedisEventLog;
use quaestor_backends::limits::provider::redis::RedisProviderLimits;
use quaestor_backends::limits::redis::RedisLimits;
use quaestor_backends::noticeboard::redis::RedisNoticeboard;
use quaestor_backends::redis::RedisServer;
use quaestor_backends::tickets::redis::RedisTickets;
use quaestor_contracts::{
    cache_contract, event_log_contract, limits_contract, noticeboard_contract,
    provider_limits_contract, tickets_contract,
};
use quaestor_core::clock::{Clock, ManualClock, SystemClock};
use quaestor_core::events::Event;
use quaestor_core::ids::JobId;
use quaestor_core::ports::event_log::{EventLog, Watched};
use tokio::time::timeout;
use uuid::Uuid;

use super::own_server::OwnServer;
use super::{WORKSPACE, log_on, settings_of, token, tokens_until_the_end};

/// What a watcher may take to hear of an event: less than it would take to look by itself.
const SOON: Duration = Duration::from_secs(3);

/// Three nodes, each with a third of the slots. What is on a node that is away fails; the
/// others go on.
struct Cluster {
    nodes: Vec<OwnServer>,
}

impl Cluster {
    async fn start() -> Self {
        let options = [
            ["--cluster-enabled", "yes"],
            ["--cluster-require-full-coverage", "no"],
            ["--cluster-node-timeout", "1000"],
        ]
        .concat();
        let nodes = future::join_all((0..3).map(|_| OwnServer::start(&options))).await;
        for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            node.admin::<String>(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
        }
        for (number, node) in nodes.iter().enumerate() {
            node.admin::<String>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await;
        }
        for node in &nodes[1..] {
            nodes[0].admin::<String>(&format!("CLUSTER MEET 127.0.0.1 {}", node.port())).await;
        }
        let cluster = Self { nodes };
        cluster.whole().await;
        cluster
    }

    /// Waits until every node knows that every slot is served.
    async fn whole(&self) {
        let whole = async {
            for node in &self.nodes {
                loop {
                    let info = node.admin::<String>("CLUSTER INFO").await;
                    let known = ["cluster_state:ok", "cluster_slots_ok:16384"];
                    if known.iter().all(|line| info.contains(line)) {
                        break;
                    }
                    SystemClock.sleep(Duration::from_millis(10)).await;
                }
            }
        };
        timeout(Duration::from_secs(20), whole).await.expect("the cluster is whole");
    }

    /// A process that was given the address of one node.
    async fn process(&self, node: usize, namespace: &str) -> RedisEventLog {
        let mut settings = settings_of(self.nodes[node].url());
        settings.namespace = namespace.to_owned();
        log_on(RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap()).await
    }

    /// Which node has the log of a job that was appended to.
    async fn home_of(&self, namespace: &str, job: JobId) -> (usize, String) {
        let keys = format!("KEYS {namespace}:*{}*:ev", job.uuid().simple());
        for (number, node) in self.nodes.iter().enumerate() {
            let keys: Vec<String> = node.admin(&keys).await;
            if let Some(key) = keys.into_iter().next() {
                return (number, key);
            }
        }
        panic!("no node has the log of {job}")
    }
}

async fn server(cluster: &Cluster) -> RedisServer {
    let settings = settings_of(cluster.nodes[1].url());
    RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap()
}

async fn event_log(cluster: &Cluster) -> RedisEventLog {
    log_on(server(cluster).await).await
}

async fn limits(cluster: &Cluster) -> (RedisLimits, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisLimits::new(server(cluster).await, Arc::new(clock.clone())), clock)
}

async fn provider_limits(cluster: &Cluster) -> (RedisProviderLimits, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisProviderLimits::new(server(cluster).await, Arc::new(clock.clone())), clock)
}

async fn tickets(cluster: &Cluster) -> (RedisTickets, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisTickets::new(server(cluster).await, Arc::new(clock.clone())), clock)
}

async fn cache(cluster: &Cluster) -> (RedisCache, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisCache::new(server(cluster).await, Arc::new(clock.clone())), clock)
}

async fn noticeboard(cluster: &Cluster) -> (RedisNoticeboard, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisNoticeboard::new(server(cluster).await, Arc::new(clock.clone())), clock)
}

mod contracts {
    use super::*;

    event_log_contract!(in_one Cluster::start, super::super::event_log);
    limits_contract!(in_one Cluster::start, super::super::limits);
    cache_contract!(in_one Cluster::start, super::super::cache);
    noticeboard_contract!(in_one Cluster::start, super::super::noticeboard);
    provider_limits_contract!(in_one Cluster::start, super::super::provider_limits);
    tickets_contract!(in_one Cluster::start, super::super::tickets);
}

fn job(number: u128) -> JobId {
    JobId(Uuid::from_u128(number))
}

#[tokio::test]
async fn events_ring_over_nodes() {
    let cluster = Cluster::start().await;
    let (writer, reader) = (cluster.process(0, "a").await, cluster.process(2, "a").await);
    let mut watchers = Vec::new();
    for number in 0..30 {
        writer.append(WORKSPACE, job(number), 0, vec![Event::Queued]).await.unwrap();
        watchers.push(reader.watch(WORKSPACE, job(number), None).await.unwrap());
    }
    let firsts = future::join_all(watchers.iter_mut().map(StreamExt::next)).await;
    assert!(firsts.iter().all(Option::is_some));
    for node in &cluster.nodes {
        assert!(!node.admin::<Vec<String>>("PUBSUB SHARDCHANNELS").await.is_empty());
    }
    let writing = async {
        for number in 0..30 {
            writer.append(WORKSPACE, job(number), 1, vec![token(7)]).await.unwrap();
            writer.append(WORKSPACE, job(number), 1, vec![Event::Cancelled]).await.unwrap();
        }
    };
    let told = future::join_all(watchers.into_iter().map(tokens_until_the_end));
    let (told, ()) = timeout(SOON, future::join(told, writing)).await.expect("they ring");
    assert!(told.iter().all(|told| *told == (vec![7], 0)));
}

#[tokio::test]
async fn a_slot_moves_under_a_watcher_and_nothing_is_lost() {
    let cluster = Cluster::start().await;
    let (writer, reader) = (cluster.process(0, "a").await, cluster.process(1, "a").await);
    let moved = job(1);
    writer.append(WORKSPACE, moved, 0, vec![Event::Queued]).await.unwrap();
    let mut watcher = reader.watch(WORKSPACE, moved, None).await.unwrap();
    watcher.next().await;
    let (from, key) = cluster.home_of("a", moved).await;
    let to = (from + 1) % 3;
    let (source, target) = (&cluster.nodes[from], &cluster.nodes[to]);
    let slot: u16 = source.admin(&format!("CLUSTER KEYSLOT {key}")).await;
    let source_id: String = source.admin("CLUSTER MYID").await;
    let target_id: String = target.admin("CLUSTER MYID").await;
    let writing = async {
        for number in 0..300 {
            match number {
                50 => {
                    let import = format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}");
                    target.admin::<String>(&import).await;
                    let migrate = format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}");
                    source.admin::<String>(&migrate).await;
                }
                100 => {
                    let port = target.port();
                    let carry = format!("MIGRATE 127.0.0.1 {port} {key} 0 5000");
                    assert_eq!(source.admin::<String>(&carry).await, "OK");
                }
                200 => {
                    for node in [target, source, &cluster.nodes[(to + 1) % 3]] {
                        let give = format!("CLUSTER SETSLOT {slot} NODE {target_id}");
                        node.admin::<String>(&give).await;
                    }
                }
                _ => {}
            }
            writer.append(WORKSPACE, moved, 1, vec![token(number)]).await.unwrap();
        }
    };
    let reading = async {
        let mut seen = Vec::new();
        while seen.len() < 300 {
            match watcher.next().await {
                Some(Watched::Event(event)) => seen.push(event.event),
                other => panic!("{other:?} after {} tokens", seen.len()),
            }
        }
        seen
    };
    let (seen, ()) =
        timeout(Duration::from_secs(20), future::join(reading, writing)).await.expect("in time");
    assert_eq!(seen, (0..300).map(token).collect::<Vec<_>>());
    assert_eq!(cluster.home_of("a", moved).await.0, to);
    // From its new home it rings at once.
    for number in 300..305 {
        writer.append(WORKSPACE, moved, 1, vec![token(number)]).await.unwrap();
        let next = timeout(SOON, watcher.next()).await.expect("it rings");
        assert!(matches!(next, Some(Watched::Event(event)) if event.event == token(number)));
    }
}

#[tokio::test]
async fn a_node_dies_and_comes_back_and_the_others_go_on() {
    let mut cluster = Cluster::start().await;
    // Both were given the address of the node that dies.
    let (writer, reader) = (cluster.process(0, "a").await, cluster.process(0, "a").await);
    let mut of_node = [None; 3];
    for number in 0.. {
        writer.append(WORKSPACE, job(number), 0, vec![Event::Queued]).await.unwrap();
        of_node[cluster.home_of("a", job(number)).await.0] = Some(job(number));
        if of_node.iter().all(Option::is_some) {
            break;
        }
    }
    let jobs = of_node.map(Option::unwrap);
    let mut watchers = Vec::new();
    for job in jobs {
        let mut watcher = reader.watch(WORKSPACE, job, None).await.unwrap();
        watcher.next().await;
        watchers.push(watcher);
    }
    cluster.nodes[0].kill().await;
    let started = SystemClock.now();
    // It is kept until the node is back.
    writer.append(WORKSPACE, jobs[0], 1, vec![token(0)]).await.unwrap();
    let took = SystemClock.now() - started;
    assert!(took.num_milliseconds() < 3_000, "it took {took}");
    for number in 0..20 {
        for (job, watcher) in jobs.iter().zip(&mut watchers).skip(1) {
            writer.append(WORKSPACE, *job, 1, vec![token(number)]).await.unwrap();
            let next = timeout(2 * SOON, watcher.next()).await.expect("the others ring");
            let told = matches!(next, Some(Watched::Event(event)) if event.event == token(number));
            assert!(told, "token {number} of {job}");
        }
    }
    // Somebody new finds what is there.
    let new = reader.watch(WORKSPACE, jobs[1], None).await.unwrap();

    cluster.nodes[0].start_again().await;
    cluster.whole().await;
    writer.append(WORKSPACE, jobs[0], 1, vec![token(1)]).await.unwrap();
    for job in jobs {
        writer.append(WORKSPACE, job, 1, vec![Event::Cancelled]).await.unwrap();
    }
    let told = future::join_all(watchers.into_iter().map(tokens_until_the_end)).await;
    assert_eq!(told, [(vec![0, 1], 0), (vec![], 0), (vec![], 0)]);
    assert_eq!(tokens_until_the_end(new).await, ((0..20).collect(), 0));
}
