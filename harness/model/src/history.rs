//! Everything that was seen in one scenario, in order, on one clock. [`mod@file`] is its stored form.

mod certificate;
pub mod file;
mod modes;
mod request;

pub use certificate::{CertificateSeen, Validity};
pub use modes::{Guard, TlsSeen, offered};
pub use request::{Answerer, Arrival, RefusalCause, RequestSeen, Spoken, WireConnection};

use crate::asking::{Answer, AuditOutcome};
use crate::configuration::Configuration;
use crate::directory::Sidecar;
use crate::duration::Span;
use crate::fault::Fault;
use crate::handshake::Met;
use crate::patience::Whose;
use crate::rotation::Rotation;
use crate::scenario::Rollout;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One event of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Nanoseconds since the start of the run, on the harness's monotonic clock.
    pub at_ns: u64,
    /// Index of the act under way; none before the first and after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// What was seen.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an event shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "event"
)]
pub enum EventKind {
    /// The act with the event's `step` begins. The first event of each step.
    StepStarted,
    /// A sidecar is there (or there again, with another UID or at another address) from now on.
    SidecarJoined {
        /// Who.
        sidecar: Sidecar,
    },
    /// A sidecar is gone.
    SidecarLeft {
        /// Stable name.
        sidecar: String,
        /// Pod UID.
        pod_uid: String,
    },
    /// The runner starts to write a configuration (invoke).
    WriteStarted {
        /// The configuration with placeholders resolved, and for the canaries too where a proof needs them; none when it is
        /// deleted.
        configuration: Option<Configuration>,
        /// Its name.
        name: String,
    },
    /// The API server acknowledged the write (ok).
    Written {
        /// Its name.
        name: String,
        /// Kind of object (for example `PolicyConfig`) → its resource version after the write.
        objects: BTreeMap<String, String>,
    },
    /// The write failed or its fate is unknown.
    WriteFailed {
        /// Its name.
        name: String,
        /// The error chain.
        error: String,
        /// The API server refused it, so it is certain that nothing was written (fail); else its fate is
        /// unknown (info).
        refused: bool,
    },
    /// A marker for everybody is about to be written: whoever shows it has read past everything written before.
    MarkerWritten {
        /// The value that toggle and rule of the marker carry.
        marker: String,
    },
    /// One reading of one sidecar.
    Observed(Box<Observation>),
    /// A sidecar could not be read: this is not absence.
    ObservationFailed {
        /// Stable name.
        sidecar: String,
        /// Why.
        reason: String,
    },
    /// A sidecar was made to dial this replica (pod name), or any if none.
    Reconnected {
        /// Stable name.
        sidecar: String,
        /// Replica's pod name.
        replica: Option<String>,
        /// Readings with at least this epoch are of the new connection.
        epoch: u64,
    },
    /// Something was rolled out anew: only new pods run.
    RolledOut {
        /// What.
        what: Rollout,
        /// Names of the pods that are gone.
        gone: Vec<String>,
        /// Names of the pods that came.
        came: Vec<String>,
        /// The images that it replaced; none where the same were put in place again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        images: Vec<ImageReplaced>,
    },
    /// The mesh's own status of a configuration.
    Status {
        /// Configuration name.
        name: String,
        /// What it says.
        status: DeliveryStatus,
    },
    /// Outcome of one request.
    Request(Box<RequestSeen>),
    /// Outcome of one attempt to get an identity.
    Asked {
        /// The attempt.
        ask: String,
        /// Stable name of the sidecar beside the probe that asked.
        from: String,
        /// What came of it.
        answer: Answer,
    },
    /// What the audit log of what keeps the keys told while an attempt was made and soon after.
    Audited {
        /// The attempt.
        ask: String,
        /// Stable name of the sidecar beside the probe that asked.
        from: String,
        /// What was looked for.
        outcome: AuditOutcome,
        /// The first new entry that says so; none where there was none in time.
        entry: Option<String>,
    },
    /// What came of one handshake past the caller's sidecar.
    Handshook {
        /// The handshake.
        handshake: String,
        /// Stable name of the sidecar beside the probe that called.
        from: String,
        /// Stable name of the sidecar that was called.
        to: String,
        /// What came of it.
        met: Box<Met>,
    },
    /// What the requests of a batch looked like between data centers, as whoever stands there sees it.
    OnTheWire {
        /// Batch.
        traffic: String,
        /// The connections to the service called that carried something from the caller.
        connections: Vec<WireConnection>,
        /// Those that carried something back to the caller; none in histories from before these were looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<Vec<WireConnection>>,
        /// Packets of which nobody knows what they carried.
        #[serde(default, skip_serializing_if = "is_zero")]
        unseen: u32,
    },
    /// How many requests of a batch, tries and copies among them, came to the pods of an application, soon after the last
    /// outcome.
    Received {
        /// Batch.
        traffic: String,
        /// Application.
        application: String,
        /// All its pods together.
        count: u64,
    },
    /// A fault was injected and measured to bite.
    FaultStarted {
        /// Number within the scenario.
        fault: usize,
        /// What.
        spec: Fault,
        /// Stable names of the sidecars it hits (or pod names for control-plane replicas).
        hits: Vec<String>,
        /// What was measured.
        efficacy: String,
        /// How much of its time is left from this event on: measuring that it bites takes some of it. None where what it hit is
        /// gone for good, and in histories from before this was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Span>,
    },
    /// A fault could not be shown to bite, so nothing that depends on it can be judged.
    FaultWithoutEffect {
        /// Number within the scenario.
        fault: usize,
        /// What was measured.
        reason: String,
    },
    /// A fault has ended and what it hit can be reached again.
    FaultEnded {
        /// Number within the scenario.
        fault: usize,
    },
    /// The API server acknowledged that a service was taken away, and tells no endpoint of it any more.
    Withdrawn {
        /// The service.
        service: String,
    },
    /// The API server acknowledged that a service that was taken away is there again.
    Offered {
        /// The service.
        service: String,
    },
    /// The API server acknowledged what an operator does to replace what certificates lead to.
    Rotated {
        /// What.
        rotation: Rotation,
    },
    /// What the mesh publishes as its trust bundle in a namespace, after an act of that kind: read when it was what sidecars
    /// trust, or when the mesh's time for that was over. Histories from before this was read do not have it.
    Published {
        /// Cluster, as the topology calls it.
        cluster: String,
        /// Namespace.
        namespace: String,
        /// Its roots, as [`CertificateSeen::roots`] has them; empty where there is no bundle, none where it could not be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        roots: Option<BTreeSet<String>>,
    },
    /// How many requests a part of the mesh had refused by then, as each of its pods has counted since it was started: read when
    /// a fault began and when it had ended, where the scenario judges it.
    Refusals {
        /// The part.
        component: String,
        /// `cluster/pod` → how many.
        pods: BTreeMap<String, u64>,
    },
    /// How many connections the sidecars of a callee had turned away for a cause by then, as each has counted since it was
    /// started: read before a batch that is to be refused for it and after it, where the caller is told no more than that a
    /// connection ended, and sidecars tell, or none could be read. Older histories do not have it, or of plaintext alone.
    TurnedAway {
        /// The batch.
        traffic: String,
        /// Why. Those from before it was written are of plaintext.
        #[serde(default = "plaintext")]
        because: RefusalCause,
        /// Stable name of each sidecar that tells → how many; empty where none could be read.
        sidecars: BTreeMap<String, u64>,
    },
    /// A wait of ours ended without what it waited for.
    GaveUp {
        /// What was waited for and how far it got.
        waited_for: String,
        /// Whose bound was over.
        whose: Whose,
    },
    /// All acts are done; what follows was read at the end.
    Finished,
}

/// One reading of one sidecar, reduced to what a scenario owns: its keys and the markers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observation {
    /// Stable name.
    pub sidecar: String,
    /// Pod UID.
    pub pod_uid: String,
    /// The control-plane stream the sidecar is on.
    pub stream: Stream,
    /// How often the sidecar's process was started in this container, where that is told: another number is another process. A
    /// container that is started anew counts from 1 again, and the stream's epoch from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
    /// The scenario's toggles, key (without prefix) → value.
    pub toggles: BTreeMap<String, String>,
    /// The scenario's rules in force, name (without prefix) → content hash.
    pub rules: BTreeMap<String, String>,
    /// The scenario's rules in resources that are still warming.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub warming_rules: BTreeMap<String, String>,
    /// Marker seen as a toggle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_toggle: Option<String>,
    /// Marker seen as a rule in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker_rule: Option<String>,
    /// Rejected updates: xDS type → the sidecar's words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, String>,
    /// The sidecar's own certificate, where the scenario speaks of TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSeen>,
    /// How it is set up for TLS, where the scenario speaks of TLS and the mesh definition says how that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSeen>,
}

/// An image that a rollout replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageReplaced {
    /// The Deployment or DaemonSet.
    pub of: String,
    /// The container in its pods.
    pub container: String,
    /// The image that it ran, as nodes know it.
    pub from: String,
    /// The image that it runs now.
    pub to: String,
}

/// A control-plane stream: readings with equal streams are of one connection to one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stream {
    /// The replica's pod name; none while not connected.
    pub replica: Option<String>,
    /// Connection count of the sidecar.
    pub epoch: u64,
    /// The form of xDS that it speaks, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<XdsForm>,
}

/// The forms of xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdsForm {
    /// State of the world: each response has everything of its type.
    Sotw,
    /// Incremental: each response has what changed.
    Delta,
}

impl XdsForm {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sotw => "state of the world",
            Self::Delta => "delta",
        }
    }
}

/// A mesh's own word on who got a configuration: stable sidecar names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryStatus {
    /// Generation that the status is about.
    pub observed_generation: i64,
    /// Generation of the object when it was read.
    pub generation: i64,
    /// How many sidecars are in scope.
    pub matched: u64,
    /// To how many it was sent.
    pub delivered: u64,
    /// How many acknowledged it.
    pub acknowledged: u64,
    /// Who rejected it: pod name → the sidecar's words.
    pub rejected: BTreeMap<String, String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn plaintext() -> RefusalCause {
    RefusalCause::Plaintext
}
