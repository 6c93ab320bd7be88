//! Stopping the processes of a pod and letting them go on: the pod keeps its network, its connections and its memory, and
//! does nothing.
//!
//! Invariant: whoever is stopped here is let go on here, after the time that was asked for, whoever asked.

use crate::leases::Undo;
use crate::node::Node;
use crate::processes::{namespace, processes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Rounds at most: each finds those that were started while the last one stopped others.
const ROUNDS: usize = 20;

/// A pod whose processes are to be stopped, or to go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct PodName {
    pub(crate) namespace: String,
    pub(crate) pod: String,
}

/// The processes that were stopped.
pub(crate) struct Stopped(BTreeSet<i32>);

/// Stops every process of the pod's containers for this time; how many.
pub(crate) fn freeze(node: &Arc<Node>, pod: PodName, time: Duration) -> Result<usize, String> {
    let inits = inits(node, &pod)?;
    let stopped = stop(&inits)?;
    let count = stopped.len();
    tracing::info!(pod = pod.pod, count, ?time, "frozen");
    node.frozen.begin(pod, Stopped(stopped), time);
    Ok(count)
}

impl Undo<PodName> for Stopped {
    fn undo(self, pod: &PodName) {
        for pid in &self.0 {
            // The only failure is that it has ended meanwhile.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGCONT);
        }
        tracing::info!(pod = pod.pod, count = self.0.len(), "thawed");
    }
}

/// The first processes of the pod's containers that run.
fn inits(node: &Node, name: &PodName) -> Result<Vec<i32>, String> {
    let pod = node
        .find_pod(&name.namespace, &name.pod)
        .ok_or_else(|| format!("the pod {}/{} is not here", name.namespace, name.pod))?;
    let facts = pod.facts.borrow();
    let inits: Vec<i32> = facts
        .containers
        .values()
        .filter_map(|container| container.pid)
        .collect();
    if inits.is_empty() {
        return Err(format!("no container of {} runs", name.pod));
    }
    Ok(inits)
}

/// Stops everything in the PID namespaces of these processes.
fn stop(inits: &[i32]) -> Result<BTreeSet<i32>, String> {
    let namespaces: BTreeSet<PathBuf> = inits.iter().filter_map(|pid| namespace(*pid)).collect();
    let mut stopped = BTreeSet::new();
    for _ in 0..ROUNDS {
        let found: Vec<i32> = processes()
            .filter(|pid| !stopped.contains(pid))
            .filter(|pid| namespace(*pid).is_some_and(|own| namespaces.contains(&own)))
            .collect();
        if found.is_empty() {
            return Ok(stopped);
        }
        for pid in found {
            // The only failure is that it has ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
            stopped.insert(pid);
        }
    }
    for pid in &stopped {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGCONT);
    }
    Err("its processes start others faster than they can be stopped".to_owned())
}
