//! What the parts that work on one pod share: its newest object, its folder, its network and the facts about it.

use crate::logs::Logs;
use crate::node::Node;
use crate::pods::Newest;
use crate::sandbox::Sandbox;
use crate::volumes::Place;
use harness_kernel::container::ProcessSpec;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateWaiting, Pod};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// One pod of this node.
pub(crate) struct PodContext {
    pub(crate) node: Arc<Node>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// The pod's folder on the node: `volumes/`, `containers/`, `logs/`, `etc/`.
    pub(crate) folder: PathBuf,
    pub(crate) newest: watch::Receiver<Newest>,
    pub(crate) sandbox: OnceLock<Sandbox>,
    /// Where the volumes are, by name.
    pub(crate) volumes: OnceLock<BTreeMap<String, Place>>,
    pub(crate) facts: watch::Sender<Facts>,
    pub(crate) logs: Logs,
}

/// What is known about a pod here; the status is computed from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// When the kubelet first saw it.
    pub(crate) started: Option<Timestamp>,
    /// Its address, once it has a network.
    pub(crate) address: Option<Ipv4Addr>,
    /// Reason and message, when it cannot run here at all.
    pub(crate) refused: Option<(String, String)>,
    /// Whether it is being ended.
    pub(crate) ending: bool,
    /// Whether nothing of it will change any more.
    pub(crate) settled: bool,
    /// By container name.
    pub(crate) containers: BTreeMap<String, ContainerFacts>,
}

/// What is known about one container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContainerFacts {
    pub(crate) state: ContainerState,
    pub(crate) last_state: ContainerState,
    pub(crate) restarts: i32,
    pub(crate) ready: bool,
    pub(crate) started: bool,
    pub(crate) image_id: String,
    pub(crate) container_id: Option<String>,
    /// Its init as the node sees it, while it runs.
    pub(crate) pid: Option<i32>,
    /// How it was started, while it runs: what is executed in it gets the same surroundings.
    pub(crate) process: Option<Arc<ProcessSpec>>,
}

/// Why a container that was never started waits.
pub(crate) const INITIALIZING: &str = "PodInitializing";

impl Default for ContainerFacts {
    fn default() -> Self {
        Self {
            state: waiting(INITIALIZING, None),
            last_state: ContainerState::default(),
            restarts: 0,
            ready: false,
            started: false,
            image_id: String::new(),
            container_id: None,
            pid: None,
            process: None,
        }
    }
}

/// The state of a container that does not run for that reason.
pub(crate) fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    }
}

impl PodContext {
    pub(crate) fn new(node: Arc<Node>, newest: watch::Receiver<Newest>) -> Arc<Self> {
        let pod = newest.borrow().pod.clone();
        let metadata = &pod.metadata;
        let uid = metadata.uid.clone().unwrap_or_default();
        let folder = node.config.state_dir.join("pods").join(&uid);
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let kept = Arc::clone(&node.kept_logs);
        let facts = Facts {
            started: Some(Timestamp::now()),
            ..Facts::default()
        };
        Arc::new(Self {
            logs: Logs::new(folder.join("logs"), &namespace, &name, kept),
            namespace,
            name,
            uid,
            folder,
            newest,
            node,
            sandbox: OnceLock::new(),
            volumes: OnceLock::new(),
            facts: watch::Sender::new(facts),
        })
    }

    /// The newest object of the pod.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        self.newest.borrow().pod.clone()
    }

    /// Changes what is known about a container.
    pub(crate) fn update(&self, container: &str, change: impl FnOnce(&mut ContainerFacts)) {
        self.facts.send_if_modified(|facts| {
            let entry = facts.containers.entry(container.to_owned()).or_default();
            let before = entry.clone();
            change(entry);
            *entry != before
        });
    }

    /// What is known about a container.
    pub(crate) fn container(&self, name: &str) -> ContainerFacts {
        self.facts
            .borrow()
            .containers
            .get(name)
            .cloned()
            .unwrap_or_default()
    }
}
