//! What is done with nodes while kind still makes a cluster of them. All of it is done again, or looked at, once every node
//! is ready: here it goes well or is left.

use super::command::KindCommand;
use super::engine::Engine;
use super::images::{self, ImagesToCome};
use super::names;
use crate::{ClusterError, ImageArchive, api};
use harness_model::causes::chain;
use std::collections::BTreeSet;
use tokio::sync::watch;

/// How far kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// There are no nodes.
    Nothing,
    /// The containers of the nodes run.
    Nodes,
    /// The API server answers.
    ApiServer,
}

impl Reached {
    /// By the step that kind begins with.
    pub(super) fn by(step: &str) -> Self {
        let is_one_of = |names: &[&str]| names.iter().any(|name| step.contains(name));
        if is_one_of(&["Ensuring node image", "Preparing nodes"]) {
            Self::Nothing
        } else if is_one_of(&["Writing configuration", "Starting control-plane"]) {
            Self::Nodes
        } else {
            Self::ApiServer
        }
    }
}

/// Loads images as soon as the nodes run; says which ones are there.
pub(super) async fn load(
    mut reached: watch::Receiver<Reached>,
    kind: &KindCommand,
    engine: &Engine,
    images: Option<ImagesToCome>,
) -> Vec<ImageArchive> {
    // What it answers must not be held while something is waited for.
    let is_there = reached
        .wait_for(|reached| *reached >= Reached::Nodes)
        .await
        .is_ok();
    match (images, is_there) {
        (Some(images), true) => images::load_early(kind, engine, images).await,
        _ => Vec::new(),
    }
}

/// Wants a name server in each data center as soon as the API server answers, so that each starts with its node.
pub(super) async fn name_servers(
    mut reached: watch::Receiver<Reached>,
    kind: &KindCommand,
    data_centers: &BTreeSet<String>,
) {
    let is_there = reached
        .wait_for(|reached| *reached >= Reached::ApiServer)
        .await
        .is_ok();
    if !is_there {
        return;
    }
    let want = async {
        let text = kind.kubeconfig().await?;
        let client = api::client::from_text(&text).await?;
        names::want(&client, data_centers).await
    };
    let wanted: Result<(), ClusterError> = want.await;
    if let Err(error) = wanted {
        let why = chain(&error);
        tracing::debug!(%why, "name servers are spread once every node is ready");
    }
}

#[cfg(test)]
mod tests {
    use super::Reached;

    #[test]
    fn kinds_steps_say_how_far_it_is() {
        let steps = [
            (
                "kind: Ensuring node image (kindest/node:v1)",
                Reached::Nothing,
            ),
            ("kind: Preparing nodes", Reached::Nothing),
            ("kind: Writing configuration", Reached::Nodes),
            ("kind: Starting control-plane", Reached::Nodes),
            ("kind: Installing CNI", Reached::ApiServer),
            ("kind: Joining worker nodes", Reached::ApiServer),
        ];
        for (step, reached) in steps {
            assert_eq!(Reached::by(step), reached, "{step}");
        }
    }
}
