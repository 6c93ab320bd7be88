//! Watches that start over when the node was cut off.
//!
//! After a cut the API server's side of a watch repeats what was lost ever more seldom; a new connection hears of it
//! at once.

use futures::StreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use std::fmt::Debug;
use std::time::Duration;
use tokio::sync::watch;

/// The first and the longest pause after a watch broke off.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

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
        let mut events =
            std::pin::pin!(watcher(api.clone(), config.clone()).backoff(Pauses::default()));
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

/// Pauses that double from [`FIRST`] to [`LONGEST`]: a node whose rights are a moment late must not stand still for seconds.
#[derive(Debug, Default)]
struct Pauses {
    tries: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = FIRST.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        Some(pause.min(LONGEST))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_begin_anew() {
        let mut pauses = Pauses::default();
        let seven = pauses.by_ref().take(7);
        let millis: Vec<u128> = seven.map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [50, 100, 200, 400, 800, 1000, 1000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(FIRST));
    }
}
