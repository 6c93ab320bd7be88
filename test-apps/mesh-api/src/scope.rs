//! `ScopeConfig`: who is addressed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Limits where policies take effect. Entries are ORed, fields within an entry ANDed, `except` wins.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "mesh.meshproof.io",
    version = "v1alpha1",
    kind = "ScopeConfig",
    namespaced,
    shortname = "scope",
    category = "mesh",
    status = "ScopeConfigStatus",
    derive = "PartialEq",
    doc = "Who is addressed by the policies that refer to it.",
    printcolumn(
        name = "Matched",
        type_ = "integer",
        json_path = ".status.matched",
        description = "Sidecars within the scope"
    ),
    printcolumn(
        name = "Policies",
        type_ = "integer",
        json_path = ".status.policies",
        description = "Policies that refer to it"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ScopeConfigSpec {
    /// Matches when one entry matches. No entry matches nobody; an entry without fields matches everybody.
    #[serde(rename = "match")]
    #[schemars(length(max = 64))]
    pub entries: Vec<ScopeEntry>,
    /// Takes out again whom one of these entries matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub except: Vec<ScopeEntry>,
}

/// One entry; an absent field matches everything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ip) || isIP(self.ip) || isCIDR(self.ip)")
    .message("ip must be an IP address or a CIDR block").field_path(".ip"))]
pub struct ScopeEntry {
    /// Data center: the zone label of the node that the pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub data_center: Option<String>,
    /// Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub cluster: Option<String>,
    /// Application: the pod's `app` label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub application: Option<String>,
    /// Address or CIDR block that the pod's address lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub ip: Option<String>,
}

/// Whom the scope covers.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeConfigStatus {
    /// The generation that the figures speak of.
    #[serde(default)]
    pub observed_generation: i64,
    /// Sidecars within the scope.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub matched: u32,
    /// Policies that refer to it.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub policies: u32,
    /// `Effective`: at least one sidecar is within the scope.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
