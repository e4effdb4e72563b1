//! What lets people in, and the tasks that go with it.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use crate::auth::{Auth, FailureLog, Provider, keep_credentials};
use crate::config::Config;
use crate::directory::{self, Directory};
use crate::store::Store;

/// What has to run as long as people are let in.
pub(super) struct Watching {
    store: Arc<dyn Store>,
    directory: Directory,
    failures: FailureLog,
    provider: Option<Arc<Provider>>,
}

/// Starts what lets people in. The directory takes the identity provider's tokens from now on, where there is one
/// whose tokens are taken.
pub(super) fn start(
    config: &Config,
    store: &Arc<dyn Store>,
    directory: &Directory,
) -> Result<(Arc<Auth>, Watching), StartError> {
    let settings = config.auth.provider.settings().map_err(StartError::Auth)?;
    let provider = settings.map(Provider::new).transpose();
    let provider = provider.map_err(|error| StartError::Auth(io::Error::other(error)))?.map(Arc::new);
    if let Some(provider) = provider.as_ref().filter(|provider| provider.gives_tokens()) {
        directory.trust(Arc::clone(provider) as Arc<dyn directory::Provider>);
    }
    let rules = config.auth.sessions();
    let started = Auth::start(Arc::clone(store), directory.clone(), rules, provider.clone());
    let (auth, failures) = started.map_err(StartError::Auth)?;
    let (store, directory) = (Arc::clone(store), directory.clone());
    Ok((Arc::new(auth), Watching { store, directory, failures, provider }))
}

impl Watching {
    /// Runs it until `stop` changes.
    pub(super) fn run(self, stop: &watch::Sender<bool>) -> Vec<JoinHandle<()>> {
        let Self { store, directory, failures, provider } = self;
        let mut tasks = vec![
            tokio::spawn(failures.run(stop.subscribe())),
            tokio::spawn(keep_credentials(directory, store, stop.subscribe())),
        ];
        tasks.extend(provider.map(|provider| tokio::spawn(provider.keep(stop.subscribe()))));
        tasks
    }
}
