//! The event log on a cluster of one node: sharded pub/sub, and keys that find a slot.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use quaestor_backends::event_log::redis::RedisEventLog;
use quaestor_backends::redis::RedisServer;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::events::Event;
use quaestor_core::ports::event_log::EventLog;
use tokio::time::timeout;

use super::own_server::OwnServer;
use super::{JOB, WORKSPACE, log_on, settings_of, token, tokens_until_the_end};

/// An event log, and the cluster that it stands on.
async fn on_cluster() -> (RedisEventLog, OwnServer) {
    let node = OwnServer::start(&["--cluster-enabled", "yes"]).await;
    node.admin::<String>("CLUSTER ADDSLOTSRANGE 0 16383").await;
    let whole = async {
        while !node.admin::<String>("CLUSTER INFO").await.contains("cluster_state:ok") {
            SystemClock.sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), whole).await.expect("the cluster is whole");
    let settings = settings_of(node.url());
    let server = RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap();
    (log_on(server).await, node)
}

#[tokio::test]
async fn the_channels_are_sharded_and_a_cut_connection_loses_nothing() {
    let (log, node) = on_cluster().await;
    let mut watcher = log.watch(WORKSPACE, JOB, None).await.unwrap();
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    watcher.next().await;
    // The job's, and the one of cancels.
    assert_eq!(node.admin::<Vec<String>>("PUBSUB SHARDCHANNELS").await.len(), 2);
    assert_eq!(node.admin::<Vec<String>>("PUBSUB CHANNELS").await.len(), 0);
    let writing = async {
        for number in 0..300 {
            if number % 100 == 50 {
                node.admin::<i64>("CLIENT KILL TYPE pubsub").await;
            }
            log.append(WORKSPACE, JOB, 1, vec![token(number)]).await.unwrap();
        }
        log.append(WORKSPACE, JOB, 1, vec![Event::Cancelled]).await.unwrap();
    };
    let (seen, ()) = tokio::join!(tokens_until_the_end(watcher), writing);
    assert_eq!(seen, ((0..300).collect(), 0));
}

#[tokio::test]
async fn the_whole_cluster_may_go_and_come_back() {
    let (log, mut node) = on_cluster().await;
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut watcher = log.watch(WORKSPACE, JOB, None).await.unwrap();
    watcher.next().await;
    node.kill().await;
    log.append(WORKSPACE, JOB, 1, vec![token(0)]).await.unwrap();
    node.start_again().await;
    log.append(WORKSPACE, JOB, 1, vec![token(1)]).await.unwrap();
    log.append(WORKSPACE, JOB, 1, vec![Event::Cancelled]).await.unwrap();
    assert_eq!(tokens_until_the_end(watcher).await, (vec![0, 1], 0));
}
