//! What a fabric can take away and give back: processes of the control plane of Kubernetes, and nodes.
//!
//! Invariant: whatever is taken away comes back by a timer of the fabric, whoever asked for it.

use super::components::{Ended, Supervised};
use super::protocol::{self, ClusterPart, NodeRole};
use super::switch::Switch;
use super::{failed, roles};
use crate::ClusterError;
use harness_kernel::link::Links;
use harness_kernel::namespace::Child;
use harness_kernel::netns::NetNs;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a node may take to be gone; the kernel ends its processes.
const GONE: Duration = Duration::from_secs(5);

/// Everything that can be taken away.
pub(super) struct Machines {
    components: BTreeMap<&'static str, Supervised>,
    nodes: BTreeMap<String, Arc<Machine>>,
}

/// A node as its power switch sees it.
pub(super) struct Machine {
    data_center: String,
    role: NodeRole,
    network: NetNs,
    /// Its router, and the port there that leads to it.
    cable: (NetNs, String),
    switch: Switch,
    running: Mutex<Arc<Child>>,
    is_ready: watch::Receiver<bool>,
    ended: mpsc::Sender<Ended>,
}

impl Machines {
    /// Those of a cluster.
    pub(super) fn new(components: BTreeMap<&'static str, Supervised>) -> Self {
        Self {
            components,
            nodes: BTreeMap::new(),
        }
    }

    /// One more node.
    pub(super) fn add(&mut self, node: Machine) {
        self.nodes
            .insert(node.role.node.name.clone(), Arc::new(node));
    }

    /// Takes a part away for this time; what was done, in words.
    pub(super) fn take_away(
        &self,
        part: &ClusterPart,
        time: Duration,
    ) -> Result<String, ClusterError> {
        match part {
            ClusterPart::Killed(name) => self.component(name)?.kill(time),
            ClusterPart::Stopped(name) => self.component(name)?.stop(time),
            ClusterPart::Nodes(data_center) => {
                let nodes = self.nodes_of(data_center)?;
                let mut done = Vec::new();
                for node in nodes {
                    done.push(Machine::power_off(&node, time)?);
                }
                Ok(done.join(", "))
            }
        }
    }

    /// Gives a part back now.
    pub(super) fn give_back(&self, part: &ClusterPart) -> Result<(), ClusterError> {
        match part {
            ClusterPart::Killed(name) | ClusterPart::Stopped(name) => {
                self.component(name)?.switch.on();
            }
            ClusterPart::Nodes(data_center) => {
                for node in self.nodes_of(data_center)? {
                    node.switch.on();
                }
            }
        }
        Ok(())
    }

    fn component(&self, name: &str) -> Result<&Supervised, ClusterError> {
        self.components.get(name).ok_or_else(|| {
            let known: Vec<_> = self.components.keys().copied().collect();
            ClusterError::because(format!("find the process `{name}`"), "it is not there")
                .hint(format!("there are: {}", known.join(", ")))
        })
    }

    fn nodes_of(&self, data_center: &str) -> Result<Vec<Arc<Machine>>, ClusterError> {
        let nodes: Vec<Arc<Machine>> = self
            .nodes
            .values()
            .filter(|node| node.data_center == data_center)
            .cloned()
            .collect();
        if nodes.is_empty() {
            let act = format!("find a node in data center `{data_center}`");
            return Err(ClusterError::because(act, "there is none"));
        }
        Ok(nodes)
    }
}

impl Machine {
    /// Starts a node in its network. It waits for `go`.
    pub(super) fn start(
        data_center: &str,
        role: NodeRole,
        network: &NetNs,
        cable: (&NetNs, String),
        is_ready: &watch::Receiver<bool>,
        ended: &mpsc::Sender<Ended>,
    ) -> Result<(Self, tokio::net::UnixStream), ClusterError> {
        let act = || format!("start node {}", role.node.name);
        let name = role.node.name.clone();
        let (child, stream) =
            roles::start("__node", &name, &role, network, &role.log, is_ready, ended)?;
        let machine = Self {
            data_center: data_center.to_owned(),
            network: network.try_clone().map_err(failed(act()))?,
            cable: (cable.0.try_clone().map_err(failed(act()))?, cable.1),
            switch: Switch::new(),
            running: Mutex::new(child),
            is_ready: is_ready.clone(),
            ended: ended.clone(),
            role,
        };
        Ok((machine, stream))
    }

    /// Ends everything on the node and its network at once, and switches it on again after this time. A machine without
    /// power answers nobody, not even that a port is closed: so its cable is pulled first.
    fn power_off(node: &Arc<Self>, time: Duration) -> Result<String, ClusterError> {
        let name = &node.role.node.name;
        let act = || format!("switch node {name} off");
        node.cable(Links::set_down).map_err(failed(act()))?;
        node.switch.off_for(time);
        let again = Arc::clone(node);
        tokio::spawn(async move {
            again.switch.is_on().await;
            if let Err(error) = again.power_on() {
                tracing::error!(%error, "a node does not come back");
            }
        });
        let child = Arc::clone(&node.running());
        child.signal(Signal::SIGKILL).map_err(failed(act()))?;
        match child.wait_at_most(GONE).map_err(failed(act()))? {
            Some(_) => Ok(format!("{name} is off")),
            None => Err(ClusterError::because(
                act(),
                "its first process is there still",
            )),
        }
    }

    fn power_on(&self) -> Result<(), ClusterError> {
        let name = &self.role.node.name;
        let (child, stream) = roles::start(
            "__node",
            name,
            &self.role,
            &self.network,
            &self.role.log,
            &self.is_ready,
            &self.ended,
        )?;
        *self.running() = child;
        self.cable(Links::set_up)
            .map_err(failed(format!("plug the cable of node {name} in")))?;
        let go = protocol::line(&"go").map_err(failed(format!("start node {name}")))?;
        let mut stream = stream
            .into_std()
            .map_err(failed(format!("start node {name}")))?;
        stream
            .write_all(&go)
            .map_err(failed(format!("start node {name}")))?;
        tracing::info!(name, "switched on again");
        Ok(())
    }

    fn cable(
        &self,
        act: fn(&Links, &str) -> Result<(), harness_kernel::KernelError>,
    ) -> Result<(), harness_kernel::KernelError> {
        act(&Links::open_in(&self.cable.0)?, &self.cable.1)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Arc<Child>> {
        // Only whole values are put in.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
