//! A thread with a runtime of its own, and its end.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// A thread that runs until it is stopped, or nobody has it any more. Clones share it.
#[derive(Clone)]
pub(crate) struct Worker(Arc<Ends>);

struct Ends {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Worker {
    /// Starts it.
    pub(crate) fn spawn<F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> Result<Self, StoreError>
    where
        F: Future<Output = ()>,
    {
        let failed = |error: std::io::Error| StoreError::Database(sqlx::Error::Io(error));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = work() => {}
                }
            });
            // Nobody may be waiting for it.
            let _ = end.send(());
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)?;
        Ok(Self(Arc::new(Ends { stop: Some(stop).into(), ended: Some(ended).into() })))
    }

    /// Ends it between two steps of its work.
    pub(crate) async fn stop(&self) {
        drop(self.0.stop.lock().take());
        let ended = self.0.ended.lock().take();
        if let Some(ended) = ended {
            // An error means that it is gone: what was to be waited for.
            let _ = ended.await;
        }
    }
}
