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
use futures::future::{BoxFuture, try_join_all};
use harness_model::causes::chain;
use harness_model::topology::Topology;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

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
    /// Takes the power of the nodes of a data center away for this time; what was done, in words.
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
        let healer = Healer::command(nodes.engine.starting(&names), duration).await?;
        // Should this fail, dropping the healer starts them again.
        let killed = names.iter().map(|name| nodes.engine.kill(name));
        try_join_all(killed).await.map_err(failed(act))?;
        let said = format!("{} lost power", names.join(", "));
        let (tell, is_on) = watch::channel(None);
        let on = Arc::new(Notify::new());
        let switch = Switch {
            on: Arc::clone(&on),
            is_on,
            since,
        };
        self.switches().insert(data_center.to_owned(), switch);
        tokio::spawn(async move {
            let came = come_back(&nodes, &hit, healer, &on).await;
            tell.send_replace(Some(came.map_err(|error| chain(&error))));
        });
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
        workers: &[Worker],
        data_center: &str,
    ) -> Result<(), ClusterError> {
        let Some(switch) = self.switch(data_center) else {
            return Ok(());
        };
        switch.wait(data_center).await?;
        let known = inside(workers, data_center)?
            .into_iter()
            .map(|worker| wait_until_told(client, &worker.name, switch.since));
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
    match asked {
        Some(healed) => healed?,
        None => healer.heal().await?,
    }
    try_join_all(hit.iter().map(|worker| refit(nodes, worker)))
        .await
        .map(drop)
}

/// Puts into a node that has started what was lost with its network.
async fn refit(nodes: &Nodes, worker: &Worker) -> Result<(), ClusterError> {
    let Nodes {
        engine,
        workers,
        topology,
    } = nodes;
    let act = format!("make node {} what it was", worker.name);
    let addresses = engine.addresses(&worker.name).await?;
    if !worker.is_at(&addresses) {
        let why = format!("it came back with another address: {}", addresses.trim());
        return Err(ClusterError::because(act, why));
    }
    let attempt = || -> BoxFuture<'_, _> {
        Box::pin(async {
            zone::prepare_one(engine, worker, workers).await?;
            latency::prepare_one(engine, worker, workers, topology).await
        })
    };
    until(&act, attempt).await
}
