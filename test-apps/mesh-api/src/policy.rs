//! `PolicyConfig`: what the sidecars within a scope receive, and what became of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Toggles, routing rules and TLS for the sidecars within exactly one scope.
///
/// Where several policies give the same toggle key, rule name or field of `tls` to one sidecar, the most specific scope wins
/// (IP > application > cluster > data center > everywhere; between blocks the longer prefix), then the higher
/// priority, then the older policy, then the lesser name.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "mesh.meshproof.io",
    version = "v1alpha1",
    kind = "PolicyConfig",
    namespaced,
    shortname = "policy",
    category = "mesh",
    status = "PolicyConfigStatus",
    derive = "PartialEq",
    doc = "Toggles, routing rules and TLS for the sidecars within one scope.",
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scopeRef"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority"),
    printcolumn(
        name = "Matched",
        type_ = "integer",
        json_path = ".status.matched",
        description = "Sidecars within the scope"
    ),
    printcolumn(
        name = "Acknowledged",
        type_ = "integer",
        json_path = ".status.acknowledged",
        description = "Sidecars that acknowledged this generation"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Every sidecar within the scope acknowledged this generation"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.toggles) || !('' in self.toggles)")
    .message("toggles must not have an empty key").field_path(".toggles"))]
#[x_kube(validation = Rule::new("!has(self.toggles) || self.toggles.all(key, size(key) <= 253)")
    .message("keys of toggles must not be longer than 253 characters").field_path(".toggles"))]
#[x_kube(validation = Rule::new("!has(self.toggles) || self.toggles.all(key, !key.startsWith('envoy.'))")
    .message("keys of toggles must not begin with `envoy.`, which steers the sidecar itself").field_path(".toggles"))]
pub struct PolicyConfigSpec {
    /// Name of the `ScopeConfig` in the same namespace. While it is missing, nobody receives the policy.
    #[schemars(length(min = 1, max = 253))]
    pub scope_ref: String,
    /// Higher wins between policies whose scopes are equally specific.
    #[serde(default)]
    pub priority: i32,
    /// Toggle key → value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 256))]
    pub toggles: BTreeMap<String, ToggleValue>,
    /// Routing rules; the first that catches a request decides. Names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<RoutingRule>,
    /// TLS between sidecars; absent: this policy says nothing of it. Each field is a key of its own where several
    /// policies meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsPolicy>,
}

/// TLS between sidecars, for each direction of a connection. What no policy says is plaintext.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPolicy {
    /// What the sidecar takes from callers, as a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<InboundTls>,
    /// What the sidecar offers to services, as a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<OutboundTls>,
    /// SPIFFE IDs of the callers that are let in; absent: everybody. Who calls in plaintext has no identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.all(id, id.startsWith('spiffe://'))").message("callers are named by SPIFFE IDs"))]
    pub allow: Option<Vec<SpiffeUri>>,
}

/// A SPIFFE ID, `spiffe://TRUST-DOMAIN/PATH`.
#[derive(
    schemars::JsonSchema,
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct SpiffeUri(#[schemars(length(min = 10, max = 2048))] pub String);

/// What a server's sidecar takes on the ports of services.
#[derive(
    schemars::JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum InboundTls {
    /// No TLS; the sidecar has no certificate for this. (Not called `off`, which YAML 1.1 takes for a boolean.)
    #[default]
    Plaintext,
    /// Plaintext, and TLS of other sidecars.
    Permissive,
    /// TLS of other sidecars only.
    Strict,
}

/// What a client's sidecar offers to the services of the mesh.
#[derive(
    schemars::JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum OutboundTls {
    /// Plaintext.
    #[default]
    Plaintext,
    /// TLS to endpoints whose sidecars are to take it, as far as policies say; plaintext to the others.
    Permissive,
    /// TLS, and nothing else.
    Strict,
}

/// The value of a toggle, delivered as text.
#[derive(
    schemars::JsonSchema,
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ToggleValue(#[schemars(length(max = 1024))] pub String);

impl From<&str> for ToggleValue {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Which requests to a service go elsewhere.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingRule {
    /// Names the rule; the route that it becomes has exactly this name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self != 'default'").message("name `default` is taken by the service's own route"))]
    pub name: String,
    /// The service whose requests it catches, in the policy's namespace.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"))]
    pub service: String,
    /// Which requests; absent: all.
    #[serde(default, rename = "match")]
    pub condition: RuleMatch,
    /// Where they go; services are unique.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["service".into()]))]
    pub to: Vec<Destination>,
    /// How long the caller's sidecar waits for the whole answer, all attempts together, in milliseconds. Absent: 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 3_600_000))]
    pub timeout_ms: Option<u32>,
    /// When a request is tried again; absent: three times, and only where no application answered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryRule>,
    /// A service that is sent a copy of each request. What it answers is thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"))]
    pub mirror: Option<String>,
}

/// When a request is tried again.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryRule {
    /// How often at most, after the first time.
    #[schemars(with = "i32", range(min = 0, max = 10))]
    pub times: u32,
    /// HTTP statuses of applications that are not taken for an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<i32>", length(max = 16))]
    pub statuses: Vec<u32>,
}

/// Which requests a rule catches: path and headers are ANDed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.pathPrefix) && has(self.pathRegex))")
    .message("pathPrefix and pathRegex exclude each other").field_path(".pathRegex"))]
pub struct RuleMatch {
    /// Path prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub path_prefix: Option<String>,
    /// Regular expression for the whole path. Only the sidecar can judge it: a malformed one is rejected
    /// there, and the status says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path_regex: Option<String>,
    /// Headers that must have exactly these values; names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub headers: Vec<HeaderMatch>,
}

/// One header and its value.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Name.
    #[schemars(length(max = 256), regex(pattern = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub name: String,
    /// The exact value.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Where requests go, by share.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// Service in the policy's namespace.
    #[schemars(regex(pattern = r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"))]
    pub service: String,
    /// Share of the requests: weight / sum of weights.
    #[serde(default = "one")]
    #[schemars(with = "i32", range(min = 1, max = 1_000_000))]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// What became of the policy.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyConfigStatus {
    /// The generation that the figures speak of.
    #[serde(default)]
    pub observed_generation: i64,
    /// Sidecars within the scope, connected or not.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub matched: u32,
    /// Those of them that this generation was sent to.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub delivered: u32,
    /// Those of them that acknowledged it.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub acknowledged: u32,
    /// Those of them that rejected it, by pod name.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pod".into(), "type".into()]))]
    pub rejected: Vec<Rejection>,
    /// `ScopeResolved`: the scope exists. `Ready`: every sidecar within the scope acknowledged.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A sidecar would not take an update.
#[derive(
    KubeSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Pod name.
    pub pod: String,
    /// xDS type in short: `RDS`, `RTDS`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The sidecar's own words.
    pub message: String,
}
