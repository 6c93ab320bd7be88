//! The reference mesh's node agent with one seeded bug, so that the suites can prove that they would see it.
//!
//! `MESH_MUTANT=NAME` selects the bug; `--list` names all of them, one a line.

use node_agent_mutants::Mutation;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let names = Mutation::ALL.map(Mutation::name);
    seeded_bug::main(&names, Mutation::from_name, |mutation| {
        mutation.tidy_up();
        let code = node_agent::run::main(Arc::new(mutation));
        mutation.tidy_up();
        code
    })
}
