//! One long poll for each sidecar, shared by all scenarios that run.
//!
//! Invariant: a subscriber gets every reading that is made while it is subscribed, in order, and at the start the latest
//! one of each sidecar that is there.

use harness_mesh::Workload;
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use harness_probe::Prober;
use probe_api::state::SidecarState;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub(crate) enum Update {
    /// A sidecar is there from now on.
    Joined(Sidecar),
    /// A sidecar is gone.
    Left {
        /// Stable name.
        name: String,
        /// Which life of it.
        pod_uid: String,
    },
    /// A sidecar was read, or its probe did not answer.
    Read {
        /// Stable name.
        name: String,
        /// Which life of it.
        pod_uid: String,
        /// What its probe said.
        state: Result<Arc<SidecarState>, String>,
    },
    /// Everything before this has been taken: to be answered through the channel.
    CaughtUp(mpsc::UnboundedSender<()>),
}

/// Watches every sidecar of an environment. Ends with its owner.
pub(crate) struct SidecarWatch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    prober: Prober,
    /// Sidecars are read from when it says so.
    reading: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watched: BTreeMap<String, Watched>,
    subscribers: Vec<mpsc::UnboundedSender<Update>>,
}

/// One life of a sidecar.
struct Watched {
    workload: Workload,
    latest: Option<Result<Arc<SidecarState>, String>>,
    poll: AbortHandle,
}

/// How long one long poll may last.
const POLL: Duration = Duration::from_secs(10);

/// How long to leave a probe alone that did not answer: nothing tells when it will.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

impl SidecarWatch {
    /// Follows the sidecars of `directory` from now on, and reads them from [`read_from_now_on`](Self::read_from_now_on) on.
    pub(crate) fn start(prober: Prober, directory: watch::Receiver<Arc<Vec<Workload>>>) -> Self {
        let shared = Arc::new(Shared {
            prober,
            reading: watch::Sender::new(false),
            state: Mutex::new(State::default()),
        });
        shared.follow(&directory.borrow().clone());
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            let mut directory = directory;
            async move {
                while directory.changed().await.is_ok() {
                    let workloads = directory.borrow_and_update().clone();
                    shared.follow(&workloads);
                }
            }
        });
        Self { shared, task }
    }

    /// Begins to read. To render all of a configuration takes a sidecar longer than to take it over, so nothing is read of the
    /// streams that an environment ends first of all.
    pub(crate) fn read_from_now_on(&self) {
        self.shared.reading.send_replace(true);
    }

    /// From now on every update, after who is there and what they were last seen to hold; and the sender, through which
    /// the subscriber can be asked whether it has caught up.
    pub(crate) fn subscribe(
        &self,
    ) -> (
        mpsc::UnboundedSender<Update>,
        mpsc::UnboundedReceiver<Update>,
    ) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.shared.state();
        for (name, watched) in &state.watched {
            let sidecar = &watched.workload.sidecar;
            // The receiver is in our hands, so nothing is lost here.
            let _ = sender.send(Update::Joined(sidecar.clone()));
            if let Some(latest) = &watched.latest {
                let _ = sender.send(Update::Read {
                    name: name.clone(),
                    pod_uid: sidecar.pod_uid.clone(),
                    state: latest.clone(),
                });
            }
        }
        state.subscribers.push(sender.clone());
        (sender, receiver)
    }

    /// The workload of a sidecar, by stable name.
    pub(crate) fn workload(&self, name: &str) -> Option<Workload> {
        self.shared
            .state()
            .watched
            .get(name)
            .map(|watched| watched.workload.clone())
    }

    /// The workloads that are watched, by stable name.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        self.shared
            .state()
            .watched
            .values()
            .map(|watched| watched.workload.clone())
            .collect()
    }

    /// What a sidecar was last seen to hold; none when it was not read yet or its probe did not answer.
    pub(crate) fn latest(&self, name: &str) -> Option<Arc<SidecarState>> {
        self.shared.state().watched.get(name)?.latest.clone()?.ok()
    }

    /// Waits until `missing` names nobody, at most until `deadline`; it is asked again after every update, with a
    /// function that gives the latest state of a sidecar. The last answer, empty on success.
    pub(crate) async fn wait_until_nobody(
        &self,
        deadline: Instant,
        mut missing: impl FnMut(&dyn Fn(&str) -> Option<Arc<SidecarState>>) -> Vec<String>,
    ) -> Vec<String> {
        let (_, mut updates) = self.subscribe();
        loop {
            let last = missing(&|name| self.latest(name));
            if last.is_empty() {
                return last;
            }
            match tokio::time::timeout_at(deadline.into(), updates.recv()).await {
                Ok(Some(_)) => while updates.try_recv().is_ok() {},
                Ok(None) | Err(_) => return last,
            }
        }
    }

    /// Reads these sidecars now, in parallel, and tells every subscriber.
    pub(crate) async fn read_now(&self, names: &[String]) {
        let reads = names.iter().filter_map(|name| {
            let workload = self.workload(name)?;
            Some(async move {
                let state = self.shared.prober.state(&workload.address).await;
                self.shared.tell(
                    &workload.sidecar,
                    state.map_err(|error| chain(&error)).map(Arc::new),
                );
            })
        });
        futures::future::join_all(reads).await;
    }
}

impl SidecarWatch {
    /// Ends all polls; nothing is told any more.
    pub(crate) fn stop(&self) {
        self.task.abort();
        for watched in self.shared.state().watched.values() {
            watched.poll.abort();
        }
    }
}

impl Drop for SidecarWatch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Starts and ends polls so that exactly `workloads` are watched.
    fn follow(self: &Arc<Self>, workloads: &[Workload]) {
        let mut state = self.state();
        let wanted: BTreeMap<&str, &Workload> = workloads
            .iter()
            .map(|workload| (workload.sidecar.name.as_str(), workload))
            .collect();
        let gone: Vec<String> = state
            .watched
            .iter()
            .filter(|(name, watched)| {
                wanted
                    .get(name.as_str())
                    .is_none_or(|workload| workload.sidecar != watched.workload.sidecar)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(watched) = state.watched.remove(&name) {
                watched.poll.abort();
                state.tell(Update::Left {
                    name,
                    pod_uid: watched.workload.sidecar.pod_uid,
                });
            }
        }
        for (name, workload) in wanted {
            if let Some(watched) = state.watched.get_mut(name) {
                watched.workload = workload.clone();
                continue;
            }
            let poll = tokio::spawn(Arc::clone(self).poll(workload.clone())).abort_handle();
            state.watched.insert(
                name.to_owned(),
                Watched {
                    workload: workload.clone(),
                    latest: None,
                    poll,
                },
            );
            state.tell(Update::Joined(workload.sidecar.clone()));
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a probe that does not answer tells nobody when it will: the pause only spares the processor"
    )]
    async fn poll(self: Arc<Self>, workload: Workload) {
        let mut reading = self.reading.subscribe();
        if reading.wait_for(|reads| *reads).await.is_err() {
            return;
        }
        let mut hash: Option<String> = None;
        loop {
            let state = match &hash {
                Some(hash) => {
                    self.prober
                        .wait_for_change(&workload.address, hash, POLL)
                        .await
                }
                None => self.prober.state(&workload.address).await,
            };
            match state {
                Ok(state) => {
                    hash = Some(state.hash.clone());
                    self.tell(&workload.sidecar, Ok(Arc::new(state)));
                }
                Err(error) => {
                    hash = None;
                    self.tell(&workload.sidecar, Err(chain(&error)));
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    fn tell(&self, sidecar: &Sidecar, reading: Result<Arc<SidecarState>, String>) {
        let mut state = self.state();
        let Some(watched) = state
            .watched
            .get_mut(&sidecar.name)
            // What was asked at an address that it has no more may come late, and says nothing of it.
            .filter(|watched| watched.workload.sidecar == *sidecar)
        else {
            return;
        };
        // Two reads of one sidecar may overtake each other on their way; the older one is old news.
        let overtaken = matches!(
            (&watched.latest, &reading),
            (Some(Ok(known)), Ok(new)) if new.observed_at_ns < known.observed_at_ns
        );
        if overtaken {
            return;
        }
        watched.latest = Some(reading.clone());
        state.tell(Update::Read {
            name: sidecar.name.clone(),
            pod_uid: sidecar.pod_uid.clone(),
            state: reading,
        });
    }

    /// Every change under the lock is whole before the next, so a panic elsewhere leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, update: Update) {
        self.subscribers
            .retain(|subscriber| subscriber.send(update.clone()).is_ok());
    }
}
