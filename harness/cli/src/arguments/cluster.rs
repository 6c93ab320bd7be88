//! Options that choose a kind of cluster, and the command `cluster`.

use super::parse;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

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
    /// The node image of a kind cluster, instead of the pinned `kindest/node`
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

/// Arguments of `cluster`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ClusterCommand,
}

/// What clap prints below the help of `cluster up`.
const UP_EXAMPLES: &str = "\
Examples:
  meshproof cluster up                                     the cluster `dev`, with the images of the mesh
  meshproof cluster up --image example.org/shop:1=shop.tar --no-images     with one of yours alone
  meshproof deploy                                         the mesh on it; also brings the cluster up

Images given here are for pods of yours; `deploy` takes its own `--image`.";

/// What to do with a kept cluster.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Bring one up and keep it, without a mesh
    #[command(after_help = UP_EXAMPLES)]
    Up(ClusterUpArguments),
    /// Take one down
    Down {
        /// Its name; absent: `dev`
        name: Option<String>,
    },
    /// Show those that are up
    List,
}

/// Arguments of `cluster up`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterUpArguments {
    /// Where the cluster comes from.
    #[command(flatten)]
    pub(crate) cluster: ClusterChoiceArguments,
    /// Its name
    #[arg(default_value = "dev", value_parser = parse::cluster_name)]
    pub(crate) name: String,
    /// Its shape: a shipped one by name, or a file
    #[arg(
        long,
        value_name = "NAME|FILE",
        default_value = "three-zones",
        env = "MESHPROOF_TOPOLOGY"
    )]
    pub(crate) topology: String,
    /// Replace one of our images (`control-plane=candidate.tar`), or load another by the name that
    /// manifests use (`example.org/shop:1=shop.tar`)
    ///
    /// In the place of the archive an image can be named that a container engine of this machine holds, with its tag or digest:
    /// `control-plane=team/control-plane:candidate`.
    #[arg(long = "image", value_name = "NAME=TAR|REF", value_parser = parse::pair)]
    pub(crate) image: Vec<(String, String)>,
    /// A folder with ready images instead of building them
    #[arg(long, value_name = "DIR", env = "MESHPROOF_IMAGES")]
    pub(crate) images: Option<PathBuf>,
    /// Load only the images that `--image` names
    #[arg(long)]
    pub(crate) no_images: bool,
    /// Folder for the logs of a kind cluster that does not come up
    #[arg(
        long,
        value_name = "DIR",
        default_value = "artifacts",
        env = "MESHPROOF_ARTIFACTS"
    )]
    pub(crate) artifacts: PathBuf,
    /// A folder with etcd, the Kubernetes programs and Envoy
    #[arg(long, value_name = "DIR", env = "MESHPROOF_ASSETS")]
    pub(crate) assets: Option<PathBuf>,
    /// Do not install missing distribution tools
    #[arg(long, env = "MESHPROOF_NO_INSTALL")]
    pub(crate) no_install: bool,
    /// Use nothing that is not on this machine already
    #[arg(long, env = "MESHPROOF_OFFLINE")]
    pub(crate) offline: bool,
}
