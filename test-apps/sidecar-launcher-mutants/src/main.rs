//! The reference mesh's sidecar launcher with one seeded bug, so that the suites can prove that they would see it.
//!
//! `MESH_MUTANT=NAME` selects the bug; `--list` names all of them, one a line.

use sidecar_launcher_mutants::Mutation;
use std::process::ExitCode;
use std::sync::Arc;

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the list is data for a pipe, and the refusal precedes any logging"
)]
fn main() -> ExitCode {
    let names = || Mutation::ALL.map(Mutation::name).join("\n");
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("{}", names());
        return ExitCode::SUCCESS;
    }
    let wanted = std::env::var("MESH_MUTANT").unwrap_or_default();
    let Some(mutation) = Mutation::from_name(&wanted) else {
        eprintln!("MESH_MUTANT is `{wanted}`, which is none of:\n{}", names());
        return ExitCode::from(2);
    };
    sidecar_launcher::run::launch(Arc::new(mutation))
}
