//! What harness, fabric, zones and nodes say to each other: JSON, one message a line.

use super::plan::{Node, Plan};
use super::programs::Programs;
use crate::ClusterError;
use crate::together::Whole;
use harness_model::causes::causes;
use harness_model::topology::Topology;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Number of the descriptor by which a role speaks with whoever started it.
pub(super) const LIFELINE: i32 = 3;
/// Number of the fabric's descriptor for the host's listener.
pub(super) const LISTENER: i32 = 4;

/// What the fabric is told first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FabricConfig {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) topology: Topology,
    pub(super) part_of: Option<Whole>,
    pub(super) programs: Programs,
    pub(super) image_store: PathBuf,
    /// Port of the host's listener on 127.0.0.1.
    pub(super) port: u16,
}

/// What the fabric tells while it comes up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Progress {
    /// Something is done.
    Step(String),
    /// Everything is there.
    Ready,
    /// It will not work; the fabric ends.
    Failed(Failure),
}

/// What the harness tells the fabric later.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Live on when this connection ends.
    Keep,
}

/// A request over the control socket; the answer is a [`Reply`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Cut a data center off for so many milliseconds.
    Cut { data_center: String, millis: u64 },
    /// Heal it early.
    Heal { data_center: String },
    /// Take something away for so many milliseconds.
    TakeAway { part: ClusterPart, millis: u64 },
    /// Give it back early.
    GiveBack { part: ClusterPart },
    /// Look from now on at what leaves a data center from this address.
    WatchWire {
        data_center: String,
        source: Ipv4Addr,
    },
    /// What was seen, as a [`WireSeen`](crate::WireSeen); it is no longer looked.
    WireSeen {
        data_center: String,
        source: Ipv4Addr,
    },
    /// The rules and links of every router and node, for people.
    Dump,
    /// How long packets take between data centers: a list of two names and the time, if an answer came.
    RoundTrips,
    /// End everything.
    Down,
}

/// What a fabric can take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ClusterPart {
    /// A process of the control plane of Kubernetes, which is killed and not started again meanwhile.
    Killed(String),
    /// A process of the control plane of Kubernetes, which is stopped.
    Stopped(String),
    /// The nodes of a data center.
    Nodes(String),
}

/// The answer to a [`Request`].
pub(super) type Reply = Result<String, Failure>;

/// What a zone's process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ZoneConfig {
    pub(super) zone: super::plan::Zone,
    /// A file that `iptables` may lock.
    pub(super) lock: PathBuf,
}

/// What a zone's process answers once its router works.
pub(super) type ZoneReady = Result<(), Failure>;

/// What a node's process is told; a second line, `"go"`, follows when the API server is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NodeRole {
    pub(super) node: Node,
    pub(super) ca: String,
    pub(super) client: super::pki::Pair,
    pub(super) serving: super::pki::Pair,
    pub(super) image_store: PathBuf,
    /// The folder of the node's disk.
    pub(super) disk: PathBuf,
    /// Where control groups for containers with limits are made, or why they cannot be.
    pub(super) control_groups: Result<harness_kernel::control_group::Home, String>,
    pub(super) connect_socket: PathBuf,
    /// A mount of the fabric that nodes must not see.
    pub(super) hide: PathBuf,
    pub(super) log: PathBuf,
}

/// What stands in the run folder for those who attach later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) topology: Topology,
    /// What it is a part of, when others were brought up with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part_of: Option<Whole>,
    pub(super) plan: Plan,
    pub(super) started: jiff::Timestamp,
}

/// An error that crosses a process boundary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    act: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl From<&ClusterError> for Failure {
    fn from(error: &ClusterError) -> Self {
        Self {
            act: error.act.clone(),
            causes: causes(error).map(ToString::to_string).collect(),
            hint: error.hint.clone(),
        }
    }
}

impl From<Failure> for ClusterError {
    fn from(failure: Failure) -> Self {
        let mut source: Option<Box<Cause>> = None;
        for text in failure.causes.into_iter().rev() {
            source = Some(Box::new(Cause { text, source }));
        }
        Self {
            act: failure.act,
            source: source.map(|cause| cause as Box<dyn std::error::Error + Send + Sync>),
            hint: failure.hint,
            left: Vec::new(),
        }
    }
}

/// A cause as another process told it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    #[source]
    source: Option<Box<Cause>>,
}

/// One message as a line.
pub(super) fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Sends one message, holding up the thread.
pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&line(message)?)
}

/// Receives one message, holding up the thread.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<T> {
    let mut text = String::new();
    if from.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_chain_and_hint_across_a_process_boundary() {
        let error = ClusterError {
            act: "start etcd".into(),
            source: Some(Box::new(harness_kernel::KernelError::new(
                "open it",
                io::Error::from(io::ErrorKind::NotFound),
            ))),
            hint: Some("install it".into()),
            left: Vec::new(),
        };
        let text = serde_json::to_string(&Failure::from(&error)).unwrap();
        let back = ClusterError::from(serde_json::from_str::<Failure>(&text).unwrap());
        let cause = std::error::Error::source(&back).unwrap();
        assert_eq!(back.to_string(), "start etcd");
        assert_eq!(cause.to_string(), "open it");
        assert_eq!(cause.source().unwrap().to_string(), "entity not found");
        assert_eq!(back.hint.as_deref(), Some("install it"));
    }
}
