//! Requests and steady load, and their outcomes in the history.

mod recovery;
mod turned_away;

use super::{BrokenOff, Execution};
use crate::environment::Environment;
use crate::record::Recorder;
use harness_mesh::Workload;
use harness_model::causes::chain;
use harness_model::history::EventKind;
use harness_model::patience::Whose;
use harness_model::protocol::{Connections, Protocol};
use harness_model::scenario::{Load, Traffic};
use harness_probe::{ProbeError, ProbeFailure};
use probe_api::request::{LoadReport, LoadSpec, RequestBatch, RequestOutcome, RequestSpec};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long one request of a scenario may take: longer than any fail-over that a mesh may claim, and than a busy machine keeps
/// a process waiting. Whoever claims that answers come sooner is judged by when they came.
const REQUEST: Duration = Duration::from_secs(5);

/// How many requests of a batch are under way at once.
const CONCURRENCY: u32 = 4;

/// How often the outcomes of a load are fetched: the probe keeps them, and tells nobody when there are more.
const COLLECT_EVERY: Duration = Duration::from_millis(500);

/// The loads of one scenario that were not stopped yet, shared with whoever cleans up after it.
#[derive(Default)]
pub(crate) struct Loads {
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    id: String,
    from: Workload,
    /// Outcomes before this sequence are in the history.
    since: Arc<Mutex<u64>>,
    collect: JoinHandle<()>,
    /// Closed when nothing is collected any more.
    collecting: watch::Receiver<()>,
}

impl Execution {
    /// Sends a batch and records the outcomes.
    pub(super) async fn request(&self, traffic: &Traffic) {
        let Some(from) = self.environment.watch().workload(&traffic.from) else {
            self.give_up(format!("the workload {} to be there", traffic.from));
            return;
        };
        let Some(mut request) = self.spec(
            &traffic.to,
            traffic.protocol,
            &traffic.path,
            &traffic.headers,
        ) else {
            return;
        };
        self.count_requests(traffic, &mut request);
        let batch = RequestBatch {
            request,
            count: traffic.count,
            concurrency: CONCURRENCY.min(traffic.count.max(1)),
        };
        self.count_turned_away(traffic).await;
        let watched = self.watch_wire(traffic, &from).await;
        let outcomes = self
            .environment
            .prober()
            .requests(&from.address, &batch)
            .await;
        if watched {
            self.wire_seen(traffic, &from).await;
        }
        self.count_turned_away(traffic).await;
        match outcomes {
            Ok(outcomes) => {
                record(
                    &self.environment,
                    &self.recorder,
                    &traffic.name,
                    &from,
                    &outcomes,
                );
                self.record_received(traffic).await;
            }
            Err(error) => self.give_up(format!(
                "the outcomes of `{}` from {}: {}",
                traffic.name,
                traffic.from,
                chain(&error)
            )),
        }
    }

    /// Starts steady load.
    pub(super) async fn load(&self, load: &Load) {
        let Some(from) = self.environment.watch().workload(&load.from) else {
            self.give_up(format!("the workload {} to be there", load.from));
            return;
        };
        let Some(request) = self.spec(&load.to, load.protocol, "/", &load.headers) else {
            return;
        };
        let spec = LoadSpec {
            request,
            connections: match load.connections {
                Connections::Usual => probe_api::request::Connections::Usual,
                Connections::Kept => probe_api::request::Connections::Kept,
            },
            rate: load.rate,
        };
        match self
            .environment
            .prober()
            .start_load(&from.address, &spec)
            .await
        {
            Ok(id) => {
                self.loads
                    .add(&self.environment, &self.recorder, &load.name, from, id);
            }
            Err(error) => self.give_up(format!(
                "the load `{}` to start at {}: {}",
                load.name,
                load.from,
                chain(&error)
            )),
        }
    }

    /// What the probe is to send; none where services do not speak this, which no scenario that says what it requires
    /// finds out here.
    fn spec(
        &self,
        to: &str,
        protocol: Protocol,
        path: &str,
        headers: &BTreeMap<String, String>,
    ) -> Option<RequestSpec> {
        let Some(url) = self.environment.mesh().service_url(to, protocol, path) else {
            self.give_up(format!("a service {to} that speaks {}", protocol.name()));
            return None;
        };
        Some(RequestSpec {
            url,
            protocol: harness_mesh::asked(protocol),
            headers: headers.clone(),
            timeout_ms: u64::try_from(REQUEST.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Loads {
    fn add(
        &self,
        environment: &Arc<Environment>,
        recorder: &Arc<Recorder>,
        name: &str,
        from: Workload,
        id: String,
    ) {
        let since = Arc::new(Mutex::new(0));
        let (collects, collecting) = watch::channel(());
        let collect = collect(
            Arc::clone(environment),
            Arc::clone(recorder),
            name.to_owned(),
            from.clone(),
            id.clone(),
            Arc::clone(&since),
        );
        let collect = tokio::spawn(async move {
            collect.await;
            drop(collects);
        });
        self.running().insert(
            name.to_owned(),
            Running {
                id,
                from,
                since,
                collect,
                collecting,
            },
        );
    }

    /// What ends when outcomes of a load do not come in any more; none when it is not running.
    fn ended(&self, name: &str) -> Option<impl Future<Output = ()> + use<>> {
        let mut collecting = self.running().get(name)?.collecting.clone();
        // Nothing is ever sent: it is closed.
        Some(async move { while collecting.changed().await.is_ok() {} })
    }

    /// Stops a load by name, waits for the outcomes that are still open and records them.
    ///
    /// # Errors
    ///
    /// When outcomes are lost: the history then shows the head of the load only, and does not tell that there was more.
    pub(super) async fn stop(
        &self,
        environment: &Environment,
        recorder: &Recorder,
        name: &str,
    ) -> Result<(), BrokenOff> {
        let running = self.running().remove(name);
        let Some(running) = running else {
            recorder.push(EventKind::GaveUp {
                waited_for: format!("the load `{name}`, which is not running"),
                whose: Whose::Harness,
            });
            return Ok(());
        };
        running.collect.abort();
        // The task may be in the middle of recording; only when it has ended is its place final.
        let _ = running.collect.await;
        let since = *lock(&running.since);
        let report = environment
            .prober()
            .stop_load(&running.from.address, &running.id, since)
            .await;
        last_outcomes(recorder, name, report)
            .map(|outcomes| record(environment, recorder, name, &running.from, &outcomes))
    }

    /// Stops every load that still runs.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop), for the first whose outcomes are lost.
    pub(crate) async fn stop_all(
        &self,
        environment: &Environment,
        recorder: &Recorder,
    ) -> Result<(), BrokenOff> {
        let names: Vec<String> = self.running().keys().cloned().collect();
        let mut stopped = Ok(());
        for name in names {
            stopped = stopped.and(self.stop(environment, recorder, &name).await);
        }
        stopped
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        lock(&self.running)
    }
}

/// The outcomes of the last report of a load; without one the scenario cannot go on.
fn last_outcomes(
    recorder: &Recorder,
    name: &str,
    report: Result<LoadReport, ProbeError>,
) -> Result<Vec<RequestOutcome>, BrokenOff> {
    report.map(|report| report.outcomes).map_err(|error| {
        let lost = format!("the last outcomes of `{name}`: {}", chain(&error));
        recorder.push(EventKind::GaveUp {
            waited_for: lost.clone(),
            whose: Whose::Harness,
        });
        BrokenOff(format!("it gave up to wait for {lost}"))
    })
}

/// What is locked here is whole after every change, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a load whose outcomes could not be fetched is not there any more: its probe says so, or its pod is gone.
fn has_ended(environment: &Environment, from: &Workload, error: &ProbeError) -> bool {
    let there = environment.watch().workload(&from.sidecar.name);
    let is_there = there.is_some_and(|there| there.sidecar.pod_uid == from.sidecar.pod_uid);
    matches!(error.source, ProbeFailure::Refused { .. }) || !is_there
}

async fn collect(
    environment: Arc<Environment>,
    recorder: Arc<Recorder>,
    name: String,
    from: Workload,
    id: String,
    since: Arc<Mutex<u64>>,
) {
    let mut ticks = tokio::time::interval(COLLECT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let next = *lock(&since);
        let report: LoadReport = match environment
            .prober()
            .load_report(&from.address, &id, next)
            .await
        {
            Ok(report) => report,
            Err(error) if has_ended(&environment, &from, &error) => {
                tracing::debug!(name, %error, "a load has ended by itself");
                return;
            }
            Err(error) => {
                tracing::debug!(name, %error, "cannot fetch outcomes of a load; the probe keeps them");
                continue;
            }
        };
        // No await between recording and moving on: whoever stops us finds both done or neither.
        record(&environment, &recorder, &name, &from, &report.outcomes);
        *lock(&since) = next + report.outcomes.len() as u64;
    }
}

fn record(
    environment: &Environment,
    recorder: &Recorder,
    name: &str,
    from: &Workload,
    outcomes: &[RequestOutcome],
) {
    for outcome in outcomes {
        let due_ns = recorder.clock().of_epoch_ns(outcome.intended_at_ns);
        let mut seen = environment
            .mesh()
            .request_seen(name, &from.sidecar, outcome, due_ns);
        // A pod does not know its zone; the API server does.
        if let Some(answerer) = &mut seen.answered_by
            && let Some(data_center) = environment.data_center_of(&answerer.pod)
        {
            answerer.data_center = data_center;
        }
        recorder.push(EventKind::Request(Box::new(seen)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use harness_probe::{Act, ProbeFailure};
    use std::time::Instant;

    #[test]
    fn a_load_whose_last_outcomes_are_lost_breaks_the_scenario_off() {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let clock = Clock::new(Instant::now());
        let recorder = Recorder::new(clock, "suite/name".to_owned(), 1, events);
        let lost = ProbeError {
            act: Act::StopLoad,
            namespace: "mesh".to_owned(),
            pod: "checkout".to_owned(),
            source: ProbeFailure::Timeout(Duration::from_secs(1)),
        };
        let BrokenOff(reason) = last_outcomes(&recorder, "steady", Err(lost)).expect_err("lost");
        assert!(reason.contains("`steady`"), "{reason}");
        let history = recorder.history();
        assert!(
            matches!(history[0].kind, EventKind::GaveUp { .. }),
            "{history:?}"
        );
    }
}
