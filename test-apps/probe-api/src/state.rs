//! What a sidecar holds, as the probe beside it reads it from the sidecar's admin interface.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One consistent reading of a sidecar: every part was read while the sidecar showed the same marks of change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SidecarState {
    /// Canonical content hash of `sidecar` (hex, SHA-256 over sorted JSON without versions, times and
    /// update counters' values that change without a change of configuration). `differs_from` compares it.
    pub hash: String,
    /// When the reading was finished, nanoseconds since the Unix epoch.
    pub observed_at_ns: u64,
    /// How far apart two looks are while somebody waits and something has just reached a sidecar that is quick to answer, in
    /// milliseconds: the resolution of `observed_at_ns` for changes that the control plane makes.
    pub resolution_ms: u64,
    /// Who this workload is, from the downward API.
    pub identity: Identity,
    /// The sidecar, or why it could not be read.
    pub sidecar: SidecarReading,
}

/// Who a workload is, as its own pod knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Pod name.
    pub pod: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod UID.
    pub pod_uid: String,
    /// Pod IP.
    pub pod_ip: String,
    /// Node name.
    pub node: String,
    /// Application (the `app` label).
    pub application: String,
    /// Zone (data center); empty where the downward API does not tell it.
    pub zone: String,
}

/// The outcome of reading the sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum SidecarReading {
    /// The sidecar answered.
    Read(Box<Sidecar>),
    /// The pod has no sidecar (no admin address is configured).
    None,
    /// The admin interface did not answer; the text says what was tried and how it failed.
    Unreachable(String),
}

/// What the sidecar holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sidecar {
    /// The sidecar's version string, for example Envoy's `server_info.version`.
    pub version: String,
    /// How often the sidecar process was started in this container, first start = 1, where it is known.
    pub starts: u64,
    /// The sidecar says that it takes traffic.
    pub ready: bool,
    /// The connection to the control plane.
    pub control_plane: ControlPlaneConnection,
    /// Per xDS type (short names: `LDS`, `RDS`, `CDS`, `EDS`, `RTDS`, `SDS`).
    pub types: BTreeMap<String, TypeState>,
    /// Runtime layers that the control plane delivered: layer name → key → value as text.
    pub runtime: BTreeMap<String, BTreeMap<String, String>>,
    /// Every route of every dynamic route configuration, active and warming, in order.
    pub routes: Vec<Route>,
    /// Endpoints by cluster.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// Certificates and roots that came over SDS, by name. Never a key.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// The filter chains of the listeners that the control plane delivered, active and warming. In the hashes of listeners.
    #[serde(default)]
    pub filter_chains: Vec<FilterChain>,
    /// The clusters that the control plane delivered, active and warming. In the hashes of clusters.
    #[serde(default)]
    pub clusters: Vec<Cluster>,
    /// How many connections it has closed since its process was started because its configuration leads them nowhere; none where
    /// its bootstrap does not say that this is counted. Not part of any hash, and nobody who waits is told that it has changed.
    #[serde(default)]
    pub turned_away: Option<u64>,
    /// How many connections of bytes it has closed since its process was started because their caller is not on the list of those
    /// who may call, as [`Self::turned_away`]. Requests are not among them: they are answered.
    #[serde(default)]
    pub not_allowed: Option<u64>,
}

/// One filter chain of a listener: which connections it takes, and of whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterChain {
    /// Listener name.
    pub listener: String,
    /// The listener is not in force yet.
    pub warming: bool,
    /// The port that a connection must have been made to; none where any will do.
    pub port: Option<u16>,
    /// It speaks TLS itself with whoever connects.
    pub terminates_tls: bool,
    /// The names in certificates (SPIFFE IDs) of the callers that it lets in, each list of it considered, and as it stands
    /// what is no such name; none where it has no list.
    pub callers: Option<BTreeSet<String>>,
    /// The cluster that it passes bytes on to; none where it takes requests.
    pub bytes_to: Option<String>,
}

/// One cluster, and whether its endpoints are spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Name.
    pub name: String,
    /// It is not in force yet.
    pub warming: bool,
    /// To whom it speaks TLS.
    pub tls: UpstreamTls,
}

/// Which endpoints of a cluster are spoken to over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UpstreamTls {
    /// None.
    Never,
    /// Those whose metadata say so.
    WhereMatched,
    /// All.
    Always,
}

/// Certificates under one name, as the sidecar holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// The version that SDS gave it. Not part of any hash.
    pub version: Option<String>,
    /// The sidecar has asked for it and waits.
    pub warming: bool,
    /// Content hash of the certificates; empty while it warms.
    pub hash: String,
    /// The certificates in their order: a chain with the sidecar's own first, or roots.
    pub certificates: Vec<Certificate>,
    /// How often the stream that it comes by has ended, or could not be opened, since the start of the sidecar; none where the
    /// sidecar does not tell. Not part of any hash.
    #[serde(default)]
    pub stream_ends: Option<u64>,
}

/// What stands in one certificate (RFC 5280, 4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// Serial number, hexadecimal, lower case, without leading zeros.
    pub serial: String,
    /// Subject alternative names that are URIs: SPIFFE IDs.
    pub uris: Vec<String>,
    /// Valid from, seconds since the Unix epoch.
    pub not_before_s: i64,
    /// Valid until, seconds since the Unix epoch.
    pub not_after_s: i64,
    /// SHA-256 over its DER, hexadecimal.
    #[serde(default)]
    pub fingerprint: String,
    /// SHA-256 over its SubjectPublicKeyInfo, DER, hexadecimal: what RFC 7469, 2.4 has in base64. Certificates of one key have one.
    /// None where the probe does not tell.
    #[serde(default)]
    pub public_key_hash: Option<String>,
    /// The fingerprint of the certificate that has signed it, of all that the sidecar holds and whose names fit: the
    /// signature was verified. None where it holds no such certificate.
    #[serde(default)]
    pub signed_by: Option<String>,
}

/// The sidecar's connection to the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlPlaneConnection {
    /// A stream is up (Envoy: `control_plane.connected_state`).
    pub connected: bool,
    /// Which replica answered last on this stream (xDS `control_plane.identifier`), if it told.
    pub replica: Option<String>,
    /// Counts connections, so that two readings of one stream can be told from readings of two:
    /// it grows whenever the sidecar dials the control plane anew.
    pub epoch: u64,
    /// The form in which it asks, where it tells.
    #[serde(default)]
    pub form: Option<XdsForm>,
}

/// The forms of xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdsForm {
    /// State of the world: each response has everything of its type.
    Sotw,
    /// Incremental: each response has what changed.
    Delta,
}

/// One xDS type as the sidecar holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TypeState {
    /// The last accepted version, where the sidecar tells it. Not part of any hash.
    pub version: Option<String>,
    /// Canonical content hash of all active resources of this type.
    pub hash: String,
    /// Resources by name.
    pub resources: BTreeMap<String, Resource>,
    /// Accepted updates since the start of the sidecar. Not part of any hash.
    pub accepted: u64,
    /// Rejected updates since the start of the sidecar.
    pub rejected: u64,
}

/// One named xDS resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resource {
    /// Canonical content hash of the active resource; none while it only warms or was only ever rejected.
    pub active: Option<String>,
    /// Canonical content hash of the resource that is warming, if one is.
    pub warming: Option<String>,
    /// Why the last update was rejected, if it was: the sidecar's own words.
    pub error: Option<String>,
}

/// One route of a route configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Route configuration name.
    pub configuration: String,
    /// Virtual host name.
    pub virtual_host: String,
    /// The route's own name; empty where the mesh gave none.
    pub name: String,
    /// Canonical content hash of the route.
    pub hash: String,
    /// The configuration is not in force yet.
    pub warming: bool,
}

/// One endpoint of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// `ip:port`.
    pub address: String,
    /// Locality zone; empty where none was given.
    pub zone: String,
    /// Priority, 0 first.
    pub priority: u32,
    /// Health as the sidecar sees it (`HEALTHY`, `UNHEALTHY`, `DEGRADED`, ...).
    pub health: String,
}

/// Asks for a fresh control-plane connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReconnectRequest {
    /// Dial this `ip:port` (a replica) from now on; absent: the service address, any replica.
    pub to: Option<String>,
}

/// The connection was dropped and the new target is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReconnectReply {
    /// Readings whose [`ControlPlaneConnection::epoch`] is at least this one are of a new connection.
    pub epoch: u64,
}
