//! Carrying one scenario out: given, the acts in order, and the readings at the end. Everything that is seen goes into
//! the recorder; nothing is judged here, but whether a load has shown enough to end.

mod aside;
mod ask;
mod asked;
mod configuration;
mod fault;
mod proof;
mod received;
mod rotation;
mod services;
mod streams;
mod traffic;
mod wire;

use crate::environment::Environment;
use crate::record::Recorder;
use crate::rendezvous::Busy;
use crate::sidecar_watch::Update;
use harness_faults::ActiveFault;
use harness_mesh::Keys;
use harness_model::configuration::{Configuration, ScopeEntry};
use harness_model::directory::{Directory, Sidecar};
use harness_model::history::EventKind;
use harness_model::in_vain;
use harness_model::oracle::Oracle;
use harness_model::patience::Whose;
use harness_model::placeholder;
use harness_model::scenario::{Act, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{RwLock, mpsc};
use tokio::task::{JoinError, JoinHandle};

pub(crate) use traffic::Loads;

/// The writes of a scenario that are under way. They go on when the scenario is broken off, and what arrives after its
/// keys were removed would stay: whoever cleans up waits for them.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<RwLock<()>>);

impl Writes {
    /// Waits until none is under way.
    pub(crate) async fn ended(&self) {
        drop(self.0.write().await);
    }

    /// Carries a write out to its end, whether or not somebody still waits for it.
    async fn carry_out<T: Send + 'static>(
        &self,
        write: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let under_way = Arc::clone(&self.0).read_owned().await;
        let task = tokio::spawn(async move {
            let outcome = write.await;
            drop(under_way);
            outcome
        });
        match task.await.map_err(JoinError::try_into_panic) {
            Ok(outcome) => outcome,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and we with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }
}

/// Why a scenario was not carried out to its end: what it has seen until then may contradict, and supports nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BrokenOff(pub(crate) String);

/// A scenario with the values of the environment, and its acts as they were written.
#[derive(Clone)]
pub(crate) struct Script {
    /// As it was understood at the beginning.
    pub(crate) scenario: Scenario,
    /// The acts with their placeholders, one for each act of the scenario.
    pub(crate) written: Vec<Act>,
}

impl Script {
    /// The act as it is to be understood now: a pod may have another address by then. What cannot be resolved again keeps
    /// what it meant at the beginning.
    fn act(&self, step: usize, directory: &Directory) -> Act {
        let written = self.written.get(step);
        written
            .and_then(|act| placeholder::resolve_act(act, directory).ok())
            .unwrap_or_else(|| self.scenario.when[step].clone())
    }
}

/// One scenario under way.
pub(crate) struct Execution {
    environment: Arc<Environment>,
    script: Script,
    keys: Keys,
    recorder: Arc<Recorder>,
    loads: Arc<Loads>,
    writes: Writes,
    oracle: Oracle,
    /// Configurations as the scenario says and as they were written, with or without canaries.
    written: Vec<(Configuration, Configuration)>,
    /// Name of a configuration → the scope entries that were added to it when it was written last.
    extra: BTreeMap<String, Vec<ScopeEntry>>,
    /// (Sidecar, rule) → the hash it shows as long as it has not got the rule's new content.
    outdated: BTreeMap<(String, String), String>,
    /// Stable names of those for whom writes since the last proof changed something.
    affected: BTreeSet<String>,
    /// Everybody was seen to hold what it must after the last write.
    settled: bool,
    markers: u32,
    faults: Vec<(usize, ActiveFault)>,
    injected: usize,
    /// Rounds of reconnections wait for this scenario, and it for them.
    minds_rounds: bool,
    busy: Option<Busy>,
    readings: Readings,
}

/// The task that takes readings from the watch into the recorder. Ends with its owner.
struct Readings {
    updates: mpsc::UnboundedSender<Update>,
    task: JoinHandle<()>,
}

impl Readings {
    /// Waits until everything that the watch knows by now is in the recorder.
    async fn catch_up(&self) {
        let (caught_up, mut answer) = mpsc::unbounded_channel();
        // The task ends only with us, so it takes the request and answers.
        let _ = self.updates.send(Update::CaughtUp(caught_up));
        let _ = answer.recv().await;
    }
}

impl Drop for Readings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Execution {
    /// Starts to record.
    pub(crate) async fn start(
        environment: Arc<Environment>,
        script: Script,
        keys: Keys,
        recorder: Arc<Recorder>,
        loads: Arc<Loads>,
        writes: Writes,
    ) -> Self {
        let minds_rounds = asked::for_what_rounds_disturb(&script.scenario);
        let busy = match minds_rounds {
            true => Some(environment.rendezvous().busy().await),
            false => None,
        };
        let readings = record_readings(&environment, &keys, &recorder);
        Self {
            environment,
            script,
            keys,
            recorder,
            loads,
            writes,
            oracle: Oracle::default(),
            written: Vec::new(),
            extra: BTreeMap::new(),
            outdated: BTreeMap::new(),
            affected: BTreeSet::new(),
            settled: true,
            markers: 0,
            faults: Vec::new(),
            injected: 0,
            minds_rounds,
            busy,
            readings,
        }
    }

    /// Carries out the whole timeline.
    ///
    /// # Errors
    ///
    /// When it makes no sense to go on. The history then has no end.
    pub(crate) async fn carry_out(mut self) -> Result<(), BrokenOff> {
        let given = self.script.scenario.given.configurations.clone();
        if !given.is_empty() {
            for configuration in given {
                self.write(configuration).await;
            }
            self.settle_and_prove().await;
        }
        for step in 0..self.script.scenario.when.len() {
            if let Act::Stop(load) = &self.script.scenario.when[step] {
                // Its step begins when the load ends: who judges takes it for that.
                self.wait_for_recovery(load).await;
            }
            self.recorder.begin(Some(step));
            let act = self.script.act(step, &self.directory());
            self.act(step, act).await?;
        }
        self.recorder.begin(None);
        self.loads
            .stop_all(&self.environment, &self.recorder)
            .await?;
        if !self.faults.is_empty() {
            self.recover().await;
        }
        // Stopping loads and ending faults takes time, and what was read meanwhile is no part of the end.
        self.recorder.push_and_ask_again(EventKind::Finished);
        self.settle_and_prove().await;
        Ok(())
    }

    async fn act(&mut self, step: usize, act: Act) -> Result<(), BrokenOff> {
        match act {
            Act::Apply(configuration) => {
                let name = configuration.name.clone();
                self.write(configuration).await;
                if asked::is_to_be_rejected(&self.script.scenario, step) {
                    self.wait_for_rejection(&name).await;
                    // That the others do not reject it is seen as well.
                    self.read_everybody().await;
                } else {
                    self.settle_and_prove().await;
                }
                if asked::for_status(&self.script.scenario) {
                    self.record_status(&name).await;
                }
            }
            Act::Delete(name) => {
                self.delete(&name).await;
                self.settle_and_prove().await;
            }
            Act::Join {
                application,
                data_center,
            } => {
                self.join(&application, &data_center).await;
                self.settle_and_prove().await;
            }
            Act::Leave {
                application,
                data_center,
            } => {
                self.leave(&application, &data_center).await;
                self.settle_and_prove().await;
            }
            Act::Withdraw(service) => {
                self.withdraw(&service).await;
                self.settle_and_prove().await;
            }
            Act::Offer(service) => {
                self.offer(&service).await;
                self.settle_and_prove().await;
            }
            Act::Restart(rollout) => {
                self.restart(rollout).await;
                self.settle_and_prove().await;
            }
            Act::Reschedule {
                application,
                from,
                to,
            } => {
                self.reschedule(&application, &from, &to).await;
                self.settle_and_prove().await;
            }
            Act::Reconnect => self.reconnect().await,
            Act::Hold(span) => {
                self.hold(span.0).await;
                self.settle_and_prove().await;
            }
            Act::Request(traffic) => self.request(&traffic).await,
            Act::Ask(ask) => self.ask_aside(&ask).await,
            Act::Handshake(handshake) => self.handshake(&handshake).await,
            Act::Load(load) => self.load(&load).await,
            Act::Stop(name) => {
                self.loads
                    .stop(&self.environment, &self.recorder, &name)
                    .await?;
            }
            Act::Inject(fault) => self.inject(fault).await,
            Act::Recover => {
                self.recover().await;
                self.settle_and_prove().await;
            }
            Act::Rotate(rotation) => {
                self.rotate(rotation).await;
                self.settle_and_prove().await;
            }
        }
        Ok(())
    }

    fn directory(&self) -> Directory {
        Directory {
            data_centers: self.environment.data_centers(),
            sidecars: self.recorder.sidecars(),
        }
    }

    /// Notes a wait of our own that ended without what it waited for.
    fn give_up(&self, waited_for: impl Into<String>) {
        self.give_up_within(Whose::Harness, waited_for);
    }

    /// Notes a wait that ended without what it waited for.
    fn give_up_within(&self, whose: Whose, waited_for: impl Into<String>) {
        self.recorder.push(EventKind::GaveUp {
            waited_for: waited_for.into(),
            whose,
        });
    }

    /// Notes who is still missing at the end of a wait. Says whether nobody is.
    fn give_up_on(&self, whose: Whose, what: &str, missing: &[String]) -> bool {
        if missing.is_empty() {
            return true;
        }
        self.give_up_within(whose, in_vain::waited_for(what, missing));
        false
    }

    fn deadline(&self, bound: harness_model::duration::Span) -> Instant {
        Instant::now() + bound.0
    }
}

/// Takes who is there, and every reading from now on, into the recorder, reduced to the scenario's keys.
fn record_readings(
    environment: &Arc<Environment>,
    keys: &Keys,
    recorder: &Arc<Recorder>,
) -> Readings {
    let (sender, mut updates) = environment.watch().subscribe();
    let mesh = environment.mesh();
    let began_ms = recorder.clock().began_ms();
    let (keys, recorder) = (keys.clone(), Arc::clone(recorder));
    let mut sidecars: BTreeMap<String, Sidecar> = BTreeMap::new();
    let mut take = move |update| match update {
        Update::Joined(sidecar) => {
            sidecars.insert(sidecar.name.clone(), sidecar.clone());
            recorder.joined(sidecar);
        }
        Update::Left { name, pod_uid } => recorder.left(&name, &pod_uid),
        Update::Read {
            name,
            pod_uid,
            state,
        } => {
            if let Some(sidecar) = sidecars.get(&name) {
                let reading =
                    state.and_then(|state| mesh.observe(&keys, sidecar, &state, began_ms));
                recorder.read(&name, &pod_uid, reading);
            }
        }
        // Nobody waits for the answer any more: fine.
        Update::CaughtUp(answer) => drop(answer.send(())),
    };
    // What is known already is taken at once, so that the first act finds everybody.
    while let Ok(update) = updates.try_recv() {
        take(update);
    }
    let task = tokio::spawn(async move {
        while let Some(update) = updates.recv().await {
            take(update);
        }
    });
    Readings {
        updates: sender,
        task,
    }
}

#[cfg(test)]
mod tests;
