//! Which cluster a run uses, and which options go together.

use crate::arguments::{ClusterKind, EnvironmentArguments};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use harness_model::topology::Topology;
use harness_runner::ClusterChoice;

/// The chosen cluster; one that is made for the run is called `name`.
pub(super) fn choose(
    environment: &EnvironmentArguments,
    name: String,
    topology: Topology,
) -> ClusterChoice {
    match (environment.cluster.kind, environment.reuse.clone()) {
        (ClusterKind::Local, Some(name)) => ClusterChoice::Attach { name },
        (ClusterKind::Local, None) => ClusterChoice::Local { name, topology },
        (ClusterKind::Kind, Some(name)) => ClusterChoice::AttachKind { name },
        (ClusterKind::Kind, None) => ClusterChoice::Kind {
            name,
            topology,
            node_image: environment.cluster.node_image.clone(),
        },
        (ClusterKind::Kubeconfig, _) => ClusterChoice::Existing {
            context: environment.context.clone(),
            allowed: environment.allow_context.clone(),
        },
    }
}

/// The options that choose it again.
pub(super) fn options(environment: &EnvironmentArguments) -> Vec<(&'static str, &str)> {
    match environment.cluster.kind {
        ClusterKind::Local => Vec::new(),
        ClusterKind::Kind => [
            Some(("--cluster", "kind")),
            given("--node-image", &environment.cluster.node_image),
        ]
        .into_iter()
        .flatten()
        .collect(),
        ClusterKind::Kubeconfig => [
            Some(("--cluster", "kubeconfig")),
            given("--context", &environment.context),
            given("--allow-context", &environment.allow_context),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn given<'a>(name: &'static str, value: &'a Option<String>) -> Option<(&'static str, &'a str)> {
    value.as_deref().map(|value| (name, value))
}

/// Refuses options that do not go together.
pub(super) fn check(environment: &EnvironmentArguments) -> Result<(), Failure> {
    let failed = || Failure::new(ExitCode::Usage, "choose a cluster");
    if environment.cluster.kind != ClusterKind::Kubeconfig {
        if environment.allow_context.is_some() {
            return Err(failed()
                .reason("--allow-context is for a cluster of somebody else")
                .hint("add --cluster kubeconfig"));
        }
        return Ok(());
    }
    if environment.reuse.is_some() {
        return Err(failed()
            .reason(
                "--reuse names a cluster of ours, and --cluster kubeconfig one of somebody else",
            )
            .hint("leave one of them out"));
    }
    if !environment.images_preloaded {
        return Err(failed()
            .reason("this version does not bring images to a cluster of somebody else")
            .hint("put the images of `cargo xtask images` on its nodes, and say so with --images-preloaded"));
    }
    if !environment.image.is_empty() {
        return Err(failed()
            .reason("--image replaces an image that is brought to the nodes, and --images-preloaded says that they are there")
            .hint("leave --image out, or use another cluster"));
    }
    Ok(())
}
