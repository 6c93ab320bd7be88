//! Whether what runs is the mesh under test: its build, and every service of it.

use crate::Interrupt;
use crate::environment::Environment;
use harness_model::causes::chain;
use harness_model::verdict::INTERRUPTED;

/// What an earlier scenario could not put back after a rollout, or not bring back, is tried once more: nothing may be said of the
/// build under test while another one runs, nor of a mesh that lacks a service. Scenarios that take such things away run alone, so
/// none is under way when another scenario begins.
///
/// # Errors
///
/// The words for why nothing can be said.
pub(crate) async fn runs(environment: &Environment, interrupt: &Interrupt) -> Result<(), String> {
    let mesh = environment.mesh();
    if mesh.taken_back().is_empty() && mesh.withdrawn().is_empty() {
        return Ok(());
    }
    let restored = tokio::select! {
        restored = mesh.restore(environment.patience().ready.0) => restored,
        () = interrupt.stop() => return Err(INTERRUPTED.to_owned()),
    };
    let Err(error) = restored else {
        return Ok(());
    };
    let before = Vec::from_iter(mesh.taken_back()).join(", ");
    let away = Vec::from_iter(mesh.withdrawn()).join(", ");
    let left = match (before.as_str(), away.as_str()) {
        ("", "") => return Ok(()),
        ("", away) => format!("what was taken away ({away}) cannot be brought back"),
        (before, _) => {
            format!("the build before the one under test runs ({before}), and cannot be replaced")
        }
    };
    Err(format!("{left}: {}", chain(&error)))
}
