//! What can be broken, in Chaos Mesh's words where it has one.

use crate::capability::Capability;
use crate::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fault. One with a `duration` ends by itself after it, whether or not the harness lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Fault {
    /// Deletes a pod, or every pod of a component, without grace (PodChaos `pod-kill`). Does not need healing.
    PodKill {
        /// Whom.
        selector: PodSelector,
    },
    /// Stops every process of the pods (SIGSTOP) and lets them go on afterwards: they keep their connections and do not
    /// answer.
    PodFreeze {
        /// Whom.
        selector: PodSelector,
        /// For how long.
        duration: Span,
    },
    /// A component is as it was, and answers late: every packet that arrives at the port on which it serves the rest of the mesh
    /// waits for `delay` (NetworkChaos `delay`). A call on a connection from before takes so much longer, one on a new
    /// connection with TLS 1.3 three times as much.
    LateAnswers {
        /// By the name that the mesh definition gives it; the control plane by that of its Deployment.
        component: String,
        /// How long each packet waits.
        delay: Span,
        /// For how long. Longer than `delay`.
        duration: Span,
    },
    /// Takes a component away: its pods are deleted without grace and not replaced meanwhile (PodChaos `pod-failure`
    /// with mode `all`).
    ComponentOutage {
        /// By the name that the mesh definition gives it; the control plane by that of its Deployment.
        component: String,
        /// For how long.
        duration: Span,
    },
    /// A part of the mesh is told not to serve another one any more, as an operator tells it, and told otherwise afterwards;
    /// both keep running. What is done before `recover` must be done while it lasts.
    ClientDenial {
        /// Who is told so, by the name that the mesh definition gives it, which says there where the list of its clients is.
        component: String,
        /// Who is not served, by the name that the mesh definition gives it.
        client: String,
        /// For how long.
        duration: Span,
    },
    /// Cuts a data center off from everything outside it at its router; the kernel heals it after `duration`,
    /// whether or not the harness lives.
    ZoneOutage {
        /// Data center; placeholders as in scopes.
        data_center: String,
        /// For how long.
        duration: Span,
        /// A part of the mesh that is to be missing inside, by the name that the mesh definition gives it: where one of its pods
        /// runs there, nothing is cut off, and nothing is decided. Absent: it does not matter who is inside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        without: Option<String>,
    },
    /// The nodes of a data center lose power, with everything that runs on them, and are started again.
    NodeOutage {
        /// Data center; placeholders as in scopes.
        data_center: String,
        /// For how long.
        duration: Span,
    },
    /// The Unix socket of a component is taken from those who dial it, once, on the nodes of a data center that run it. The
    /// component must notice and make it again, within the bounds of a mesh without a fault; what is left of the fault
    /// after `duration` is undone.
    SocketFault {
        /// By the name that the mesh definition gives it, which says there where its socket is.
        component: String,
        /// Data center; placeholders as in scopes.
        data_center: String,
        /// What becomes of the socket.
        how: SocketHarm,
        /// For how long, where the component does not make it again.
        duration: Span,
    },
    /// The file system that holds a component's folder is full on the nodes of a data center that run it: who writes to it
    /// is told that there is no space (ENOSPC of write(2)). What needs none, such as a socket, can be made. The component
    /// must go on, within the bounds of a mesh without a fault.
    DiskFull {
        /// By the name that the mesh definition gives it, which says there where its folder is.
        component: String,
        /// Data center; placeholders as in scopes.
        data_center: String,
        /// For how long.
        duration: Span,
    },
    /// The API server of Kubernetes is killed and kept from coming back.
    ApiServerOutage {
        /// For how long.
        duration: Span,
    },
    /// etcd is stopped (SIGSTOP): the API server is there and can neither read nor write.
    EtcdFreeze {
        /// For how long.
        duration: Span,
    },
}

/// What becomes of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SocketHarm {
    /// Its name is gone (unlink(2)).
    Unlinked,
    /// Its mode is 0000 (chmod(2)): who has no capabilities may not connect (unix(7)).
    Forbidden,
}

/// Whom a fault of pods is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum PodSelector {
    /// A workload by its stable name, `application@data-center` with placeholders.
    Workload(String),
    /// One control-plane replica: the one that most sidecars are connected to.
    ControlPlaneReplica,
    /// One pod of a part of the mesh, the oldest; the part is named as for `component`.
    Replica(String),
    /// Every pod of a part of the mesh, by the name that the mesh definition gives it; the control plane by that of its
    /// Deployment.
    Component(String),
}

impl Fault {
    /// Whose pods it is for, where it is for pods.
    #[must_use]
    pub fn selector(&self) -> Option<&PodSelector> {
        match self {
            Self::PodKill { selector } | Self::PodFreeze { selector, .. } => Some(selector),
            _ => None,
        }
    }

    /// The data center that it is for, where it is for one.
    #[must_use]
    pub fn data_center(&self) -> Option<&str> {
        match self {
            Self::ZoneOutage { data_center, .. }
            | Self::NodeOutage { data_center, .. }
            | Self::SocketFault { data_center, .. }
            | Self::DiskFull { data_center, .. } => Some(data_center),
            _ => None,
        }
    }

    /// The component that it is for, where it is for one by name.
    #[must_use]
    pub fn component(&self) -> Option<&str> {
        match self {
            Self::ComponentOutage { component, .. }
            | Self::LateAnswers { component, .. }
            | Self::ClientDenial { component, .. }
            | Self::SocketFault { component, .. }
            | Self::DiskFull { component, .. } => Some(component),
            _ => None,
        }
    }

    /// Whether whom it hits must mend it at once, or go on all the same: it is no excuse for what is late.
    #[must_use]
    pub fn is_to_be_borne(&self) -> bool {
        matches!(self, Self::SocketFault { .. } | Self::DiskFull { .. })
    }

    /// Whether what is done before `recover` is done under it: were it over before, that would prove nothing.
    #[must_use]
    pub fn lasts_until_recovery(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::ClientDenial { .. })
    }

    /// For how long it lasts; none where what it hits is gone for good.
    #[must_use]
    pub fn duration(&self) -> Option<Span> {
        match self {
            Self::PodKill { .. } => None,
            Self::PodFreeze { duration, .. }
            | Self::LateAnswers { duration, .. }
            | Self::ComponentOutage { duration, .. }
            | Self::ClientDenial { duration, .. }
            | Self::ZoneOutage { duration, .. }
            | Self::NodeOutage { duration, .. }
            | Self::SocketFault { duration, .. }
            | Self::DiskFull { duration, .. }
            | Self::ApiServerOutage { duration }
            | Self::EtcdFreeze { duration } => Some(*duration),
        }
    }

    /// The name of the field in files.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::PodKill { .. } => "podKill",
            Self::PodFreeze { .. } => "podFreeze",
            Self::LateAnswers { .. } => "lateAnswers",
            Self::ComponentOutage { .. } => "componentOutage",
            Self::ClientDenial { .. } => "clientDenial",
            Self::ZoneOutage { .. } => "zoneOutage",
            Self::NodeOutage { .. } => "nodeOutage",
            Self::SocketFault { .. } => "socketFault",
            Self::DiskFull { .. } => "diskFull",
            Self::ApiServerOutage { .. } => "apiServerOutage",
            Self::EtcdFreeze { .. } => "etcdFreeze",
        }
    }

    /// What an environment must have for it, beyond the Kubernetes API.
    #[must_use]
    pub fn takes(&self) -> Option<Capability> {
        match self {
            Self::PodKill { .. } => None,
            Self::PodFreeze { .. } => Some(Capability::PodFreeze),
            Self::LateAnswers { .. } => Some(Capability::LateAnswers),
            Self::ComponentOutage { .. } => Some(Capability::ComponentOutage),
            Self::ClientDenial { .. } => Some(Capability::ClientDenial),
            Self::ZoneOutage { .. } => Some(Capability::ZoneCut),
            Self::NodeOutage { .. } => Some(Capability::NodeOutage),
            Self::SocketFault { .. } => Some(Capability::SocketFault),
            Self::DiskFull { .. } => Some(Capability::DiskFull),
            Self::ApiServerOutage { .. } | Self::EtcdFreeze { .. } => {
                Some(Capability::KubernetesOutage)
            }
        }
    }

    /// A control-plane replica may be among what it takes away, so that no sidecar can be pinned to one meanwhile.
    #[must_use]
    pub fn may_take_replicas(&self) -> bool {
        let spares_pods = matches!(self, Self::ClientDenial { .. }) || self.is_to_be_borne();
        !spares_pods && !matches!(self.selector(), Some(PodSelector::Workload(_)))
    }
}
