//! Options that choose a kind of cluster.

use clap::{Args, ValueEnum};

/// Where a cluster comes from.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterChoiceArguments {
    /// Where: embedded here, made by kind, or one that is there
    #[arg(
        long = "cluster",
        value_name = "KIND",
        value_enum,
        default_value_t,
        env = "MESHPROOF_CLUSTER"
    )]
    pub(crate) kind: ClusterKind,
    /// The node image of a kind cluster, instead of the one that belongs to `kind`
    #[arg(long, value_name = "IMAGE", env = "MESHPROOF_NODE_IMAGE")]
    pub(crate) node_image: Option<String>,
}

/// Where the cluster comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClusterKind {
    /// Embedded in namespaces of this machine; needs neither a container engine nor root
    #[default]
    Local,
    /// Made by kind; needs Docker, Podman or nerdctl
    Kind,
    /// One that somebody else runs, named by the kubeconfig (KUBECONFIG, or ~/.kube/config)
    Kubeconfig,
}
