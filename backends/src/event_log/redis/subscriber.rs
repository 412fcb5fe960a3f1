//! The one connection that listens, and the task that keeps it: it subscribes and
//! unsubscribes as local listeners come and go, and does all anew after a loss.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use redis::{PushInfo, PushKind, RedisResult};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::hub::{Change, Hub};
use crate::redis::{Connection, Pauses, Pushes, RedisFault, RedisServer};

/// How often a silent connection is tried. There is no limit on how long it may be
/// silent: a limit on reading would end a subscription that has nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How soon a channel is tried again that could not be subscribed to, in a cluster of
/// which a part is away.
const RETRY: Duration = Duration::from_secs(1);

/// Channels in one command.
const AT_ONCE: usize = 256;

/// Subscriptions that are under way at once in a cluster, where each has its own node.
const CLUSTER_AT_ONCE: usize = 32;

/// Keeps the subscriptions of a hub.
pub(super) struct Subscriber {
    pub(super) server: RedisServer,
    pub(super) hub: Arc<Hub>,
}

/// A connection that listens.
pub(super) struct Ears {
    connection: Connection,
    lost: Arc<Notify>,
    subscribed: HashSet<Arc<str>>,
}

impl Subscriber {
    /// Connects. What is pushed from then on reaches the hub.
    pub(super) async fn connect(&self) -> Result<Ears, RedisFault> {
        let lost = Arc::new(Notify::new());
        let pushes: Pushes = {
            let (hub, lost) = (Arc::clone(&self.hub), Arc::clone(&lost));
            Arc::new(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    lost.notify_one();
                } else {
                    hub.pushed(&push);
                }
            })
        };
        let connection = self.server.subscriber(pushes).await?;
        Ok(Ears { connection, lost, subscribed: HashSet::new() })
    }

    /// Listens until it is dropped.
    pub(super) async fn run(self, mut ears: Ears) {
        loop {
            let Err(error) = self.serve(&mut ears).await;
            self.hub.disconnected();
            warn!(
                error = &error as &dyn std::error::Error,
                "the subscriptions to Redis are lost; watchers wait until they stand again"
            );
            drop(ears);
            ears = self.reconnect().await;
            info!("Redis is subscribed to again");
        }
    }

    async fn reconnect(&self) -> Ears {
        let mut pauses = Pauses::default();
        loop {
            match self.connect().await {
                Ok(ears) => return ears,
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "Redis is not back yet");
                    self.server.clock().sleep(pauses.next()).await;
                }
            }
        }
    }

    async fn serve(&self, ears: &mut Ears) -> RedisResult<std::convert::Infallible> {
        let mut beat = self.server.clock().now() + HEARTBEAT;
        loop {
            let failed = self.follow(ears).await?;
            let clock = self.server.clock();
            let retry = async {
                match failed {
                    true => clock.sleep(RETRY).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.hub.channels_changed() => {}
                () = ears.lost.notified() => {
                    return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
                }
                () = retry => {}
                () = clock.sleep_until(beat) => {
                    match (ears.connection.ping().await, &ears.connection) {
                        // The nodes that are there go on; the driver looks for the others.
                        (Err(error), Connection::Cluster(_)) => {
                            debug!(error = &error as &dyn std::error::Error, "a node is silent");
                        }
                        (answer, _) => answer?,
                    }
                    beat = clock.now() + HEARTBEAT;
                }
            }
        }
    }

    /// Brings the subscriptions up to what is listened to. True if some could not be.
    async fn follow(&self, ears: &mut Ears) -> RedisResult<bool> {
        let (mut enter, mut leave) = (Vec::new(), Vec::new());
        for Change { channel, wanted, ended } in self.hub.changes() {
            if ended {
                ears.subscribed.remove(&channel);
            }
            match (wanted, ears.subscribed.contains(&channel)) {
                (true, false) => enter.push(channel),
                // It was left and entered again before this was seen.
                (true, true) => self.hub.subscribed(&channel),
                (false, true) => leave.push(channel),
                (false, false) => {}
            }
        }
        match ears.connection.clone() {
            Connection::Server(mut connection) => {
                for channels in enter.chunks(AT_ONCE) {
                    connection.subscribe(names(channels)).await?;
                    for channel in channels {
                        ears.subscribed.insert(Arc::clone(channel));
                        self.hub.subscribed(channel);
                    }
                }
                for channels in leave.chunks(AT_ONCE) {
                    connection.unsubscribe(names(channels)).await?;
                    channels.iter().for_each(|channel| {
                        ears.subscribed.remove(channel);
                    });
                }
                Ok(false)
            }
            Connection::Cluster(connection) => {
                let entered = stream::iter(enter)
                    .map(|channel| {
                        let mut connection = connection.clone();
                        async move { (connection.ssubscribe(&*channel).await, channel) }
                    })
                    .buffer_unordered(CLUSTER_AT_ONCE)
                    .collect::<Vec<_>>()
                    .await;
                let mut failed = false;
                for (entered, channel) in entered {
                    if entered.is_ok() {
                        self.hub.subscribed(&channel);
                        ears.subscribed.insert(channel);
                    } else {
                        self.hub.again(&channel);
                        failed = true;
                    }
                }
                let left = stream::iter(leave)
                    .map(|channel| {
                        let mut connection = connection.clone();
                        async move { (connection.sunsubscribe(&*channel).await, channel) }
                    })
                    .buffer_unordered(CLUSTER_AT_ONCE)
                    .collect::<Vec<_>>()
                    .await;
                for (left, channel) in left {
                    // One that could not be left ends with its node or with the process;
                    // what it still brings finds no listener.
                    if let Err(error) = left {
                        debug!(error = &error as &dyn std::error::Error, "a channel is not left");
                    }
                    ears.subscribed.remove(&channel);
                }
                Ok(failed)
            }
        }
    }
}

fn names(channels: &[Arc<str>]) -> Vec<&str> {
    channels.iter().map(|channel| &**channel).collect()
}
