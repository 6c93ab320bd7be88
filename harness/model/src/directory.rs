//! Who is there: the sidecars of an environment with what decides scope.

use serde::{Deserialize, Serialize};

/// One sidecar as the Kubernetes API (not the sidecar itself) tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sidecar {
    /// Stable name across restarts: `application@data-center`, plus `#n` from the second workload on.
    pub name: String,
    /// Pod name.
    pub pod: String,
    /// Pod UID: another UID is another sidecar life.
    pub pod_uid: String,
    /// Cluster.
    pub cluster: String,
    /// Data center (zone of the node).
    pub data_center: String,
    /// Node name.
    pub node: String,
    /// Application label.
    pub application: String,
    /// Pod IP.
    pub ip: String,
    /// The SPIFFE ID that its certificate must carry; none where the mesh gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// The sidecars of an environment, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// The data centers in the topology's order: `$zone1` is the first.
    pub data_centers: Vec<String>,
    /// The sidecars.
    pub sidecars: Vec<Sidecar>,
}
