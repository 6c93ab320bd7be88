//! Regions, data centers (zones), clusters and nodes, and the latency between data centers.

use crate::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The shape of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topology {
    /// Name, as in `--topology NAME`.
    pub name: String,
    /// Clusters, at least one. This version brings up exactly one.
    pub clusters: Vec<ClusterShape>,
    /// One-way latency between data centers.
    #[serde(default)]
    pub latency: Latency,
}

/// The JSON Schema of the YAML form, derived from the types.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Topology).to_value()
}

/// One Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterShape {
    /// Name.
    pub name: String,
    /// Its data centers, at least one.
    pub data_centers: Vec<DataCenter>,
}

/// One data center, a zone in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataCenter {
    /// Name: the value of `topology.kubernetes.io/zone`.
    pub name: String,
    /// The value of `topology.kubernetes.io/region`.
    pub region: String,
    /// How many nodes, at least one.
    #[serde(default = "one")]
    pub nodes: u32,
}

fn one() -> u32 {
    1
}

/// One-way latency between data centers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// Between any two different data centers without an entry of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Span>,
    /// `from → to → latency`; where only one direction is given it holds for both.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub between: BTreeMap<String, BTreeMap<String, Span>>,
}
