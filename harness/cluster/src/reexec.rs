//! This program started again, as a process of a cluster.

use crate::{ClusterError, healer, kind, local};
use harness_model::causes::chain;

/// Takes over the process when it was started as one of the roles; returns when it was not. To be called first in
/// `main`, before any thread is started.
#[expect(clippy::exit, reason = "a role is a process of its own")]
pub fn reexec() {
    let first = std::env::args_os().nth(1);
    let Some(name) = first.as_ref().and_then(|name| name.to_str()) else {
        return;
    };
    if name == "__container" {
        std::process::exit(harness_kernel::container::shim())
    }
    let Some(role) = local::role(name)
        .or_else(|| kind::role(name))
        .or_else(|| healer::role(name))
    else {
        return;
    };
    let Err(error) = role() else {
        std::process::exit(0)
    };
    tracing::error!(error = chain(&error), "ended");
    std::process::exit(1)
}

/// What a role is told after its name.
pub(crate) fn argument(act: &str) -> Result<String, ClusterError> {
    std::env::args()
        .nth(2)
        .ok_or_else(|| ClusterError::because(act, "it is not said"))
}
