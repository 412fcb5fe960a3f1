//! The event log on a cluster of one node: sharded pub/sub, and keys that find a slot.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use quaestor_backends::event_log::redis::RedisEventLog;
use quaestor_backends::redis::RedisServer;
use quaestor_contracts::event_log_contract;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::events::{Event, EventId};
use quaestor_core::ids::{ConversationId, JobId, WorkspaceId};
use quaestor_core::ports::event_log::{Appended, EventLog, EventLogError, Rung, Watched};
use tokio::time::timeout;

use super::own_server::OwnServer;
use super::{JOB, WORKSPACE, log_on, settings_of, token, tokens_until_the_end};

/// An event log with the cluster that it stands on.
#[derive(Debug)]
struct OnCluster {
    log: RedisEventLog,
    node: Node,
}

struct Node(OwnServer);

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

async fn on_cluster() -> OnCluster {
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
    OnCluster { log: log_on(server).await, node: Node(node) }
}

#[async_trait]
impl EventLog for OnCluster {
    async fn append(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        attempt: u32,
        events: Vec<Event>,
    ) -> Result<Appended, EventLogError> {
        self.log.append(workspace, job, attempt, events).await
    }

    async fn watch(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        after: Option<EventId>,
    ) -> Result<BoxStream<'static, Watched>, EventLogError> {
        self.log.watch(workspace, job, after).await
    }

    async fn request_cancel(
        &self,
        workspace: WorkspaceId,
        job: JobId,
    ) -> Result<(), EventLogError> {
        self.log.request_cancel(workspace, job).await
    }

    async fn cancel_requested(&self, workspace: WorkspaceId, job: JobId) {
        self.log.cancel_requested(workspace, job).await;
    }

    async fn ring(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
        job: JobId,
    ) -> Result<(), EventLogError> {
        self.log.ring(workspace, conversation, job).await
    }

    async fn rings(
        &self,
        workspace: WorkspaceId,
        conversation: ConversationId,
    ) -> Result<BoxStream<'static, Rung>, EventLogError> {
        self.log.rings(workspace, conversation).await
    }

    async fn ping(&self) -> Result<(), EventLogError> {
        self.log.ping().await
    }
}

event_log_contract!(on_cluster);

#[tokio::test]
async fn the_channels_are_sharded_and_a_cut_connection_loses_nothing() {
    let OnCluster { log, node: Node(node) } = on_cluster().await;
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
    let OnCluster { log, node: Node(mut node) } = on_cluster().await;
    log.append(WORKSPACE, JOB, 0, vec![Event::Queued]).await.unwrap();
    let mut watcher = log.watch(WORKSPACE, JOB, None).await.unwrap();
    watcher.next().await;
    node.kill().await;
    log.append(WORKSPACE, JOB, 1, vec![token(0)]).await.unwrap_err();
    node.start_again().await;
    let again = async {
        let mut number = 1;
        while log.append(WORKSPACE, JOB, 1, vec![token(number)]).await.is_err() {
            SystemClock.sleep(Duration::from_millis(20)).await;
            number += 1;
        }
        number
    };
    let first = timeout(Duration::from_secs(20), again).await.expect("the cluster is back");
    log.append(WORKSPACE, JOB, 1, vec![Event::Cancelled]).await.unwrap();
    assert_eq!(tokens_until_the_end(watcher).await, (vec![first], 1));
}
