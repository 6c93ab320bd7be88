//! The reference mesh's control plane.

use control_plane::behaviour::Faithful;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    control_plane::run::main(Arc::new(Faithful))
}
