//! Group commit: calls of one kind that come while one is being written are written
//! together by the next transaction.
//!
//! A commit that has to be on disk takes some milliseconds whether it holds one question
//! or sixty. There is no timer: a call that finds nobody writing is written at once and
//! alone. Each call has its own answer, and a call that cannot be written does not take
//! its neighbours with it: the group is then written one by one.
//!
//! The group is written by a task of its own. A caller that goes away takes its call out
//! of the queue, or, where it is being written, changes nothing: all of it is written.
//!
//! Each kind keeps a connection for itself, on which its one statement stays prepared:
//! taking one from the pool and giving it back would be a round trip more.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quaestor_core::ports::store::StoreError;
use sqlx::postgres::PgConnection;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::connections::Connections;
use super::fault::{Fault, is_passing};
use super::lane::{Kept, Lane};

/// Calls in one transaction, at most: enough to share a commit among, and few enough that
/// nobody waits long for the others' rows.
const GROUP: usize = 64;
/// Calls that wait, at most. More than this is more than the server can take.
const QUEUE: usize = 4_096;
/// Transactions of one kind at once: while one is being put on disk, the next is written.
const WRITERS: usize = 2;

/// A call that can be written together with others of its kind.
pub(super) trait Call: Clone + Send + Sync + 'static {
    /// What it is answered.
    type Answer: Send + 'static;

    /// Writes the calls in one statement, and answers them in their order.
    fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, Fault>>, Fault>> + Send;
}

struct Waiting<C: Call> {
    call: C,
    caller: oneshot::Sender<Result<C::Answer, Fault>>,
}

struct Queue<C: Call> {
    waiting: VecDeque<Waiting<C>>,
    writers: usize,
}

/// The calls of one kind.
pub(super) struct Group<C: Call> {
    queue: Arc<Mutex<Queue<C>>>,
    lane: Arc<Lane>,
    tasks: TaskTracker,
}

impl<C: Call> fmt::Debug for Group<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl<C: Call> Group<C> {
    pub(super) fn new(connections: &Arc<Connections>, tasks: &TaskTracker) -> Self {
        Self {
            queue: Arc::new(Mutex::new(Queue { waiting: VecDeque::new(), writers: 0 })),
            lane: Arc::new(Lane::new(Arc::clone(connections))),
            tasks: tasks.clone(),
        }
    }

    /// Gives back the connection that is kept.
    pub(super) fn let_go(&self) {
        drop(self.lane.take());
    }

    /// Has the call written, with others or alone.
    pub(super) async fn write(&self, call: C) -> Result<C::Answer, Fault> {
        let (caller, answer) = oneshot::channel();
        {
            let mut queue = lock(&self.queue);
            if queue.waiting.len() >= QUEUE {
                return Err(Fault::Busy);
            }
            queue.waiting.push_back(Waiting { call, caller });
            if queue.writers < WRITERS {
                queue.writers += 1;
                let writer = Writer { queue: Arc::clone(&self.queue), counted: true };
                let lane = Arc::clone(&self.lane);
                self.tasks.spawn(async move { writer.run(&lane).await });
            }
        }
        // No answer: the writer fell over, and the call may have been written or not.
        answer.await.unwrap_or(Err(Fault::Busy))
    }
}

/// One that writes groups until nobody waits.
struct Writer<C: Call> {
    queue: Arc<Mutex<Queue<C>>>,
    counted: bool,
}

impl<C: Call> Writer<C> {
    async fn run(mut self, lane: &Lane) {
        let mut connection = None;
        while let Some(group) = self.next() {
            let calls: Vec<C> = group.iter().map(|waiting| waiting.call.clone()).collect();
            match lane.write(&mut connection, calls).await {
                Ok(answers) => {
                    for (waiting, answer) in group.into_iter().zip(answers) {
                        // An error here is a caller that has gone away.
                        drop(waiting.caller.send(answer));
                    }
                }
                Err(fault) => one_by_one(lane, &mut connection, group, fault).await,
            }
        }
        lane.keep(connection);
    }

    /// The next calls whose callers still wait; none where nobody waits. The writer is then
    /// no longer counted, under the same lock: who comes next begins another.
    fn next(&mut self) -> Option<Vec<Waiting<C>>> {
        let mut queue = lock(&self.queue);
        let mut group = Vec::new();
        while group.len() < GROUP {
            let Some(waiting) = queue.waiting.pop_front() else { break };
            if !waiting.caller.is_closed() {
                group.push(waiting);
            }
        }
        if group.is_empty() {
            queue.writers -= 1;
            self.counted = false;
            return None;
        }
        Some(group)
    }
}

impl<C: Call> Drop for Writer<C> {
    fn drop(&mut self) {
        // Only where it fell over; what waits is taken by the next call's writer.
        if self.counted {
            lock(&self.queue).writers -= 1;
        }
    }
}

/// Writes each call of a group that failed for itself: it is one of them, and each shall
/// be told its own. Where the server is away, all are told so at once: asking it again for
/// each of them would take too long.
async fn one_by_one<C: Call>(
    lane: &Lane,
    connection: &mut Option<Kept>,
    group: Vec<Waiting<C>>,
    fault: Fault,
) {
    let alone = group.len() == 1;
    let away = away(&fault);
    let mut fault = Some(fault);
    for waiting in group {
        let answer = match (&away, alone) {
            (_, true) => Err(fault.take().unwrap_or(Fault::Busy)),
            (Some(cause), _) => Err(Fault::Store(StoreError::Unavailable {
                action: "write a group of calls",
                source: cause.clone().into(),
            })),
            (None, _) => match lane.write(connection, vec![waiting.call]).await {
                Ok(mut answers) => answers.pop().unwrap_or(Err(Fault::Busy)),
                Err(fault) => Err(fault),
            },
        };
        drop(waiting.caller.send(answer));
    }
}

/// What to say where the server is away. A group that was undone for another transaction's
/// sake (class 40, as a deadlock is) met a server that serves.
fn away(fault: &Fault) -> Option<String> {
    match fault {
        Fault::Busy => Some("the server did not serve in time".to_owned()),
        Fault::Store(error) => {
            matches!(error, StoreError::Unavailable { .. }).then(|| error.to_string())
        }
        Fault::Sql(sqlx::Error::Database(cause))
            if cause.code().is_some_and(|code| code.starts_with("40")) =>
        {
            None
        }
        Fault::Sql(error) => is_passing(error).then(|| error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
