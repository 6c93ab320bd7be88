//! A configuration as the suites speak of it: a scope, toggles, routing rules and TLS. How it is written to a
//! mesh is told by the mesh definition.

pub mod limits;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A named configuration: what it says and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// Name within the scenario.
    pub name: String,
    /// Who receives it.
    pub scope: Scope,
    /// Higher wins between configurations of equal specificity.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Toggle key → value, within the scenario (the runner prefixes keys so that scenarios never share one).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub toggles: BTreeMap<String, String>,
    /// Routing rules by name, within the scenario.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, Rule>,
    /// TLS between sidecars. It has no key that would tell scenarios apart, so of those that speak of it one runs at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// TLS between sidecars, for each direction of a connection. Where several configurations meet each field is decided by
/// itself; what none of them says is plaintext.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// What the sidecar takes from callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<InboundTls>,
    /// What the sidecar offers to the services that it calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<OutboundTls>,
    /// The applications that may call; absent: every one. Who calls in plaintext may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
}

/// What a callee's sidecar takes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum InboundTls {
    /// Plaintext.
    #[default]
    Plaintext,
    /// Plaintext, and TLS of other sidecars.
    Permissive,
    /// TLS of other sidecars only.
    Strict,
}

/// What a caller's sidecar offers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum OutboundTls {
    /// Plaintext.
    #[default]
    Plaintext,
    /// TLS to endpoints whose sidecars are to take it, as far as the mesh's own configuration says; plaintext to the others.
    Permissive,
    /// TLS, and nothing else.
    Strict,
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// Who receives a configuration: entries are ORed, fields within an entry ANDed, `except` wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scope {
    /// Matches when one entry matches. No entry matches nobody; an entry without fields matches everybody.
    #[serde(rename = "match")]
    pub entries: Vec<ScopeEntry>,
    /// Takes out again whom one of these entries matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<ScopeEntry>,
}

/// One entry of a scope; absent fields match everything. In a scenario, values may be placeholders: `$zone1` is the first
/// data center, `$cluster1` the first cluster, `$ip:APPLICATION@$zone1` the address of a sidecar (with `/24` the block
/// around it), and `$unknown:NAME` a name that nobody is meant to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeEntry {
    /// Data center (zone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_center: Option<String>,
    /// Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// IPv4 address or CIDR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// A routing rule: which requests to a service go elsewhere.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The service whose requests it catches.
    pub service: String,
    /// Path prefix; absent matches every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// A regular expression for the whole path. Only the sidecar can judge it, so a malformed one is how a
    /// scenario makes a sidecar reject an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// Headers that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Destination service → weight.
    pub to: BTreeMap<String, u32>,
    /// How long the caller's sidecar waits for the whole answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// When a request is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// A service that is sent a copy of each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
}

/// When a request is tried again.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// How often at most, after the first time.
    pub times: u32,
    /// HTTP statuses of applications that are not taken for an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}
