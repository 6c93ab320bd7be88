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
pub mod variables;
pub mod write;

mod apply;
mod ask;
mod audit;
mod away;
mod builds;
mod certificate;
mod denial;
mod handshake;
mod manifest;
mod mesh;
mod parts;
mod published;
mod pull;
mod restart;
mod rotate;
mod running;
mod services;
mod site;
mod status;
mod template;
#[cfg(test)]
mod testing;
mod wait;

pub use audit::AuditMark;
pub use away::Absence;
pub use builds::Build;
pub use definition::MeshDefinition;
pub use denial::Denial;
pub use deploy::DeployOptions;
pub use directory::{Replica, Workload};
pub use error::{DeployMeshError, LoadMeshError, MeshError, WriteError};
pub use keys::Keys;
pub use mesh::Mesh;
pub use observe::asked;
pub use parts::{MeshPod, Part};
pub use published::{Published, Roots};
pub use restart::RolledOut;
pub use running::RunningImage;
pub use write::Written;

/// The label that everything we write carries: its value is the run.
pub use harness_cluster::RUN_LABEL;

/// The label of objects that belong to one scenario: its value is the scenario's key prefix.
pub const SCENARIO_LABEL: &str = "meshproof.io/scenario";

/// The field manager of everything we apply.
pub const FIELD_MANAGER: &str = "meshproof";
