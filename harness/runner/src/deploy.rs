//! Deploying a mesh and leaving it: the first part of a run, without its scenarios and its end.

use crate::environment::{Environment, PrepareError};
use crate::plan::RunPlan;
use crate::run::{millis_since, run_started, tell};
use crate::{Events, Interrupt, lost};
use harness_model::run_event::{RunEvent, Summary};

/// Brings the environment up and leaves it standing. Never fails: the summary says what became of it, and
/// [`RunEvent::RunFinished`] with the same summary is the last event. The plan has no scenarios, and keeps its cluster.
///
/// After the second interrupt it returns at once, as [`run`](crate::run()) does.
pub async fn deploy(plan: RunPlan, events: Events, interrupt: Interrupt) -> Summary {
    tell(&events, run_started(&plan, 0));
    let mut summary = tokio::select! {
        summary = bring_up(&plan, &events, &interrupt) => summary,
        () = interrupt.at_once() => Summary::default(),
    };
    summary.interrupted = interrupt.signal();
    summary.millis = millis_since(plan.started);
    tell(
        &events,
        RunEvent::RunFinished {
            summary: summary.clone(),
        },
    );
    summary
}

async fn bring_up(plan: &RunPlan, events: &Events, interrupt: &Interrupt) -> Summary {
    let prepared = Environment::prepare(plan, events, interrupt).await;
    let mut summary = Summary {
        left_behind: prepared.left_behind,
        ..Summary::default()
    };
    let left: Result<Vec<String>, PrepareError> = match prepared.environment {
        Ok(environment) => {
            tell(events, environment.ready(millis_since(plan.started)));
            lost::take_down(&environment, true).await
        }
        Err(error) => Err(error),
    };
    match left {
        Ok(left) => summary.left_behind.extend(left),
        Err(error) => summary.environment_error = Some(error.report()),
    }
    summary
}
