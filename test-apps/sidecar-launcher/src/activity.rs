//! A count of everything that can change the sidecar's configuration, so that the probe looks when there is something
//! to see and not all the time.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The count; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<watch::Sender<u64>>);

impl Activity {
    /// Something happened.
    pub(crate) fn note(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// How much has happened so far.
    pub(crate) fn count(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until the count is another one than `known`, or until the time is over.
    pub(crate) async fn differs_from(&self, known: u64, patience: Duration) {
        let mut changes = self.0.subscribe();
        // Both outcomes are fine: the caller reads the count afterwards.
        let _ = timeout(patience, changes.wait_for(|count| *count != known)).await;
    }
}
