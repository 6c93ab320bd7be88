//! What is broken on this node for a while, and is undone by itself.
//!
//! Invariant: what is begun here is undone here, after the time that was asked for, whoever asked and whatever becomes of
//! them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Something that was done and can be undone.
pub(crate) trait Undo<K> {
    /// Undoes it, and tells the log; `key` says what it was done to.
    fn undo(self, key: &K);
}

/// What is broken, by what it was done to.
pub(crate) struct Leases<K, T> {
    held: Mutex<BTreeMap<K, Lease<T>>>,
}

struct Lease<T> {
    done: T,
    end: AbortHandle,
}

impl<K, T> Default for Leases<K, T> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
        }
    }
}

impl<K, T> Leases<K, T>
where
    K: Ord + Clone + Send + 'static,
    T: Undo<K> + Send + 'static,
{
    /// From now on this was done, and is undone after `time`. What was done to the same before is forgotten: this takes its
    /// place.
    pub(crate) fn begin(self: &Arc<Self>, key: K, done: T, time: Duration) {
        // Held until it is in the map: the time may be over at once.
        let mut held = self.held();
        let end = tokio::spawn({
            let (leases, key) = (Arc::clone(self), key.clone());
            async move {
                // `sleep_until` and not an event: the time is what was asked for.
                tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
                leases.end(&key);
            }
        })
        .abort_handle();
        if let Some(former) = held.insert(key, Lease { done, end }) {
            former.end.abort();
        }
    }

    /// Undoes it now; fine when nothing was done.
    pub(crate) fn end(&self, key: &K) {
        let lease = self.held().remove(key);
        let Some(lease) = lease else {
            return;
        };
        lease.done.undo(key);
        // Last: it may be us.
        lease.end.abort();
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<K, Lease<T>>> {
        // The map is whole after every change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{self, UnboundedSender};
    use tokio::time::Instant;

    /// Tells when it is undone.
    struct Told(UnboundedSender<(&'static str, u8)>, u8);

    impl Undo<&'static str> for Told {
        fn undo(self, key: &&'static str) {
            self.0.send((*key, self.1)).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_done_is_undone_after_its_time_or_when_it_is_asked_for_and_once() {
        let (sender, mut undone) = mpsc::unbounded_channel();
        let leases = Arc::new(Leases::default());
        let begun = Instant::now();
        let seconds = Duration::from_secs;
        leases.begin("a", Told(sender.clone(), 1), seconds(30));
        leases.begin("b", Told(sender.clone(), 2), seconds(20));
        leases.begin("c", Told(sender.clone(), 3), seconds(10));
        // In place of the first, whose time is no longer of interest.
        leases.begin("a", Told(sender.clone(), 4), seconds(40));
        leases.end(&"b");
        leases.end(&"b");
        assert_eq!(undone.try_recv(), Ok(("b", 2)));
        assert_eq!(undone.recv().await, Some(("c", 3)));
        assert_eq!(begun.elapsed().as_secs(), 10);
        assert_eq!(undone.recv().await, Some(("a", 4)));
        assert_eq!(begun.elapsed().as_secs(), 40);
        drop(sender);
        drop(leases);
        assert_eq!(undone.recv().await, None);
    }
}
