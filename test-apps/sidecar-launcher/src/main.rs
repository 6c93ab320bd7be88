//! The reference mesh's sidecar launcher.

use sidecar_launcher::behaviour::Faithful;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    sidecar_launcher::run::launch(Arc::new(Faithful))
}
