//! A few threads for work that only computes, so that the runtime's own stay free.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What waits in each line before a submitter has to wait, for each thread.
const WAITING_PER_THREAD: usize = 4;

type Work = Box<dyn FnOnce() + Send>;

/// Which line work stands in. Threads empty the first line before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Somebody waits for it: a question.
    Urgent,
    /// It may take its time: passages.
    Ordinary,
}

/// The threads begin with the first work and end with the pool.
#[derive(Debug)]
pub(crate) struct Pool {
    threads: usize,
    urgent: Arc<Semaphore>,
    ordinary: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    urgent: VecDeque<Work>,
    ordinary: VecDeque<Work>,
    begun: bool,
    closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The work did not come back: it panicked, or no thread could be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// The system gave no thread.
    #[error("could not start a thread for the model")]
    Start(#[from] std::io::Error),
    /// The work ended without a result.
    #[error("the model's thread gave up its work")]
    Lost,
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let line = || Arc::new(Semaphore::new(threads * WAITING_PER_THREAD));
        Self { threads, urgent: line(), ordinary: line(), shared: Arc::default() }
    }

    /// Runs work on one of the threads; waits while its line is full. Dropped before the
    /// work has begun, the work is left out.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        line: Line,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let places = match line {
            Line::Urgent => &self.urgent,
            Line::Ordinary => &self.ordinary,
        };
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| PoolError::Lost)?;
        let (answer, answered) = oneshot::channel();
        self.push(
            line,
            Box::new(move || {
                let _place: OwnedSemaphorePermit = place;
                if !answer.is_closed() {
                    // Nobody may be waiting any more; then the result is not wanted.
                    let _ = answer.send(work());
                }
            }),
        )?;
        answered.await.map_err(|_| PoolError::Lost)
    }

    fn push(&self, line: Line, work: Work) -> Result<(), PoolError> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.begun {
            for number in 0..self.threads {
                let shared = Arc::clone(&self.shared);
                std::thread::Builder::new()
                    .name(format!("model-{number}"))
                    .spawn(move || shared.serve())?;
            }
            state.begun = true;
        }
        match line {
            Line::Urgent => state.urgent.push_back(work),
            Line::Ordinary => state.ordinary.push_back(work),
        }
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn serve(&self) {
        // The matrix product spreads over rayon's threads. With a pool of this one
        // thread it stays here, and the number of threads is the configured one.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        if let Err(error) = &alone {
            tracing::warn!(%error, "a thread of the model shares rayon's global threads");
        }
        while let Some(work) = self.take() {
            // A panic ends this work alone; its submitter sees that no result comes.
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
                tracing::error!("work on the model's thread panicked");
            }
        }
    }

    /// The next work; waits for it. None when the pool is gone and its lines are empty.
    fn take(&self) -> Option<Work> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let next = state.urgent.pop_front().or_else(|| state.ordinary.pop_front());
            if next.is_some() || state.closed {
                return next;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_panic_loses_its_own_work_and_no_other() {
        let pool = Pool::new(1);
        let lost = pool.run(Line::Ordinary, || panic!("as the test wants")).await;
        assert!(matches!(lost, Err(PoolError::Lost)));
        assert_eq!(pool.run(Line::Ordinary, || 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn urgent_work_overtakes_what_waits() {
        let pool = Pool::new(1);
        let (go, wait) = mpsc::channel::<()>();
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |word: &'static str| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(word)
        };
        let held = pool.run(Line::Ordinary, move || wait.recv().unwrap());
        let (ordinary, urgent) =
            (pool.run(Line::Ordinary, note("ordinary")), pool.run(Line::Urgent, note("urgent")));
        let release = async {
            go.send(()).unwrap();
        };
        // Polled in this order: all three stand in line before the thread is released.
        let (a, b, c, ()) = tokio::join!(biased; held, ordinary, urgent, release);
        for ended in [a, b, c] {
            ended.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["urgent", "ordinary"]);
    }
}
