//! Why a call to a probe failed, with the pod and the act.

use crate::Act;
use harness_cluster::ConnectError;
use std::time::Duration;

/// A call to a probe failed. This is never absence: nothing is known about the sidecar.
#[derive(Debug, thiserror::Error)]
#[error("{act} (probe {namespace}/{pod})")]
pub struct ProbeError {
    /// What was asked.
    pub act: Act,
    /// Pod namespace.
    pub namespace: String,
    /// Pod name.
    pub pod: String,
    /// Why it failed.
    #[source]
    pub source: ProbeFailure,
}

/// Why a call to a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// No byte stream into the pod.
    #[error("open a stream into the pod")]
    Connect(#[source] ConnectError),
    /// The exchange broke off.
    #[error("exchange HTTP/1.1 with the probe")]
    Exchange(#[source] hyper::Error),
    /// The probe did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The probe refused the call.
    #[error("the probe answered {status}: {body}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The answer's text.
        body: String,
    },
    /// The answer is not what this version of the probe interface says.
    #[error("understand the probe's answer (is the probe image of another version?)")]
    Decode(#[source] serde_json::Error),
}

impl ProbeError {
    /// The probe could not be reached at all, as opposed to having answered something unexpected.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self.source,
            ProbeFailure::Connect(_) | ProbeFailure::Exchange(_) | ProbeFailure::Timeout(_)
        )
    }
}
