//! Watches that start over when the node was cut off.
//!
//! After a cut the API server's side of a watch repeats what was lost ever more seldom; a new connection hears of it
//! at once.

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use std::fmt::Debug;
use tokio::sync::watch;

/// Counts how often the node came back after it could not reach the API server.
pub(crate) type Recoveries = watch::Receiver<u64>;

/// Hands every event to `handle`, for ever.
pub(crate) async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    mut recoveries: Recoveries,
    mut handle: impl FnMut(watcher::Event<K>),
) where
    K: Resource + Clone + serde::de::DeserializeOwned + Debug + Send + 'static,
{
    loop {
        let mut events = std::pin::pin!(watcher(api.clone(), config.clone()).default_backoff());
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => handle(event),
                    Some(Err(error)) => tracing::debug!(%error, "watch interrupted"),
                    None => break,
                },
                Ok(()) = recoveries.changed() => break,
            }
        }
    }
}
