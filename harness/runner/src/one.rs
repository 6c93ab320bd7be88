//! One scenario: resolved, carried out, cleaned up, judged, written down.

mod under_way;

use crate::environment::Environment;
use crate::execute::{BrokenOff, Execution, Loads, Script, Writes};
use crate::judging::{JUDGE_EVERY, judge};
use crate::machine::Look;
use crate::plan::RunPlan;
use crate::record::Recorder;
use crate::run::{millis_since, tell};
use crate::schedule::Item;
use crate::streams::Arrangement;
use crate::{Events, Interrupt, artifacts, under_test};
use harness_mesh::Keys;
use harness_model::causes::chain;
use harness_model::directory::Directory;
use harness_model::history::file::Recorded;
use harness_model::in_vain;
use harness_model::machine::MachineLoad;
use harness_model::placeholder;
use harness_model::rotation::Rotation;
use harness_model::run_event::RunEvent;
use harness_model::scenario::{Act, Disturbs, Scenario};
use harness_model::verdict::{Detail, Finding, INTERRUPTED, Judgement, Verdict};
use std::sync::Arc;
use std::time::Instant;
use under_way::UnderWay;

/// The checker that findings of the runner itself name: nothing was judged.
pub(crate) const RUNNER: &str = "runner";

/// Says of the judgement of what was seen so far whether it is all that is asked for. It must be about failures only that
/// nothing can undo that is seen later.
pub(crate) type Enough<'a> = &'a (dyn Fn(&Judgement) -> bool + Send + Sync);

/// Runs one scenario and judges it. A panic in it, or an interrupt, makes it inconclusive. Once it is `enough`, it is broken
/// off, judged by what was seen until then, and what it broke is put right.
pub(crate) async fn run_one(
    environment: &Arc<Environment>,
    plan: &RunPlan,
    item: &Item,
    events: &Events,
    interrupt: &Interrupt,
    enough: Option<Enough<'_>>,
) -> Judgement {
    let started = Instant::now();
    let (name, repetition) = (&item.scenario.name, item.repetition);
    tell(
        events,
        RunEvent::ScenarioStarted {
            scenario: name.clone(),
            claim: item.scenario.claim.clone(),
            repetition,
        },
    );
    let resolved = match under_test::runs(environment, interrupt).await {
        Ok(()) => resolve(environment, &item.scenario),
        Err(reason) => Err(reason),
    };
    let (judgement, machine) = match resolved {
        Ok(scenario) => {
            let script = Script {
                scenario,
                written: item.scenario.when.clone(),
            };
            carry_out(environment, plan, item, script, events, interrupt, enough).await
        }
        Err(reason) => (undecided(reason), None),
    };
    tell(
        events,
        RunEvent::ScenarioFinished {
            scenario: name.clone(),
            repetition,
            judgement: judgement.clone(),
            millis: millis_since(started),
            machine,
        },
    );
    judgement
}

fn resolve(environment: &Environment, scenario: &Scenario) -> Result<Scenario, String> {
    let directory = Directory {
        data_centers: environment.data_centers(),
        sidecars: environment.sidecars(),
    };
    placeholder::resolve_scenario(scenario, &directory).map_err(|unresolved| {
        let words: Vec<String> = unresolved.iter().map(ToString::to_string).collect();
        words.join("; ")
    })
}

/// The judgement, and how busy this machine was while that was seen which is judged.
async fn carry_out(
    environment: &Arc<Environment>,
    plan: &RunPlan,
    item: &Item,
    script: Script,
    events: &Events,
    interrupt: &Interrupt,
    enough: Option<Enough<'_>>,
) -> (Judgement, Option<MachineLoad>) {
    let scenario = script.scenario.clone();
    let disturbs_everything = scenario.disturbs == Disturbs::Everything;
    let arrangement = Arrangement::during(&scenario);
    if disturbs_everything {
        // A round that somebody has left would put the sidecars back afterwards.
        drop(environment.rendezvous().busy().await);
        environment.arrange(arrangement).await;
    }
    let keys = Keys::new(&prefix(plan, item.number));
    let keys = if scenario.speaks_of_tls() {
        keys.with_tls()
    } else {
        keys
    };
    let recorder = Arc::new(Recorder::new(
        environment.clock(),
        scenario.name.clone(),
        item.repetition,
        events.clone(),
    ));
    let loads = Arc::new(Loads::default());
    let writes = Writes::default();
    let look = Look::begin(&plan.cluster);
    let mut task = UnderWay::start(&recorder, {
        let environment = Arc::clone(environment);
        let keys = keys.clone();
        let (recorder, loads) = (Arc::clone(&recorder), Arc::clone(&loads));
        let writes = writes.clone();
        async move {
            Execution::start(environment, script, keys, recorder, loads, writes)
                .await
                .carry_out()
                .await
        }
    });
    let mut seen_enough = None;
    let broke_off = tokio::select! {
        biased;
        ended = &mut task.handle => match ended {
            Ok(carried_out) => carried_out.err().map(Break::Early),
            Err(error) => Some(Break::Undecided(format!("the runner has a defect: {error}"))),
        },
        history = decided(&scenario, plan, &recorder, enough) => {
            task.cancel().await;
            seen_enough = Some(history);
            None
        }
        () = interrupt.stop() => {
            task.cancel().await;
            Some(Break::Undecided(INTERRUPTED.to_owned()))
        }
    };
    let was_enough = seen_enough.is_some();
    let history = seen_enough.unwrap_or_else(|| recorder.history());
    // Now: what cleans up and collects diagnostics makes this machine busy, too.
    let machine = look.as_ref().and_then(Look::end);
    writes.ended().await;
    clean_up(environment, &scenario, &keys, &recorder, &loads, interrupt).await;
    // The scenario would have waited for that itself.
    let ended_early = was_enough || broke_off.is_some();
    let may_lack_replicas = ended_early || arrangement == Arrangement::Free;
    let goes_on = || plan.whole_again && interrupt.signal().is_none();
    if disturbs_everything && goes_on() {
        tokio::select! {
            () = environment.wait_until_healed() => {}
            () = interrupt.stop() => {}
        }
    }
    if disturbs_everything && may_lack_replicas && goes_on() {
        environment.wait_until_whole().await;
    }
    if (disturbs_everything || moves(&scenario)) && goes_on() {
        environment.wait_until_in_sync().await;
    }
    if disturbs_everything && goes_on() {
        environment.arrange(Arrangement::Spread).await;
    }
    let mut judgement = match broke_off {
        Some(Break::Undecided(reason)) => undecided(reason),
        Some(Break::Early(reason)) => {
            only_failed(judge(&scenario, &history, &plan.patience), reason)
        }
        None => judge(&scenario, &history, &plan.patience),
    };
    if judgement.verdict == Verdict::Inconclusive {
        // Where it was broken off, or a checker has ended by a panic, nobody was asked.
        judgement.waited_in_vain = in_vain::of(&scenario, &history);
    }
    let folder = artifacts::folder(&plan.artifacts, &scenario.name, item.repetition);
    if artifacts::collects(plan.collect, judgement.verdict) && interrupt.signal().is_none() {
        environment
            .collect_diagnostics(&folder.join("diagnostics"))
            .await;
    }
    let recorded = Recorded {
        header: artifacts::header(plan, scenario, environment.data_centers(), item.repetition),
        events: history,
    };
    if let Err(error) = artifacts::write_history(&folder, &recorded) {
        tracing::warn!(folder = %folder.display(), %error, "cannot write the history");
        if judgement.verdict == Verdict::Passed {
            // Nobody could judge it again.
            judgement = undecided(format!("the history is lost: {error}"));
        }
    }
    (judgement, machine)
}

/// How a scenario ended before its end.
enum Break {
    /// By itself: what was seen can be judged, but supports nothing.
    Early(BrokenOff),
    /// What was seen decides nothing.
    Undecided(String),
}

/// A failure of a scenario that was broken off counts; nothing else does.
fn only_failed(judgement: Judgement, BrokenOff(reason): BrokenOff) -> Judgement {
    if judgement.verdict == Verdict::Failed {
        judgement
    } else {
        undecided(reason)
    }
}

/// Waits until what was seen is enough, and gives it. Never ends when everything is asked for.
async fn decided(
    scenario: &Scenario,
    plan: &RunPlan,
    recorder: &Recorder,
    enough: Option<Enough<'_>>,
) -> Vec<harness_model::history::Event> {
    match enough {
        Some(enough) => {
            recorder
                .wait_for(JUDGE_EVERY, |history| {
                    enough(&judge(scenario, history, &plan.patience))
                })
                .await
        }
        None => std::future::pending().await,
    }
}

/// Ends what the scenario left running, heals what it broke, removes what it wrote, and waits until no sidecar shows
/// any of it.
async fn clean_up(
    environment: &Arc<Environment>,
    scenario: &Scenario,
    keys: &Keys,
    recorder: &Recorder,
    loads: &Loads,
    interrupt: &Interrupt,
) {
    if let Err(BrokenOff(reason)) = loads.stop_all(environment, recorder).await {
        // The scenario was broken off before: its history is taken already, and has no end.
        tracing::debug!(reason, "a load that was left running could not be stopped");
    }
    if scenario.disturbs == Disturbs::Everything {
        for left in environment.injector().heal_all().await {
            tracing::warn!(
                left,
                "a fault could not be healed early; the kernel's timer will"
            );
        }
    }
    let mesh = environment.mesh();
    if let Err(error) = mesh.delete_scenario(keys).await {
        tracing::warn!(
            scenario = scenario.name,
            error = chain(&error),
            "cannot remove what a scenario wrote"
        );
    }
    let trusts = |act: &Act| matches!(act, Act::Rotate(Rotation::TrustPartner(_)));
    if scenario.when.iter().any(trusts)
        && let Err(error) = mesh.rotate(&Rotation::DropPartner, None).await
    {
        tracing::warn!(
            scenario = scenario.name,
            error = chain(&error),
            "cannot take the root that a scenario had trusted out of trust"
        );
    }
    // After each scenario: what could not be brought back before is tried again.
    if let Err(error) = mesh.restore(environment.patience().ready.0).await {
        tracing::warn!(
            error = chain(&error),
            "cannot bring back what a scenario moved or took away, or the build under test"
        );
    }
    if moves(scenario) {
        let unknown = environment.wait_until_known().await;
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "workloads that are back are not known yet");
        }
    }
    if interrupt.signal().is_some() {
        return;
    }
    // Where readings do not tell which services there are, nothing would be waited for but the end of the wait.
    let tells = mesh.definition().state.services.is_some();
    for service in scenario.withdraws().filter(|_| tells) {
        let unaware = environment.wait_until_known_again(service).await;
        if !unaware.is_empty() {
            tracing::warn!(service, ?unaware, "a service that is back is not known yet");
        }
    }
    let showing = environment.wait_until_gone(keys).await;
    if !showing.is_empty() {
        tracing::warn!(
            scenario = scenario.name,
            ?showing,
            "sidecars still show what a scenario wrote"
        );
    }
}

/// Whether workloads, or the builds that run, may be others at the end of it.
fn moves(scenario: &Scenario) -> bool {
    let is_one = |act: &Act| {
        matches!(
            act,
            Act::Join { .. } | Act::Leave { .. } | Act::Reschedule { .. } | Act::Restart(_)
        )
    };
    scenario.when.iter().any(is_one)
}

/// Unique for each scenario of each run, so that runs on one cluster never share keys.
fn prefix(plan: &RunPlan, number: usize) -> String {
    let mut hash: u32 = 2_166_136_261;
    for byte in plan.run.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    }
    format!("s{number}r{hash:x}")
}

/// The judgement of a scenario that nothing was decided about, and why.
pub(crate) fn undecided(reason: String) -> Judgement {
    Judgement {
        verdict: Verdict::Inconclusive,
        findings: vec![Finding {
            checker: RUNNER.to_owned(),
            expectation: None,
            verdict: Verdict::Inconclusive,
            observations: 0,
            details: vec![Detail {
                sidecar: None,
                step: None,
                expected: "the scenario to be carried out to its end".to_owned(),
                observed: reason,
                event: None,
            }],
        }],
        waited_in_vain: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: Verdict) -> Judgement {
        Judgement {
            verdict,
            findings: Vec::new(),
            waited_in_vain: Vec::new(),
        }
    }

    #[test]
    fn a_scenario_that_broke_off_never_passes_but_can_fail() {
        let lost = || BrokenOff("the last outcomes of `load` are lost".to_owned());
        let passed = only_failed(judged(Verdict::Passed), lost());
        assert_eq!(passed.verdict, Verdict::Inconclusive);
        assert_eq!(
            passed.findings[0].details[0].observed,
            "the last outcomes of `load` are lost"
        );
        let failed = only_failed(judged(Verdict::Failed), lost());
        assert_eq!(failed.verdict, Verdict::Failed);
    }

    #[test]
    fn whoever_reads_a_judgement_knows_whether_it_was_interrupted() {
        assert!(undecided(INTERRUPTED.to_owned()).is_interrupted());
        assert!(!undecided("the history is lost".to_owned()).is_interrupted());
    }
}
