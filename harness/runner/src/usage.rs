//! Reading what the mesh uses while scenarios run.
//!
//! Invariant: no verdict depends on it. What cannot be read is told in its place, with the reason.

use crate::environment::Environment;
use futures::future::join_all;
use harness_cluster::figures::{self, ContainerFigures};
use harness_mesh::{MeshPod, Part};
use harness_model::causes::chain;
use harness_model::usage::{Figure, Gauge, Usage, Who};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often it is read for the most memory that a container holds.
const EVERY: Duration = Duration::from_secs(10);

/// How long an API server may take to tell of pods and rights: figures must not hold up a run.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads from its start to its end.
pub(crate) struct Meter {
    environment: Arc<Environment>,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    gauge: Gauge,
    /// Clusters and nodes that were asked: they are asked again when none of the mesh's pods is there any more.
    asked: BTreeSet<(String, String)>,
}

impl Meter {
    /// Reads from now on, while others go on.
    pub(crate) fn start(environment: &Arc<Environment>) -> Self {
        let state = Arc::default();
        Self {
            environment: Arc::clone(environment),
            state: Arc::clone(&state),
            task: tokio::spawn(keep_reading(Arc::clone(environment), state)),
        }
    }

    /// Reads for the last time.
    pub(crate) async fn read_last(&mut self) {
        // It ends by itself only where nobody is to be asked.
        let is_reading = !self.task.is_finished();
        self.task.abort();
        let _ = (&mut self.task).await;
        if is_reading {
            read(&self.environment, &self.state).await;
        }
    }

    /// What was read so far; nobody is asked any more.
    pub(crate) fn usage(self) -> Usage {
        lock(&self.state).gauge.usage()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads at once and then now and again; ends only where nobody is to be asked.
async fn keep_reading(environment: Arc<Environment>, state: Arc<Mutex<State>>) {
    if let Err(reason) = may_ask(&environment).await {
        return silent_everywhere(&environment, &state, &reason);
    }
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        read(&environment, &state).await;
    }
}

/// Notes for each cluster why nothing was read.
fn silent_everywhere(environment: &Environment, state: &Mutex<State>, reason: &str) {
    for cluster in environment.clusters().all() {
        let name = harness_cluster::clusters::name(cluster.as_ref());
        lock(state).gauge.silent(name, "", reason.to_owned());
    }
}

/// Why nobody needs to be asked, where that is known.
async fn may_ask(environment: &Environment) -> Result<(), String> {
    let right = figures::right();
    let asked = [right.clone()].into();
    let missing = async {
        let missing = environment.clusters().missing_rights(&asked).await;
        missing.map_err(|error| chain(&error))
    };
    if in_time(missing).await?.is_empty() {
        Ok(())
    } else {
        Err(format!("the right to {right} is missing"))
    }
}

/// Asks every node that has, or had, pods of the mesh.
async fn read(environment: &Environment, state: &Mutex<State>) {
    let mesh = environment.mesh();
    let pods = async { mesh.pods().await.map_err(|error| chain(&error)) };
    let pods = match in_time(pods).await {
        Ok(pods) => pods,
        Err(reason) => {
            // Where the pods are not known nobody's figures can be told apart.
            return silent_everywhere(environment, state, &reason);
        }
    };
    let nodes: BTreeSet<(String, String)> = {
        let mut state = lock(state);
        let now = pods
            .iter()
            .map(|pod| (pod.cluster.clone(), pod.node.clone()));
        state.asked.extend(now);
        state.asked.clone()
    };
    let pods: BTreeMap<&str, &MeshPod> = pods.iter().map(|pod| (pod.uid.as_str(), pod)).collect();
    let pods = &pods;
    let reads = nodes.iter().map(|(cluster, node)| async move {
        let told = ask(environment, cluster, node).await;
        let mut state = lock(state);
        match told {
            Ok(told) => {
                let figures = told.iter().filter_map(|told| figure(pods, told)).collect();
                let now = jiff::Timestamp::now().as_millisecond();
                state.gauge.read(cluster, node, now, figures);
            }
            Err(reason) => state.gauge.silent(cluster, node, reason),
        }
    });
    join_all(reads).await;
}

async fn in_time<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || {
        format!(
            "the API server did not answer within {} s",
            PATIENCE.as_secs()
        )
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn ask(
    environment: &Environment,
    cluster: &str,
    node: &str,
) -> Result<Vec<ContainerFigures>, String> {
    let cluster = environment.clusters().named(cluster);
    let client = cluster.map_err(|error| chain(&error))?.client();
    figures::of_node(&client, node)
        .await
        .map_err(|error| chain(&error))
}

/// The figures of a container, if it is one of the mesh.
fn figure(pods: &BTreeMap<&str, &MeshPod>, told: &ContainerFigures) -> Option<Figure> {
    let pod = pods.get(told.pod_uid.as_str())?;
    let (part, kind) = match &pod.part {
        Part::Component(name) => (name, &told.name),
        Part::Workload(application) => (&told.name, application),
    };
    Some(Figure {
        who: Who {
            cluster: pod.cluster.clone(),
            pod: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            container: told.name.clone(),
            node: pod.node.clone(),
            part: part.clone(),
            kind: kind.clone(),
        },
        started: told.started.map(|started| started.as_millisecond()),
        at: told.at.as_millisecond(),
        cpu_nanos: told.cpu_nanos,
        memory_bytes: told.memory_bytes,
    })
}

/// What is held is whole after every change.
fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_by_the_part_of_the_mesh_that_they_belong_to() {
        let pod = |uid: &str, part| MeshPod {
            cluster: "one".to_owned(),
            name: format!("pod-{uid}"),
            uid: uid.to_owned(),
            node: "node".to_owned(),
            part,
        };
        let component = pod("c", Part::Component("control-plane".to_owned()));
        let workload = pod("w", Part::Workload("checkout".to_owned()));
        let pods = [("c", &component), ("w", &workload)].into();
        let told = |uid: &str, name: &str| ContainerFigures {
            pod_uid: uid.to_owned(),
            name: name.to_owned(),
            started: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            cpu_nanos: 1,
            memory_bytes: 2,
        };
        let who = |uid, name| {
            figure(&pods, &told(uid, name)).map(|figure| (figure.who.part, figure.who.kind))
        };
        let words = |one: &str, other: &str| Some((one.to_owned(), other.to_owned()));
        assert_eq!(who("c", "server"), words("control-plane", "server"));
        assert_eq!(who("w", "sidecar"), words("sidecar", "checkout"));
        assert_eq!(who("x", "other"), None, "it is of somebody else");
    }
}
