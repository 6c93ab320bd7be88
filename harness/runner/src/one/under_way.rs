//! The task that carries a scenario out.

use crate::record::Recorder;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The task of a scenario. Whoever drops it, because the environment is lost, wants to hear no more of it.
pub(super) struct UnderWay<T> {
    /// Gives what came of it.
    pub(super) handle: JoinHandle<T>,
    recorder: Arc<Recorder>,
}

impl<T: Send + 'static> UnderWay<T> {
    /// Begins it.
    pub(super) fn start(
        recorder: &Arc<Recorder>,
        execution: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            handle: tokio::spawn(execution),
            recorder: Arc::clone(recorder),
        }
    }

    /// Ends it at its next await; only then nobody writes any more.
    pub(super) async fn cancel(&mut self) {
        self.handle.abort();
        let _ = (&mut self.handle).await;
    }
}

impl<T> Drop for UnderWay<T> {
    fn drop(&mut self) {
        self.handle.abort();
        // It runs on until its next await.
        self.recorder.fall_silent();
    }
}
