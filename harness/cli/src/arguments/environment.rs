//! Options about what is deployed, and how long it may take.

use super::cluster::ClusterChoiceArguments;
use super::parse;
use clap::{Args, ValueEnum};
use harness_model::duration::Span;
use std::path::PathBuf;

/// Where everything that is deployed comes from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Environment")]
pub(crate) struct EnvironmentArguments {
    /// Where the cluster comes from.
    #[command(flatten)]
    pub(crate) cluster: ClusterChoiceArguments,
    /// The context of the kubeconfig, with `--cluster kubeconfig`; absent: the current one
    #[arg(long, value_name = "NAME", env = "MESHPROOF_CONTEXT")]
    pub(crate) context: Option<String>,
    /// Use the cluster of this context although it is not marked for tests
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_context: Option<String>,
    /// The nodes of the kubeconfig's cluster have the images already
    #[arg(long, env = "MESHPROOF_IMAGES_PRELOADED")]
    pub(crate) images_preloaded: bool,
    /// How images come to nodes that are not ours.
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
    /// The cluster's shape: a shipped one by name, or a file
    #[arg(
        long,
        value_name = "NAME|FILE",
        default_value = "three-zones",
        env = "MESHPROOF_TOPOLOGY"
    )]
    pub(crate) topology: String,
    /// The mesh: `reference`, `absent` (none: the control group) or a mesh definition file
    #[arg(
        long,
        value_name = "NAME|FILE",
        default_value = "reference",
        env = "MESHPROOF_MESH"
    )]
    pub(crate) mesh: String,
    /// Set a variable of the mesh definition, for example `xds=delta`
    #[arg(
        long = "set",
        value_name = "NAME=VALUE",
        value_parser = parse::setting,
        value_delimiter = ',',
        env = "MESHPROOF_SET"
    )]
    pub(crate) set: Vec<(String, String)>,
    /// Replace one image by a candidate: an archive (`control-plane=candidate.tar`) or an image by its name
    /// (`control-plane=registry.example/team/control-plane:tag`, or `...@sha256:DIGEST`)
    ///
    /// What is there as a file, ends with `.tar`, `.tar.gz` or `.tgz`, or begins with `/`, `./` or `../` is an archive, as
    /// `docker save` writes it; all else is the name of an image and needs a tag or a digest. With `--cluster kubeconfig` the
    /// nodes pull it by that name; nodes of ours have no registry, so it is taken from the container engine of this machine
    /// that holds it (Docker, nerdctl or Podman).
    #[arg(long = "image", value_name = "NAME=TAR|REF", value_parser = parse::pair)]
    pub(crate) image: Vec<(String, String)>,
    /// A folder with ready images instead of building them
    #[arg(long, value_name = "DIR", env = "MESHPROOF_IMAGES")]
    pub(crate) images: Option<PathBuf>,
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

/// How images come to nodes that are not ours.
#[derive(Clone, Debug, Args)]
pub(crate) struct RegistryArguments {
    /// Push the images to this registry, for the nodes of the kubeconfig's cluster to pull
    ///
    /// An image is named PREFIX/NAME@sha256:DIGEST then; the nodes must reach the registry by the same name. Credentials are
    /// those of `docker login`, in DOCKER_CONFIG or ~/.docker; certificates are trusted as the system does, or as
    /// SSL_CERT_FILE says. The registry keeps the images.
    #[arg(long, value_name = "PREFIX", env = "MESHPROOF_REGISTRY")]
    pub(crate) registry: Option<String>,
    /// Speak plain HTTP to the registry, as is done on loopback anyway
    #[arg(long, env = "MESHPROOF_REGISTRY_INSECURE")]
    pub(crate) registry_insecure: bool,
}

/// How long things may take.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Bounds")]
pub(crate) struct BoundArguments {
    /// The mesh's duty: from a write to the last sidecar in scope
    #[arg(long, value_name = "DURATION", value_parser = parse::span, env = "MESHPROOF_DELIVERY")]
    pub(crate) delivery: Option<Span>,
    /// The mesh's duty: from the end of a fault to everything as configured
    #[arg(long, value_name = "DURATION", value_parser = parse::span, env = "MESHPROOF_RECOVERY")]
    pub(crate) recovery: Option<Span>,
    /// Our own waiting: `marker`, `probe` or `ready`, for example `ready=5m`
    #[arg(long, value_name = "WHAT=DURATION", value_parser = parse::patience)]
    pub(crate) patience: Vec<(Wait, Span)>,
}

/// What we wait for ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// A marker to show up everywhere.
    Marker,
    /// A probe to answer.
    Probe,
    /// Workloads to become ready.
    Ready,
}
