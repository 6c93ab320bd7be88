//! What the sidecar's launcher tells the probe beside it, inside the pod.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The launcher's own interface, reachable only from inside the pod.
pub const LAUNCHER_PORT: u16 = 15020;

/// The port on which the launcher tells the kubelet whether the sidecar takes traffic.
pub const READY_PORT: u16 = 15021;

/// The paths of the launcher.
pub mod paths {
    /// `GET` on [`LAUNCHER_PORT`](super::LAUNCHER_PORT): [`LauncherState`](super::LauncherState). The query
    /// `activity` and `wait_ms` make it a long poll that answers as soon as the activity is another one.
    pub const XDS: &str = "/xds";
    /// `POST` [`ReconnectRequest`](crate::state::ReconnectRequest) on
    /// [`LAUNCHER_PORT`](super::LAUNCHER_PORT): answers [`ReconnectReply`](crate::state::ReconnectReply) once
    /// the old connection is closed.
    pub const RECONNECT: &str = "/reconnect";
    /// `GET` on [`LAUNCHER_PORT`](super::LAUNCHER_PORT): [`ConnectionTold`](super::ConnectionTold), or `null`. The query
    /// `application` is the address by which the application knows the connection; with `wait_ms` the answer
    /// waits until the sidecar has said something of it, with `ended=true` until it has said that it ended.
    pub const CONNECTION: &str = "/connection";
    /// `GET` on [`READY_PORT`](super::READY_PORT): 200 when the sidecar takes traffic, else 503. The query
    /// `wait_ms` makes it wait that long for the sidecar.
    pub const READY: &str = "/ready";
}

/// The launcher's view of the sidecar process and of its control-plane connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LauncherState {
    /// Counts the connections made to a control plane; see
    /// [`ControlPlaneConnection::epoch`](crate::state::ControlPlaneConnection::epoch).
    pub epoch: u64,
    /// Where the next connection goes: `host:port` of the service or `ip:port` of one replica.
    pub target: String,
    /// Connections to a control plane that are open now.
    pub open: u64,
    /// How often the sidecar process was started, first start = 1.
    pub starts: u64,
    /// Grows with everything that can change the sidecar's configuration: each piece of data from the control
    /// plane, each connection made or lost, each rejected update, each start.
    #[serde(default)]
    pub activity: u64,
    /// xDS type URL → the last update of that type that this sidecar process rejected, from its log: its admin
    /// interface has the words for listeners only.
    #[serde(default)]
    pub rejections: BTreeMap<String, Rejection>,
}

/// An update that the sidecar rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rejection {
    /// When, by the sidecar's clock, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The sidecar's own words.
    pub message: String,
}

/// What the sidecar says of a connection that it passes on as bytes, in which it can leave no trace. Each is a line of JSON
/// on the sidecar's standard output, once it leads somewhere and once more when it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionTold {
    /// The sidecar's or the application's own `ip:port`, whichever is the caller on the way between the two.
    pub application: String,
    /// [`CONNECTION_ENDED`] in the last word on a connection.
    pub moment: String,
    /// What it says, by the names of the headers that HTTP requests have for it.
    pub says: BTreeMap<String, String>,
}

/// The moment of a connection's end, in Envoy's words (`%ACCESS_LOG_TYPE%`).
pub const CONNECTION_ENDED: &str = "TcpConnectionEnd";
