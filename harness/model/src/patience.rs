//! Every bound by name, and whose it is: ours (how long the harness waits) or the mesh's duty.

use crate::duration::Span;
use serde::{Deserialize, Serialize};

/// Whose bound a wait had, which says what it means that it was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Whose {
    /// The mesh's duty: it has not done it.
    Mesh,
    /// The harness's own waiting: nothing follows for the mesh.
    Harness,
}

/// The bounds of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patience {
    /// The mesh's duty: from a write being acknowledged by the API server to the last sidecar in scope.
    pub delivery: Span,
    /// The mesh's duty: from the end of a fault to everything being as configured again.
    pub recovery: Span,
    /// The mesh's duty: from an operator's act being acknowledged by the API server to the last certificate that leads to
    /// what is new, or the last sidecar that trusts nothing else. Certificates must live for less than that.
    #[serde(default = "rotation")]
    pub rotation: Span,
    /// Ours: for a marker to show up at every sidecar. When it is over the proof is inconclusive.
    pub marker: Span,
    /// Ours: for a probe to answer one call.
    pub probe: Span,
    /// Ours: for workloads to become ready.
    pub ready: Span,
}

fn rotation() -> Span {
    Span::secs(30)
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            delivery: Span::secs(5),
            recovery: Span::secs(20),
            rotation: rotation(),
            marker: Span::secs(10),
            probe: Span::secs(5),
            ready: Span::secs(120),
        }
    }
}
