//! A mesh in one cluster.

use crate::definition::{Component, MeshDefinition};
use crate::template::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A [`Mesh`](crate::Mesh)'s part in one cluster: a control plane and workloads of its own.
pub(crate) struct Site {
    pub(crate) client: kube::Client,
    pub(crate) definition: Arc<MeshDefinition>,
    pub(crate) context: Context,
    /// Pod UID → stable name, so that a name never moves from one living pod to another.
    pub(crate) names: Mutex<BTreeMap<String, String>>,
    /// Deployments that `join` and `vacate` scaled away from one pod.
    pub(crate) scaled: Mutex<BTreeMap<String, u32>>,
    /// Deployments that `reschedule` has moved, and the data center that each came from.
    pub(crate) moved: Mutex<BTreeMap<String, String>>,
    /// Services that `withdraw` has taken away.
    pub(crate) withdrawn: Mutex<BTreeSet<String>>,
    /// Image under test → the build before it.
    pub(crate) before: BTreeMap<String, String>,
    /// The parts that run the build before, by the path of their object.
    pub(crate) taken_back: Mutex<BTreeMap<String, Component>>,
    pub(crate) ready: Duration,
}
