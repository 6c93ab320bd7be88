//! What can be taken away from a cluster.

use crate::{OnDisks, PodAddress};
use std::fmt;
use std::time::Duration;

/// A part of a cluster that can be taken away for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The processes of a pod, which are stopped.
    PodProcesses(PodAddress),
    /// The promptness of a pod: what arrives at one of its ports waits before the pod has it.
    Promptness {
        /// Which pod.
        pod: PodAddress,
        /// A TCP port that it listens on.
        port: u16,
        /// How long it waits.
        delay: Duration,
    },
    /// The nodes of a data center, which lose power.
    Nodes {
        /// Which.
        data_center: String,
    },
    /// The API server, which is killed.
    ApiServer,
    /// etcd, which is stopped.
    Etcd,
    /// Something on the disks of nodes, which is harmed once. Whoever it belongs to may mend it at any time.
    OnDisks(OnDisks),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodProcesses(pod) => write!(f, "the processes of the pod {}", pod.name),
            Self::Promptness { pod, port, .. } => {
                write!(f, "the promptness of port {port} of the pod {}", pod.name)
            }
            Self::Nodes { data_center } => write!(f, "the nodes of {data_center}"),
            Self::ApiServer => f.write_str("the API server"),
            Self::Etcd => f.write_str("etcd"),
            Self::OnDisks(part) => part.fmt(f),
        }
    }
}
