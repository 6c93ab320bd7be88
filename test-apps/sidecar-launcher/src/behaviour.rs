//! Where the launcher takes its decisions, so that another binary can take wrong ones on purpose.
//!
//! Invariant: every method's default is the faithful behaviour, and nothing here knows of any other.

use std::future::{Future, pending};
use std::pin::Pin;
use tokio::sync::watch;

/// The decisions of the launcher.
pub trait Behaviour: Send + Sync + 'static {
    /// For how many seconds the sidecar lets connections be used that an update has made old, where the settings say `seconds`.
    /// It is told nothing where this is none: by itself it lets them live for ten minutes.
    fn old_connections_seconds(&self, seconds: u64) -> Option<u64> {
        Some(seconds)
    }

    /// Whether the pod may take traffic, where the sidecar says so or says that it may not, or says nothing yet.
    fn is_ready(&self, sidecar_says_so: bool) -> bool {
        sidecar_says_so
    }

    /// Ends when a sidecar that runs is to be started anew. It never is: what it holds is good until the control plane says
    /// otherwise, however long that is away. `open` counts the sidecar's connections to its control plane.
    fn has_to_start_anew(
        &self,
        _open: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(pending())
    }

    /// Ends when a sidecar that runs is to end though nobody has told it to. It never is: what its application has begun to
    /// answer goes through it, and Kubernetes tells a sidecar when its application has ended. `application` is a port of that.
    fn has_to_end(&self, _application: u16) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(pending())
    }
}

/// As designed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Behaviour for Faithful {}
