//! A few threads for work that only computes, so that the runtime's own stay free.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What waits in each line before a submitter has to wait, for each thread.
const WAITING_PER_THREAD: usize = 4;

type Work = Box<dyn FnOnce() + Send>;

/// Which line work stands in. Each has threads of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Somebody waits for it: a question.
    Urgent,
    /// It may take its time: passages. Its threads are nice: they get what is left over of the
    /// cores by all other work, in this process and beside it.
    Ordinary,
}

/// How nice the threads of ordinary work are: as nice as may be.
const NICE: i32 = 19;

/// Threads for urgent work and as many for ordinary work, so that none waits for the other.
/// They begin with the first work of their line and end with the pool.
#[derive(Debug)]
pub(crate) struct Pool {
    urgent: Crew,
    ordinary: Crew,
}

/// The threads of one line.
#[derive(Debug)]
struct Crew {
    line: Line,
    threads: usize,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
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
        let crew = |line| Crew::new(line, threads.max(1));
        Self { urgent: crew(Line::Urgent), ordinary: crew(Line::Ordinary) }
    }

    /// Runs work on one of the threads; waits while its line is full. Dropped before the
    /// work has begun, the work is left out.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        line: Line,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let crew = match line {
            Line::Urgent => &self.urgent,
            Line::Ordinary => &self.ordinary,
        };
        let place = Arc::clone(&crew.places).acquire_owned().await.map_err(|_| PoolError::Lost)?;
        let (answer, answered) = oneshot::channel();
        crew.push(Box::new(move || {
            let _place: OwnedSemaphorePermit = place;
            if !answer.is_closed() {
                // Nobody may be waiting any more; then the result is not wanted.
                let _ = answer.send(work());
            }
        }))?;
        answered.await.map_err(|_| PoolError::Lost)
    }
}

impl Crew {
    fn new(line: Line, threads: usize) -> Self {
        let places = Arc::new(Semaphore::new(threads * WAITING_PER_THREAD));
        Self { line, threads, places, shared: Arc::default() }
    }

    fn push(&self, work: Work) -> Result<(), PoolError> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.begun {
            for number in 0..self.threads {
                let (shared, line) = (Arc::clone(&self.shared), self.line);
                let name = match line {
                    Line::Urgent => format!("question-{number}"),
                    Line::Ordinary => format!("model-{number}"),
                };
                std::thread::Builder::new().name(name).spawn(move || shared.serve(line))?;
            }
            state.begun = true;
        }
        state.waiting.push_back(work);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn serve(&self, line: Line) {
        // On Linux a thread is nice for itself; elsewhere the process would be.
        #[cfg(target_os = "linux")]
        if line == Line::Ordinary
            && let Err(error) = rustix::process::nice(NICE)
        {
            tracing::warn!(%error, "passages are embedded beside questions, and not after them");
        }
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

    /// The next work; waits for it. None when the pool is gone and nothing waits.
    fn take(&self) -> Option<Work> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let next = state.waiting.pop_front();
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
    async fn urgent_work_does_not_wait_for_ordinary_work() {
        let pool = Pool::new(1);
        let (go, wait) = mpsc::channel::<()>();
        let held = pool.run(Line::Ordinary, move || wait.recv().unwrap());
        let overtakes = async {
            let urgent =
                pool.run(Line::Urgent, || std::thread::current().name().map(str::to_owned));
            assert_eq!(urgent.await.unwrap().as_deref(), Some("question-0"));
            go.send(()).unwrap();
        };
        let (held, ()) = tokio::join!(biased; held, overtakes);
        held.unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn ordinary_work_is_nice_and_urgent_work_is_not() {
        // The nineteenth field; the second holds the thread's name, which has no spaces here.
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.split(' ').nth(18).unwrap().parse::<i32>().unwrap()
        };
        let (pool, own) = (Pool::new(1), niceness());
        assert_eq!(pool.run(Line::Ordinary, niceness).await.unwrap(), 19);
        assert_eq!(pool.run(Line::Urgent, niceness).await.unwrap(), own);
    }
}
