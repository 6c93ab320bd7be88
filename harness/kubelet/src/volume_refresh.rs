//! Keeps volumes fresh: config maps, secrets and the downward API are read again, tokens renewed, until the pod is over.
//!
//! Invariant: what cannot be had any more leaves what is there; files are written only when something differs.

use crate::container_order::chain;
use crate::files::{self, Files};
use crate::pod_context::PodContext;
use crate::tokens::Tokens;
use crate::volumes;
use k8s_openapi::api::core::v1::{Pod, Volume};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often a volume's sources are read again; Kubernetes takes up to a minute. Like there, a pod whose annotations or labels
/// change is looked at at once.
const EVERY: Duration = Duration::from_secs(10);
/// How soon it is tried again when that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// A volume that was filled from objects of the API.
#[derive(Debug)]
pub(crate) struct Filled {
    /// What the pod says of it.
    pub(crate) volume: Volume,
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// What it holds.
    pub(crate) held: Files,
    /// The tokens among that.
    pub(crate) tokens: Tokens,
}

/// Keeps a volume's files as the pod says, until the pod has settled.
pub(crate) async fn keep_fresh(context: Arc<PodContext>, filled: Filled) {
    let Filled {
        volume,
        folder,
        mut held,
        mut tokens,
    } = filled;
    let mut facts = context.facts.subscribe();
    let mut newest = context.newest.clone();
    // Those by which it was filled last; not known of the first time.
    let mut marks = None;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = facts.wait_for(|facts| facts.settled) => return,
            _ = tick.tick() => {}
            changed = newest.changed() => {
                // Who tells of pods is gone, and this with it.
                if changed.is_err() { return }
                // Each word on its state is a change, too.
                if marks == Some(Marks::of(&newest.borrow_and_update().pod)) { continue }
            }
        }
        let now = Marks::of(&newest.borrow().pod);
        let fresh = match volumes::contents(&context, &volume, &mut tokens).await {
            Ok(fresh) if fresh != held => fresh,
            Ok(_) => {
                marks = Some(now);
                continue;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::debug!(error, pod = context.name, volume.name, "volume not read");
                tick.reset_after(AGAIN);
                continue;
            }
        };
        match files::replace(&folder, &fresh) {
            Ok(()) => (held, marks) = (fresh, Some(now)),
            Err(error) => {
                tracing::warn!(%error, pod = context.name, "volume not written");
                tick.reset_after(AGAIN);
            }
        }
    }
}

/// What others write on a pod.
#[derive(Clone, PartialEq)]
struct Marks {
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
}

impl Marks {
    fn of(pod: &Pod) -> Self {
        Self {
            annotations: pod.metadata.annotations.clone(),
            labels: pod.metadata.labels.clone(),
        }
    }
}
