//! Hashes passwords on threads of its own: a few, of low priority, behind bounded queues, so that a storm of logins
//! costs logins time and nothing else.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use waggle_core::limits::PASSWORDS_WAITING_MAX;

use super::password::{self, HashError, Password};
use crate::priority::background_priority;

/// Whose password waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Of a browser that has logged in before: those go first, so that strangers do not keep them out.
    Known,
    /// Of any other.
    Strangers,
}

/// Too many passwords wait, or the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins are under way")]
pub struct Busy;

type Job = Box<dyn FnOnce() + Send>;

/// The threads that hash.
pub struct Hasher {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    known: VecDeque<Job>,
    strangers: VecDeque<Job>,
    is_closed: bool,
}

impl Hasher {
    /// Starts a thread for every four processors.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4));
        let shared = Arc::<Shared>::default();
        let run = |index| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("passwords-{index}")).spawn(move || shared.run())
        };
        let threads = (0..threads).map(run).collect::<io::Result<_>>()?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Whether `password` is the one of `hash`.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, line: Line, password: Arc<Password>, hash: String) -> Result<bool, Busy> {
        self.run(line, move || password::verify(&password, &hash)).await
    }

    /// A password's hash.
    ///
    /// # Errors
    /// [`Busy`]; within it, where it cannot be hashed.
    pub async fn hash(&self, password: Arc<Password>) -> Result<Result<String, HashError>, Busy> {
        self.run(Line::Known, move || password::hash(&password)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        line: Line,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        // Who asked may be gone: then nothing is hashed for it.
        let job = move || {
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        };
        self.shared.push(line, Box::new(job))?;
        answered.await.map_err(|_| Busy)
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.is_closed = true;
        queue.known.clear();
        queue.strangers.clear();
        drop(queue);
        self.shared.arrived.notify_all();
        for thread in self.threads.lock().drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn push(&self, line: Line, job: Job) -> Result<(), Busy> {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            return Err(Busy);
        }
        let waiting = match line {
            Line::Known => &mut queue.known,
            Line::Strangers => &mut queue.strangers,
        };
        if waiting.len() >= PASSWORDS_WAITING_MAX {
            return Err(Busy);
        }
        waiting.push_back(job);
        self.arrived.notify_one();
        Ok(())
    }

    fn run(&self) {
        background_priority();
        loop {
            let mut queue = self.queue.lock();
            let job = loop {
                if queue.is_closed {
                    return;
                }
                match queue.known.pop_front() {
                    Some(job) => break job,
                    None => match queue.strangers.pop_front() {
                        Some(job) => break job,
                        None => self.arrived.wait(&mut queue),
                    },
                }
            };
            drop(queue);
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Arc<Password> {
        Arc::new(Password::new(text.to_owned()))
    }

    #[tokio::test]
    async fn passwords_are_hashed_and_verified() {
        let hasher = Hasher::start().unwrap();
        let hash = hasher.hash(password("correct horse")).await.unwrap().unwrap();
        assert_eq!(hasher.verify(Line::Known, password("correct horse"), hash.clone()).await, Ok(true));
        assert_eq!(hasher.verify(Line::Strangers, password("wrong horse"), hash).await, Ok(false));
    }

    #[test]
    fn strangers_wait_behind_those_who_are_known_and_their_line_is_bounded() {
        let shared = Arc::<Shared>::default();
        let order = Arc::<Mutex<Vec<Line>>>::default();
        let job = |line| {
            let order = Arc::clone(&order);
            Box::new(move || order.lock().push(line)) as Job
        };
        for _ in 0..PASSWORDS_WAITING_MAX {
            assert_eq!(shared.push(Line::Strangers, job(Line::Strangers)), Ok(()));
        }
        assert_eq!(shared.push(Line::Strangers, job(Line::Strangers)), Err(Busy));
        assert_eq!(shared.push(Line::Known, job(Line::Known)), Ok(()));
        let running = Arc::clone(&shared);
        let done = {
            let shared = Arc::clone(&shared);
            Box::new(move || shared.queue.lock().is_closed = true) as Job
        };
        let mut queue = shared.queue.lock();
        queue.strangers.pop_back();
        queue.strangers.push_back(done);
        drop(queue);
        std::thread::spawn(move || running.run()).join().unwrap();
        let order = order.lock();
        assert_eq!((order.len(), order[0], order[1]), (PASSWORDS_WAITING_MAX, Line::Known, Line::Strangers));
        assert_eq!(shared.push(Line::Known, job(Line::Known)), Err(Busy));
    }
}
