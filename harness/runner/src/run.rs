//! A run from beginning to end.

use crate::environment::{Environment, PrepareError};
use crate::phases::Phases;
use crate::plan::{CollectPolicy, KeepPolicy, RunPlan};
use crate::schedule::{self, Brake, Item, Policy};
use crate::usage::Meter;
use crate::{Events, Interrupt, lost, one};
use harness_cluster::exposure::Search;
use harness_model::run_event::{RunEvent, Summary};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Brings the environment up, runs and judges every scenario, and takes everything down. Never fails: the summary says
/// what became of it, and [`RunEvent::RunFinished`] with the same summary is the last event.
///
/// After the second interrupt it returns at once, and leaves the rest to the kernel: a local cluster ends with the
/// process.
pub async fn run(plan: RunPlan, events: Events, interrupt: Interrupt) -> Summary {
    let started = plan.started;
    let tally = Mutex::new(Summary::default());
    let searched = OnceLock::new();
    let whole = whole(&plan, &events, &interrupt, &tally, &searched);
    let mut summary = unless(interrupt.at_once(), whole, &tally).await;
    summary.interrupted = interrupt.signal();
    note_search(&mut summary, searched.into_inner());
    summary.count_rest(selected(&plan));
    summary.millis = millis_since(started);
    tell(
        &events,
        RunEvent::RunFinished {
            summary: summary.clone(),
        },
    );
    summary
}

/// What became of the whole run, or what was counted when the second interrupt came.
async fn unless(
    at_once: impl Future<Output = ()>,
    whole: impl Future<Output = Summary>,
    tally: &Mutex<Summary>,
) -> Summary {
    tokio::select! {
        summary = whole => summary,
        () = at_once => lock(tally).clone(),
    }
}

/// What the search for private keys came to, whenever the run was interrupted; that there was none, when it was.
fn note_search(summary: &mut Summary, search: Option<Search>) {
    match search {
        Some(search) => {
            summary.exposed_keys = search.found;
            summary.not_searched = search.not_searched;
        }
        None if summary.interrupted.is_some() => {
            summary.not_searched.push(LOGS_UNSEARCHED.to_owned());
        }
        None => {}
    }
}

/// Who interrupts a run does not wait for logs, nodes and Secrets to be read. Its files are searched when its documents are
/// written.
const LOGS_UNSEARCHED: &str =
    "the logs of the mesh's pods, its folders on nodes and its Secrets: the run was interrupted";

async fn whole(
    plan: &RunPlan,
    events: &Events,
    interrupt: &Interrupt,
    tally: &Mutex<Summary>,
    searched: &OnceLock<Search>,
) -> Summary {
    tell(events, run_started(plan, selected(plan)));
    let mut summary = Summary::default();
    if plan.scenarios.is_empty() {
        return summary;
    }
    let prepared = Environment::prepare(plan, events, interrupt).await;
    summary.left_behind = prepared.left_behind;
    let environment = match prepared.environment {
        Ok(environment) => Arc::new(environment),
        Err(PrepareError::Names(names)) => {
            summary.unknown_names = names;
            return summary;
        }
        Err(error) => {
            summary.environment_error = Some(error.report());
            return summary;
        }
    };
    tell(events, environment.ready(millis_since(plan.started)));
    match work(&environment, plan, events, interrupt, tally, &mut summary).await {
        Ok(None) => {}
        Ok(Some(search)) => {
            note_search(&mut summary, Some(search.clone()));
            let _ = searched.set(search);
        }
        Err(error) => summary.environment_error = Some(error.report()),
    }
    let keep = keeps(plan.keep, &summary);
    let down = lost::take_down(&environment, keep);
    match Phases::new(events.clone()).part("teardown", down).await {
        Ok(left) => summary.left_behind.extend(left),
        Err(error) => {
            let known = &mut summary.environment_error;
            known.get_or_insert_with(|| error.report());
        }
    }
    summary
}

/// Runs the scenarios, and looks at what was used and at what must not be in logs and files; what came of it is in the
/// summary, also when the cluster is lost on the way. The search is returned; none where the run was interrupted.
async fn work(
    environment: &Arc<Environment>,
    plan: &RunPlan,
    events: &Events,
    interrupt: &Interrupt,
    tally: &Mutex<Summary>,
    summary: &mut Summary,
) -> Result<Option<Search>, PrepareError> {
    let mut meter = Meter::start(environment);
    let running = async {
        run_scenarios(environment, plan, events, interrupt, tally).await;
        if interrupt.signal().is_none() {
            meter.read_last().await;
        }
    };
    let ran = lost::unless_lost(environment, running).await;
    let counted = lock(tally).clone();
    summary.passed = counted.passed;
    summary.failed = counted.failed;
    summary.inconclusive = counted.inconclusive;
    summary.skipped = counted.skipped;
    let usage = meter.usage();
    tell(events, RunEvent::Used { usage });
    ran?;
    if interrupt.signal().is_some() {
        return Ok(None);
    }
    let search = lost::unless_lost(environment, look(environment, plan)).await?;
    Ok(Some(search))
}

/// Collects what is wanted of every run, and searches for private keys.
async fn look(environment: &Environment, plan: &RunPlan) -> Search {
    if plan.collect == CollectPolicy::Always {
        environment
            .collect_diagnostics(&plan.artifacts.join("diagnostics"))
            .await;
    }
    environment.exposed_keys(&plan.artifacts).await
}

/// How many scenarios are to be run, each repetition counted.
fn selected(plan: &RunPlan) -> usize {
    plan.scenarios.len() * plan.repeat.max(1) as usize
}

/// Runs every scenario that the environment can carry, tells of those that it cannot, and counts them all. What is left
/// when the run is broken off is not told of.
async fn run_scenarios(
    environment: &Arc<Environment>,
    plan: &RunPlan,
    events: &Events,
    interrupt: &Interrupt,
    tally: &Mutex<Summary>,
) {
    let brake = Brake::default();
    let shuffle = plan.shuffle.then_some(plan.seed);
    let (items, lacking): (Vec<Item>, Vec<Item>) =
        schedule::items(&plan.scenarios, plan.repeat, shuffle)
            .into_iter()
            .partition(|item| environment.lacks(&item.scenario).is_empty());
    for item in &lacking {
        let missing = environment.lacks(&item.scenario);
        lock(tally).skipped += 1;
        tell(
            events,
            RunEvent::ScenarioSkipped {
                scenario: item.scenario.name.clone(),
                repetition: item.repetition,
                reason: format!("the environment lacks {}", missing.join(", ")),
            },
        );
    }
    let policy = Policy {
        parallel: plan.parallel,
        fail_fast: plan.fail_fast,
        excused: &plan.excused,
    };
    schedule::run_all(items, &policy, &brake, |item| {
        let brake = &brake;
        async move {
            let judgement = one::run_one(environment, plan, &item, events, interrupt, None).await;
            lock(tally).count(judgement.verdict);
            if interrupt.signal().is_some() {
                brake.pull();
            }
            judgement.verdict
        }
    })
    .await;
}

fn keeps(policy: KeepPolicy, summary: &Summary) -> bool {
    match policy {
        KeepPolicy::Never => false,
        KeepPolicy::OnFailure => {
            summary.failed + summary.inconclusive + summary.exposed_keys.len() > 0
        }
        KeepPolicy::Always => true,
    }
}

/// The first event of a run of that many scenarios.
pub(crate) fn run_started(plan: &RunPlan, selected: usize) -> RunEvent {
    let mut environment = BTreeMap::from([
        ("cluster".to_owned(), plan.cluster.describe()),
        ("clusterKind".to_owned(), plan.cluster.kind().to_owned()),
        ("mesh".to_owned(), plan.mesh.name.clone()),
        ("meshproof".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    if let crate::ClusterChoice::Local { topology, .. }
    | crate::ClusterChoice::Kind { topology, .. } = &plan.cluster
    {
        environment.insert("topology".to_owned(), topology.name.clone());
    }
    for (name, value) in plan.mesh.definition.chosen() {
        environment.insert(format!("mesh.{name}"), value.to_owned());
    }
    if let Some(mutant) = &plan.mutant {
        environment.insert("mutant".to_owned(), mutant.clone());
    }
    RunEvent::RunStarted {
        run: plan.run.clone(),
        at: jiff::Timestamp::now().to_string(),
        seed: plan.seed,
        environment,
        selected,
    }
}

pub(crate) fn tell(events: &Events, event: RunEvent) {
    // Nobody listening is no reason to stop.
    let _ = events.send(event);
}

pub(crate) fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Counting is whole after every change, so a panic elsewhere leaves it usable.
fn lock(tally: &Mutex<Summary>) -> std::sync::MutexGuard<'_, Summary> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_counted_before_the_second_interrupt_is_told() {
        let tally = Mutex::new(Summary::default());
        lock(&tally).passed = 3;
        let whole = std::future::pending();
        let summary = unless(std::future::ready(()), whole, &tally).await;
        assert_eq!(summary.passed, 3);
    }

    #[test]
    fn an_interrupted_run_says_that_logs_were_not_searched_unless_they_were() {
        let interrupted = Summary {
            interrupted: Some(2),
            ..Summary::default()
        };
        let mut without = interrupted.clone();
        note_search(&mut without, None);
        assert_eq!(without.not_searched, [LOGS_UNSEARCHED]);
        let mut with = interrupted;
        let search = Search {
            found: vec!["a log".to_owned()],
            ..Search::default()
        };
        note_search(&mut with, Some(search));
        assert_eq!(with.exposed_keys, ["a log"]);
        assert!(with.not_searched.is_empty());
        let mut whole = Summary::default();
        note_search(&mut whole, None);
        assert!(whole.not_searched.is_empty());
    }
}
