//! What runs on kind clusters, or on the container engine that they need.

use super::{forget_run, meshproof};
use crate::engine::{self, Engine};
use crate::junit::Count;
use crate::node_image;
use std::path::Path;

/// Scenarios on kind with sidecars of both forms of xDS, and further options.
///
/// # Errors
///
/// [`CannotHere`](crate::system::CannotHere) when this machine cannot have a kind cluster.
pub(super) fn on_kind(
    program: &Path,
    results: &Path,
    options: &[&str],
    install: bool,
) -> anyhow::Result<Count> {
    // Without a run of now there is none to compare with either.
    forget_run(results)?;
    with_engine(install, |engine| {
        let image = node_image::ensure(engine, install)?;
        let mut command = engine.command(program);
        command.env("MESHPROOF_NODE_IMAGE", image);
        let arguments = [&["run", "--cluster", "kind", "--set", "xds=mixed"], options].concat();
        meshproof(command, &arguments, results)
    })
}

/// Something that needs a container engine.
///
/// # Errors
///
/// [`CannotHere`](crate::system::CannotHere) when this machine cannot have one.
pub(super) fn with_engine(
    install: bool,
    act: impl FnOnce(&Engine) -> anyhow::Result<Count>,
) -> anyhow::Result<Count> {
    let kept = engine::Kept::ensure(install)?;
    let outcome = act(&kept);
    kept.end()?;
    outcome
}
