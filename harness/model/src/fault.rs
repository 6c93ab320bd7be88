//! What can be broken, in Chaos Mesh's words where it has one.

use crate::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Fault {
    /// Deletes a pod, or every pod of a component, without grace (PodChaos `pod-kill`). Does not need healing.
    PodKill {
        /// Whom.
        selector: PodSelector,
    },
    /// Cuts a data center off from everything outside it at its router; the kernel heals it after `duration`,
    /// whether or not the harness lives.
    ZoneOutage {
        /// Data center; placeholders as in scopes.
        data_center: String,
        /// For how long.
        duration: Span,
    },
}

/// Whom a kill is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum PodSelector {
    /// A workload by its stable name, `application@data-center` with placeholders.
    Workload(String),
    /// One control-plane replica: the one that most sidecars are connected to.
    ControlPlaneReplica,
    /// Every pod of a further part of the mesh, by the name that the mesh definition gives it.
    Component(String),
}
