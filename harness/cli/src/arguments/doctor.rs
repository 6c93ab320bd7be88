//! Options of the command `doctor`.

use clap::Args;
use std::path::PathBuf;

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Look at this folder of programs too
    #[arg(long, value_name = "DIR", env = "MESHPROOF_ASSETS")]
    pub(crate) assets: Option<PathBuf>,
    /// Ready images are in this folder, so that nothing is needed to build them
    #[arg(long, value_name = "DIR", env = "MESHPROOF_IMAGES")]
    pub(crate) images: Option<PathBuf>,
}
