//! The reference mesh's sidecar launcher with one seeded bug, so that the suites can prove that they would see it.
//!
//! `MESH_MUTANT=NAME` selects the bug; `--list` names all of them, one a line.

use sidecar_launcher_mutants::Mutation;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let names = Mutation::ALL.map(Mutation::name);
    seeded_bug::main(&names, Mutation::from_name, |mutation| {
        sidecar_launcher::run::launch(Arc::new(mutation))
    })
}
