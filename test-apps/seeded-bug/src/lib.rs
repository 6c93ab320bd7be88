//! How a program with seeded bugs is told which one it has.
//!
//! `MESH_MUTANT=NAME` selects the bug; `--list` names all of them, one a line.

use std::process::ExitCode;

/// Starts the program with the bug that is selected, which `find` knows by its name; one that it does not know is refused
/// with exit code 2 and all `names`.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the list is data for a pipe, and the refusal precedes any logging"
)]
pub fn main<Bug>(
    names: &[&str],
    find: impl FnOnce(&str) -> Option<Bug>,
    start: impl FnOnce(Bug) -> ExitCode,
) -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("{}", names.join("\n"));
        return ExitCode::SUCCESS;
    }
    let wanted = std::env::var("MESH_MUTANT").unwrap_or_default();
    let Some(bug) = find(&wanted) else {
        eprintln!(
            "MESH_MUTANT is `{wanted}`, which is none of:\n{}",
            names.join("\n")
        );
        return ExitCode::from(2);
    };
    start(bug)
}
