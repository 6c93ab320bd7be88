//! Nodes of a data center without power: the engine kills their containers, and starts them again after the time.
//!
//! A container that starts again has a network of its own anew, so what we put into it is put there again: the rules that
//! cut data centers off, and what makes packets late.
//!
//! Invariant: a process of its own starts the nodes again, after the time or as soon as we are gone.

use super::engine::Engine;
use super::latency;
use super::zone::{self, Worker, inside};
use crate::healer::Healer;
use crate::nodes::{until, wait_until_told};
use crate::{ClusterError, failed};
use futures::future::{BoxFuture, join_all, try_join_all};
use harness_model::causes::chain;
use harness_model::topology::Topology;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};

/// The switches of data centers whose nodes have lost power.
#[derive(Default)]
pub(super) struct Power(Mutex<BTreeMap<String, Switch>>);

/// How it went, once it is known.
type Outcome = Option<Result<(), String>>;

#[derive(Clone)]
struct Switch {
    /// Switches them on before their time.
    on: Arc<Notify>,
    is_on: watch::Receiver<Outcome>,
    since: jiff::Timestamp,
}

/// What is put into nodes that start.
#[derive(Clone)]
pub(super) struct Nodes {
    pub(super) engine: Engine,
    pub(super) workers: Vec<Worker>,
    pub(super) topology: Topology,
}

impl Power {
    /// Takes the power of the nodes of a data center away for this time; what was done, in words. When the engine does not
    /// end one of them, those that it has ended come back at once.
    pub(super) async fn off(
        &self,
        nodes: Nodes,
        data_center: &str,
        duration: Duration,
    ) -> Result<String, ClusterError> {
        let act = format!("switch the nodes of {data_center} off");
        let mut hit: Vec<Worker> = inside(&nodes.workers, data_center)?
            .into_iter()
            .cloned()
            .collect();
        // The engine gives the lowest address that is free: in this order each gets its own again.
        hit.sort_by_key(Worker::address);
        let names: Vec<&str> = hit.iter().map(|worker| worker.name.as_str()).collect();
        let since = jiff::Timestamp::now();
        let said = format!("{} lost power", names.join(", "));
        let healer = Healer::command(nodes.engine.starting(&names), duration).await?;
        let (tell, is_on) = watch::channel(None);
        let on = Arc::new(Notify::new());
        let switch = Switch {
            on: Arc::clone(&on),
            is_on,
            since,
        };
        self.switches().insert(data_center.to_owned(), switch);
        let (answer, answered) = oneshot::channel();
        // Whoever asked may be gone before the engine has answered: what it ends all the same comes back as it was, too.
        tokio::spawn(async move {
            let ended = end(&nodes.engine, &hit).await;
            if ended.is_err() {
                on.notify_one();
            }
            let _ = answer.send(ended);
            let came = come_back(&nodes, &hit, healer, &on).await;
            tell.send_replace(Some(came.map_err(|error| chain(&error))));
        });
        let ended = answered.await.map_err(failed(act.clone()))?;
        ended.map_err(failed(act))?;
        Ok(said)
    }

    /// Gives it back now; fine when it is there. Returns once the nodes take what we put into them.
    pub(super) async fn on(&self, data_center: &str) -> Result<(), ClusterError> {
        match self.switch(data_center) {
            Some(switch) => {
                switch.on.notify_one();
                switch.wait(data_center).await
            }
            None => Ok(()),
        }
    }

    /// Waits until the nodes are on again and nothing is said any more of how their pods were before.
    pub(super) async fn wait_until_back(
        &self,
        client: &kube::Client,
        engine: &Engine,
        workers: &[Worker],
        data_center: &str,
    ) -> Result<(), ClusterError> {
        let Some(switch) = self.switch(data_center) else {
            return Ok(());
        };
        switch.wait(data_center).await?;
        let since = switch.since;
        let hit = inside(workers, data_center)?;
        let known = hit.into_iter().map(|worker| async move {
            // One that the engine did not end has nothing new to tell.
            if engine.started(&worker.name).await? < since {
                return Ok(());
            }
            wait_until_told(client, &worker.name, since).await
        });
        try_join_all(known).await.map(drop)
    }

    fn switch(&self, data_center: &str) -> Option<Switch> {
        self.switches().get(data_center).cloned()
    }

    fn switches(&self) -> MutexGuard<'_, BTreeMap<String, Switch>> {
        // The map is whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Switch {
    async fn wait(&self, data_center: &str) -> Result<(), ClusterError> {
        let act = || format!("switch the nodes of {data_center} on again");
        let mut is_on = self.is_on.clone();
        let outcome = is_on.wait_for(Option::is_some).await;
        let outcome = outcome.map_err(failed(act()))?.clone();
        match outcome {
            Some(Err(why)) => Err(ClusterError::because(act(), why)),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

/// Ends nodes, side by side, and returns when the engine has answered for each; the first that it did not end is the error.
async fn end(engine: &Engine, hit: &[Worker]) -> Result<(), ClusterError> {
    let ended = hit.iter().map(|worker| engine.kill(&worker.name));
    join_all(ended).await.into_iter().collect()
}

/// Waits until nodes have been started, by then or when asked, and puts into them what was lost with their networks.
async fn come_back(
    nodes: &Nodes,
    hit: &[Worker],
    mut healer: Healer,
    on: &Notify,
) -> Result<(), ClusterError> {
    let asked = tokio::select! {
        healed = healer.healed() => Some(healed),
        () = on.notified() => None,
    };
    let healed = match asked {
        Some(healed) => healed,
        None => healer.heal().await,
    };
    // Also where it could not start them all: this starts them once more.
    if let Err(error) = healed {
        tracing::warn!(error = chain(&error), "nodes were not started in time");
    }
    refit(nodes, hit).await
}

/// Puts into nodes what was lost with their networks, as soon as they take it.
async fn refit(nodes: &Nodes, hit: &[Worker]) -> Result<(), ClusterError> {
    let names: Vec<&str> = hit.iter().map(|worker| worker.name.as_str()).collect();
    let act = format!("make the nodes {} what they were", names.join(", "));
    let attempt = || -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async {
            // Once more: one that the engine was slow to end ran still when it was to be started.
            let started = nodes.engine.start(&names).await;
            // Where one does not start, the others get what is theirs all the same.
            let fitted = join_all(hit.iter().map(|worker| refit_one(nodes, worker))).await;
            let fitted: Result<(), ClusterError> = fitted.into_iter().collect();
            started.and(fitted)
        })
    };
    until(&act, attempt).await?;
    let kept = hit.iter().map(|worker| has_its_address(nodes, worker));
    try_join_all(kept).await.map(drop)
}

/// The same for one of them, as far as it takes it now.
async fn refit_one(nodes: &Nodes, worker: &Worker) -> Result<(), ClusterError> {
    let Nodes {
        engine,
        workers,
        topology,
    } = nodes;
    zone::prepare_one(engine, worker, workers).await?;
    latency::prepare_one(engine, worker, workers, topology).await
}

/// A node that has been started is where all others look for it.
async fn has_its_address(nodes: &Nodes, worker: &Worker) -> Result<(), ClusterError> {
    let addresses = nodes.engine.addresses(&worker.name).await?;
    if worker.is_at(&addresses) {
        return Ok(());
    }
    let act = format!("make node {} what it was", worker.name);
    let why = format!("it came back with another address: {}", addresses.trim());
    Err(ClusterError::because(act, why))
}

#[cfg(test)]
mod tests {
    use super::super::fakes::Fakes;
    use super::*;

    /// An engine with nodes that run where there is a file of their name. It ends `w1` never and `w2` late; of those that it
    /// starts, `w2` ends once more where there is a file `late`. No node has latency in force.
    const ENGINE: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
case "$1 $2" in
"kill w1") echo "cannot kill container: $2" >&2; exit 1 ;;
"kill w2") sleep 0.3; rm w2; echo "$2 is off" >> calls ;;
start*)
    shift
    echo "start $*" >> calls
    touch "$@"
    [ ! -e late ] || rm late w2 ;;
"inspect --format") cat "address-of-$4" ;;
"exec --interactive")
    [ -e "$3" ] || { echo "container $3 is not running" >&2; exit 1; }
    shift 2
    [ "$2" != systemctl ] || exit 1
    echo "$1: $2" >> calls ;;
*) exit 1 ;;
esac
"#;

    /// Two nodes of one data center, beside another one.
    fn stage() -> (Fakes, Nodes, Vec<Worker>) {
        let worker = |name: &str, data_center: &str, last: u8| Worker {
            name: name.to_owned(),
            data_center: data_center.to_owned(),
            addresses: vec![format!("172.18.0.{last}"), format!("10.244.{last}.0/24")],
        };
        let workers = vec![
            worker("w1", "zone-a", 2),
            worker("w2", "zone-a", 3),
            worker("w3", "zone-b", 4),
        ];
        let fakes = Fakes::knowing(&[]);
        fakes.write("engine", ENGINE);
        fakes.write("address-of-w1", "172.18.0.2 \n");
        fakes.write("address-of-w2", "172.18.0.3 \n");
        let nodes = Nodes {
            engine: fakes.engine(),
            workers: workers.clone(),
            topology: crate::topology::load("three-zones").unwrap(),
        };
        (fakes, nodes, workers[..2].to_vec())
    }

    #[tokio::test]
    async fn a_node_that_does_not_end_is_named_once_the_others_have_ended() {
        let (fakes, nodes, hit) = stage();
        fakes.write("w2", "");
        let error = end(&nodes.engine, &hit).await.unwrap_err();
        assert!(chain(&error).starts_with("end node w1: "), "{error:?}");
        assert_eq!(fakes.calls(), "w2 is off\n");
    }

    #[tokio::test]
    async fn a_node_that_ends_late_is_started_again_and_gets_what_is_its_own() {
        let (fakes, nodes, hit) = stage();
        fakes.write("late", "");
        refit(&nodes, &hit).await.unwrap();
        let calls = fakes.calls();
        let is_start = |line: &&str| *line == "start w1 w2";
        assert_eq!(calls.lines().filter(is_start).count(), 2, "{calls}");
        for put in ["w1: nft", "w1: systemd-run", "w2: nft", "w2: systemd-run"] {
            assert!(calls.lines().any(|line| line == put), "{put}: {calls}");
        }
    }

    #[tokio::test]
    async fn a_node_that_comes_back_elsewhere_is_named() {
        let (fakes, nodes, hit) = stage();
        fakes.write("address-of-w2", "172.18.0.9 \n");
        let error = chain(&refit(&nodes, &hit).await.unwrap_err());
        assert!(error.contains("node w2"), "{error}");
        assert!(error.ends_with("another address: 172.18.0.9"), "{error}");
    }
}
