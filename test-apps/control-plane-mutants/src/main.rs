//! The reference mesh's control plane with one seeded bug, so that the suites can prove that they would see it.
//!
//! `MESH_MUTANT=NAME` selects the bug; `--list` names all of them, one a line.

use control_plane_mutants::{Mutation, build};
use std::process::ExitCode;

fn main() -> ExitCode {
    let names = Mutation::ALL.map(Mutation::name);
    seeded_bug::main(&names, Mutation::from_name, |mutation| {
        let own_name = std::env::var("POD_NAME").unwrap_or_default();
        control_plane::run::main(build(mutation, &own_name))
    })
}
