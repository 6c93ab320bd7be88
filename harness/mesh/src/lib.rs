//! Deploying a mesh, writing configurations to it and reducing what its sidecars hold, all as its mesh definition
//! file says.
//!
//! Invariant: the name of a mesh, its resources and its labels appear only in mesh definition files (and in
//! this crate's tests); the code here would deploy and read another mesh as well.

pub mod definition;
pub mod deploy;
pub mod directory;
pub mod error;
pub mod keys;
pub mod load;
pub mod observe;
pub mod rights;
pub mod scale;
pub mod write;

mod apply;
mod certificate;
mod manifest;
mod status;
mod template;
mod wait;

pub use definition::MeshDefinition;
pub use deploy::DeployOptions;
pub use directory::{Replica, Workload};
pub use error::{DeployMeshError, LoadMeshError, MeshError, WriteError};
pub use keys::Keys;
pub use write::Written;

use harness_model::capability::Capability;
use harness_model::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

/// The label that everything we write carries: its value is the run.
pub use harness_cluster::RUN_LABEL;

/// The label of objects that belong to one scenario: its value is the scenario's key prefix.
pub const SCENARIO_LABEL: &str = "meshproof.io/scenario";

/// The field manager of everything we apply.
pub const FIELD_MANAGER: &str = "meshproof";

/// A mesh that was deployed to a cluster.
///
/// What it offers, by file: [`deploy`] (`deploy`, `set_mutant`),
/// [`directory`] (`directory`, `workloads`, `replicas`, `wait_until_ready`), [`mod@write`] (`write`, `delete`,
/// `write_marker`, `status`, `delete_scenario`, `leftovers`), [`observe`] (`observe`, `request_seen`,
/// `service_url`), [`scale`] (`join`, `vacate`,
/// `restore_scale`).
pub struct Mesh {
    client: kube::Client,
    definition: MeshDefinition,
    topology: Topology,
    context: template::Context,
    /// Pod UID → stable name, so that a name never moves from one living pod to another.
    names: Mutex<BTreeMap<String, String>>,
    /// Deployments that `join` and `vacate` scaled away from one pod.
    scaled: Mutex<BTreeMap<String, u32>>,
    ready: Duration,
}

impl Mesh {
    /// The definition it was deployed from.
    #[must_use]
    pub fn definition(&self) -> &MeshDefinition {
        &self.definition
    }

    /// What the mesh offers to scenarios, beyond what the cluster offers.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        self.definition.capabilities.iter().copied().collect()
    }
}
