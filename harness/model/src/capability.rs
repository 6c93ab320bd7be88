//! What an environment may lack; the reason why a scenario is skipped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something a scenario needs and an environment may not have.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// At least two zones.
    TwoZones,
    /// At least three zones.
    ThreeZones,
    /// More than one control-plane replica.
    SeveralReplicas,
    /// A zone can be cut off from the others by its router.
    ZoneCut,
    /// The processes of a pod can be stopped and let go on.
    PodFreeze,
    /// What a component is asked can be held back for a while, so that it answers late.
    LateAnswers,
    /// A component can be taken away, and comes back by itself.
    ComponentOutage,
    /// A component can be told not to serve another one, and is told otherwise by itself.
    ClientDenial,
    /// A node can be switched off and on.
    NodeOutage,
    /// Sockets on the disks of nodes can be unlinked or forbidden, and come back by themselves.
    SocketFault,
    /// File systems on the disks of nodes can be made full, and have their room again by themselves.
    DiskFull,
    /// The API server and etcd can be taken away, and come back by themselves.
    KubernetesOutage,
    /// Packets between zones are late, as the topology says.
    ZoneLatency,
    /// Packets between data centers can be looked at.
    Wire,
    /// A sidecar can be told to leave its control-plane connection and to dial a named replica.
    Reconnect,
    /// Sidecars can speak TLS to each other, with certificates that the mesh gives them.
    Tls,
    /// What certificates lead to can be replaced while the mesh runs.
    Rotation,
    /// A root that the mesh's authority has no key of can be taken into trust and out again while the mesh runs.
    PartnerRoots,
    /// The harness has the key that the API server signs tokens of service accounts with, and can make some that have ended.
    TokenSigning,
    /// The probe can ask for identities where sidecars and node agents do.
    Identities,
    /// The socket on which a node agent gives certificates is for its owner alone.
    PrivateSocket,
    /// The probe can come to what keeps the keys that sign certificates.
    KeyService,
    /// What keeps the keys that sign certificates writes each call into a log that can be read.
    AuditLog,
    /// The probe can speak TLS to sidecars as sidecars do among themselves, with certificates of its choice.
    Handshakes,
    /// Workloads speak HTTP/2, gRPC and bytes beside HTTP/1.1.
    Protocols,
    /// Workloads have a port for bytes on which the callee speaks first.
    ServerFirst,
    /// Workloads have a port for bytes on which they speak TLS themselves.
    ApplicationTls,
    /// There is a service `impostor` whose pods run under another identity than the mesh is told to expect.
    Impostor,
    /// The mesh reports per-resource status (matched, delivered, acknowledged, rejected).
    DeliveryStatus,
}
