//! Options of the command `deploy`.

use super::environment::{BoundArguments, EnvironmentArguments};
use super::parse;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `deploy`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeployArguments {
    /// The cluster's name
    #[arg(default_value = "dev", value_parser = parse::cluster_name)]
    pub(crate) name: String,
    /// The folder for artefacts; each deployment makes one of its own in it
    #[arg(
        long,
        value_name = "DIR",
        default_value = "artifacts",
        env = "MESHPROOF_ARTIFACTS"
    )]
    pub(crate) artifacts: PathBuf,
    /// What is deployed.
    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,
    /// How long things may take.
    #[command(flatten)]
    pub(crate) bounds: BoundArguments,
}

/// What clap prints below the help of `deploy`.
pub(super) const DEPLOY_EXAMPLES: &str = "\
Examples:
  meshproof deploy                                         the reference mesh, on the cluster `dev`
  meshproof deploy --image control-plane=candidate.tar     a candidate build in its place
  meshproof deploy qa --cluster kind --set xds=delta       on a kind cluster called `qa`
  meshproof run --reuse dev --image control-plane=candidate.tar routing    scenarios on it";
