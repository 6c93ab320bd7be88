//! Whether what runs is the build under test.

use crate::Interrupt;
use crate::environment::Environment;
use harness_model::causes::chain;

/// What an earlier scenario could not put back after a rollout is tried once more: nothing may be said of the build under test
/// while another one runs. Scenarios with rollouts run alone, so none is under way when another scenario begins.
///
/// # Errors
///
/// The words for why nothing can be said.
pub(crate) async fn runs(environment: &Environment, interrupt: &Interrupt) -> Result<(), String> {
    let mesh = environment.mesh();
    if mesh.taken_back().is_empty() {
        return Ok(());
    }
    let restored = tokio::select! {
        restored = mesh.restore(environment.patience().ready.0) => restored,
        () = interrupt.stop() => return Err("the run was interrupted".to_owned()),
    };
    let left = Vec::from_iter(mesh.taken_back());
    match restored {
        Err(error) if !left.is_empty() => Err(format!(
            "the build before the one under test runs ({}), and cannot be replaced: {}",
            left.join(", "),
            chain(&error)
        )),
        _ => Ok(()),
    }
}
