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
use tokio::time::Instant;

/// The first and the longest pause after a watch broke off.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// A watch that broke off longer ago than this has worked since. More than the longest pause and a refusal take.
const CALM: Duration = Duration::from_secs(5);

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
/// They begin anew once a watch has not broken off for [`CALM`].
#[derive(Debug, Default)]
struct Pauses {
    tries: u32,
    /// When the watch broke off last.
    last: Option<Instant>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let before = self.last.replace(now);
        if before.is_some_and(|before| now.duration_since(before) > CALM) {
            self.tries = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.tries.min(10));
        self.tries += 1;
        Some(pause.min(LONGEST))
    }
}

impl Backoff for Pauses {
    /// Nothing: a watcher says before every list that it begins, which counts as an event, so this is called for each try that
    /// the API server refuses.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_though_every_try_begins_with_an_event() {
        // As a watcher does while the API server refuses: it says that it lists, and then why it cannot.
        let refused = [Ok(()), Err("refused")].into_iter().cycle().take(14);
        let mut events = std::pin::pin!(futures::stream::iter(refused).backoff(Pauses::default()));
        let mut broken = Vec::new();
        while let Some(event) = events.next().await {
            if event.is_err() {
                broken.push(Instant::now());
            }
        }
        // In hundredths of a second: a timer may be a millisecond late.
        let pauses = broken.windows(2).map(|two| two[1].duration_since(two[0]));
        let pauses: Vec<u128> = pauses.map(|pause| pause.as_millis() / 10).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_begin_anew_after_a_watch_has_worked_for_a_while() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.nth(6), Some(LONGEST));
        tokio::time::advance(LONGEST).await;
        pauses.reset();
        assert_eq!(pauses.next(), Some(LONGEST), "a word alone is no calm");
        tokio::time::advance(CALM * 2).await;
        assert_eq!(pauses.next(), Some(FIRST));
    }
}
