//! Which programs there are.

use std::fmt;

/// A program of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// The sidecar proxy.
    Envoy,
    /// The store behind the API server.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The Kubernetes controllers.
    KubeControllerManager,
    /// The Kubernetes scheduler.
    KubeScheduler,
    /// The Kubernetes agent of a node.
    Kubelet,
    /// What makes a node a member of a Kubernetes cluster.
    Kubeadm,
    /// The Kubernetes command line.
    Kubectl,
    /// The Kubernetes service proxy of a node.
    KubeProxy,
    /// What runs clusters in containers.
    Kind,
    /// The container runtime of a node.
    Containerd,
    /// The parent of each of its containers.
    ContainerdShim,
    /// Its command line.
    Ctr,
    /// The command line for any runtime of a node.
    Crictl,
    /// The network plugin that links a pod to its node.
    CniPtp,
    /// The network plugin for a pod's loopback.
    CniLoopback,
    /// The network plugin that chooses a pod's address.
    CniHostLocal,
    /// The network plugin for host ports.
    CniPortmap,
    /// The name server of a cluster.
    CoreDns,
    /// The maker of volumes on a node's disk.
    LocalPathProvisioner,
}

impl Asset {
    /// What a local cluster consists of, in the order in which they are made.
    pub const CLUSTER: [Self; 4] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
    ];

    /// What a local cluster and its sidecars consist of, in the order in which they are made: what needs the network
    /// most comes first.
    pub const ALL: [Self; 5] = {
        let [etcd, api_server, controller_manager, scheduler] = Self::CLUSTER;
        [Self::Envoy, etcd, api_server, controller_manager, scheduler]
    };

    /// What a node image for kind consists of, in the order in which they are made.
    pub const NODE: [Self; 18] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::Kubeadm,
        Self::Kubectl,
        Self::KubeProxy,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
        Self::Crictl,
        Self::CniPtp,
        Self::CniLoopback,
        Self::CniHostLocal,
        Self::CniPortmap,
        Self::CoreDns,
        Self::LocalPathProvisioner,
    ];

    /// The name of the file, in given folders and in the cache.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Kubeadm => "kubeadm",
            Self::Kubectl => "kubectl",
            Self::KubeProxy => "kube-proxy",
            Self::Kind => "kind",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::Crictl => "crictl",
            Self::CniPtp => "ptp",
            Self::CniLoopback => "loopback",
            Self::CniHostLocal => "host-local",
            Self::CniPortmap => "portmap",
            Self::CoreDns => "coredns",
            Self::LocalPathProvisioner => "local-path-provisioner",
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.file_name())
    }
}

/// What the images that a cluster gets need of these programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForImages {
    /// Envoy: the sidecar's is made here.
    Envoy,
    /// Nothing: they are ready, or not wanted.
    Nothing,
}

impl ForImages {
    /// That, and what a local cluster consists of.
    #[must_use]
    pub fn with_cluster(self) -> &'static [Asset] {
        match self {
            Self::Envoy => &Asset::ALL,
            Self::Nothing => &Asset::CLUSTER,
        }
    }
}
