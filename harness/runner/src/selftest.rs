//! Proof that the scenarios can fail: seeded bugs, the faithful control plane and no mesh at all, compared with a
//! checked-in matrix.

mod compare;

use crate::environment::Environment;
use crate::interrupt::Interrupt;
use crate::plan::{CollectPolicy, MeshChoice, RunPlan};
use crate::run::{millis_since, tell};
use crate::schedule::{self, Brake, Policy};
use crate::sidecar_watch::chain;
use crate::streams::Arrangement;
use crate::{Events, one};
use harness_model::duration::Span;
use harness_model::run_event::{RunEvent, Summary};
use harness_model::scenario::Scenario;
use harness_model::verdict::Judgement;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// Which scenarios kill which mutant, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matrix {
    /// One row for each mutant.
    pub mutants: Vec<MatrixRow>,
}

/// One mutant of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatrixRow {
    /// Its name.
    pub mutant: String,
    /// The scenarios that must fail, each in the expected way.
    pub killed_by: Vec<ExpectedKill>,
}

/// One expected kill: the scenario's verdict is *failed*, by this checker, naming this sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedKill {
    /// Scenario name.
    pub scenario: String,
    /// Checker, as in [`harness_model::verdict::Finding::checker`].
    pub checker: String,
    /// Stable name of a sidecar that a failed detail must name; `$zone1` is the first data center and
    /// `*` any run of characters. Absent:
    /// the failure is about no one sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<String>,
}

/// What cases of the faithful control plane are called.
const FAITHFUL: &str = "faithful";

/// What cases without any mesh are called.
const ABSENT: &str = "absent";

/// What a self-test is made of.
#[derive(Clone, Debug)]
pub struct SelftestPlan {
    /// The scenarios, cluster and everything else; the mesh is the faithful one.
    pub run: RunPlan,
    /// The expected kills. Rows or kills of scenarios that are not selected are left out.
    pub matrix: Matrix,
    /// The mesh that is none, for the control group; absent: the control group is left out.
    pub absent: Option<MeshChoice>,
}

/// One comparison of a self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelftestCase {
    /// `faithful`, `absent` or the mutant's name.
    pub control_plane: String,
    /// Scenario name.
    pub scenario: String,
    /// What had to come out, in words.
    pub expected: String,
    /// What came out, in words.
    pub observed: String,
    /// Whether they agree.
    pub agrees: bool,
    /// The judgement, where there was one.
    pub judgement: Option<Judgement>,
}

/// The outcome of a self-test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelftestReport {
    /// Every comparison. None: nothing was proven.
    pub cases: Vec<SelftestCase>,
    /// Selected scenarios that no mutant of the matrix kills: they cannot be shown to fail.
    pub never_killed: Vec<String>,
    /// Why the environment could not be prepared, where it could not.
    pub environment_error: Option<String>,
    /// The run was interrupted by this signal.
    pub interrupted: Option<i32>,
    /// Something of ours was left behind: what.
    pub left_behind: Vec<String>,
    /// From the start of the process, milliseconds.
    pub millis: u64,
}

impl SelftestReport {
    /// Everything agreed, and there was something to agree with.
    #[must_use]
    pub fn matches(&self) -> bool {
        !self.cases.is_empty()
            && self.cases.iter().all(|case| case.agrees)
            && self.never_killed.is_empty()
            && self.environment_error.is_none()
            && self.interrupted.is_none()
    }
}

/// Runs the scenarios against every mutant of the matrix, the faithful control plane and no mesh, and compares.
/// [`RunEvent::RunFinished`] is the last event; a mutant's name stands before the names of its scenarios.
pub async fn selftest(plan: SelftestPlan, events: Events, interrupt: Interrupt) -> SelftestReport {
    let mut report = SelftestReport {
        never_killed: never_killed(&plan),
        ..SelftestReport::default()
    };
    tokio::select! {
        () = with_mesh(&plan, &events, &interrupt, &mut report) => {}
        () = interrupt.at_once() => {}
    }
    if let Some(absent) = &plan.absent
        && report.environment_error.is_none()
        && interrupt.signal().is_none()
    {
        tokio::select! {
            () = without_mesh(&plan, absent, &events, &interrupt, &mut report) => {}
            () = interrupt.at_once() => {}
        }
    }
    report.interrupted = interrupt.signal();
    report.millis = millis_since(plan.run.started);
    tell(
        &events,
        RunEvent::RunFinished {
            summary: summary(&report),
        },
    );
    report
}

/// The faithful control plane and every mutant, in one environment.
async fn with_mesh(
    plan: &SelftestPlan,
    events: &Events,
    interrupt: &Interrupt,
    report: &mut SelftestReport,
) {
    let Some(environment) = prepare(&plan.run, events, interrupt, report).await else {
        return;
    };
    let mut number = 0;
    let all: Vec<Scenario> = plan.run.scenarios.clone();
    for (scenario, judgement) in group(
        &environment,
        plan,
        &all,
        FAITHFUL,
        &mut number,
        events,
        interrupt,
    )
    .await
    {
        report.cases.push(compare::faithful(&scenario, judgement));
    }
    for row in &plan.matrix.mutants {
        let scenarios: Vec<Scenario> = all
            .iter()
            .filter(|scenario| {
                row.killed_by
                    .iter()
                    .any(|kill| kill.scenario == scenario.name)
            })
            .cloned()
            .collect();
        if scenarios.is_empty() || interrupt.signal().is_some() {
            continue;
        }
        if let Err(error) = environment.set_mutant(Some(&row.mutant)).await {
            report.cases.extend(
                scenarios
                    .iter()
                    .map(|scenario| compare::no_mutant(&row.mutant, scenario, &chain(&error))),
            );
            continue;
        }
        let judged = group(
            &environment,
            plan,
            &scenarios,
            &row.mutant,
            &mut number,
            events,
            interrupt,
        )
        .await;
        let data_centers = environment.data_centers();
        for (scenario, judgement) in judged {
            for kill in row
                .killed_by
                .iter()
                .filter(|kill| kill.scenario == scenario)
            {
                report.cases.push(compare::mutant(
                    &row.mutant,
                    kill,
                    &data_centers,
                    judgement.clone(),
                ));
            }
        }
    }
    report
        .left_behind
        .extend(environment.down(keep(&plan.run)).await);
}

/// No mesh at all, in an environment of its own, with short waits: nothing will come.
async fn without_mesh(
    plan: &SelftestPlan,
    absent: &MeshChoice,
    events: &Events,
    interrupt: &Interrupt,
    report: &mut SelftestReport,
) {
    let mut run = plan.run.clone();
    run.mesh = absent.clone();
    run.mutant = None;
    run.patience.delivery = Span::secs(1);
    run.patience.marker = Span::millis(500);
    run.patience.recovery = Span::secs(2);
    let Some(environment) = prepare(&run, events, interrupt, report).await else {
        return;
    };
    let shortened = SelftestPlan {
        run,
        ..plan.clone()
    };
    let mut number = 0;
    let scenarios = &plan.run.scenarios;
    for (scenario, judgement) in group(
        &environment,
        &shortened,
        scenarios,
        ABSENT,
        &mut number,
        events,
        interrupt,
    )
    .await
    {
        report.cases.push(compare::absent(&scenario, judgement));
    }
    report.left_behind.extend(environment.down(false).await);
}

async fn prepare(
    run: &RunPlan,
    events: &Events,
    interrupt: &Interrupt,
    report: &mut SelftestReport,
) -> Option<Arc<Environment>> {
    let prepared = Environment::prepare(run, events, interrupt).await;
    report.left_behind.extend(prepared.left_behind);
    match prepared.environment {
        Ok(environment) => {
            tell(
                events,
                RunEvent::EnvironmentReady {
                    sidecars: environment.sidecars(),
                    millis: millis_since(run.started),
                },
            );
            Some(Arc::new(environment))
        }
        Err(error) => {
            report.environment_error = Some(error.report());
            None
        }
    }
}

/// Runs these scenarios once, whatever they require, and gives their judgements by name.
async fn group(
    environment: &Arc<Environment>,
    plan: &SelftestPlan,
    scenarios: &[Scenario],
    label: &str,
    number: &mut usize,
    events: &Events,
    interrupt: &Interrupt,
) -> Vec<(String, Judgement)> {
    let mut items = schedule::items(scenarios, 1, None);
    for item in &mut items {
        item.number = *number;
        *number += 1;
    }
    let policy = Policy {
        parallel: plan.run.parallel,
        fail_fast: false,
    };
    let judged = Mutex::new(Vec::new());
    let brake = Brake::default();
    environment.arrange(Arrangement::Spread).await;
    // Of a mutant a failure is what is wanted: its history is evidence enough.
    let run = &RunPlan {
        artifacts: plan.run.artifacts.join("selftest").join(label),
        collect: match label {
            FAITHFUL => plan.run.collect,
            _ => CollectPolicy::Never,
        },
        ..plan.run.clone()
    };
    schedule::run_all(
        items,
        &policy,
        &brake,
        |item| {
            let (judged, brake) = (&judged, &brake);
            async move {
                let judgement = one::run_one(environment, run, &item, events, interrupt).await;
                if interrupt.signal().is_some() {
                    brake.pull();
                }
                let verdict = judgement.verdict;
                judged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((item.scenario.name.clone(), judgement));
                verdict
            }
        },
        || environment.arrange(Arrangement::Canaries),
    )
    .await;
    let mut judged = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    judged.sort_by(|(a, _), (b, _)| a.cmp(b));
    judged
}

fn never_killed(plan: &SelftestPlan) -> Vec<String> {
    let is_killed = |scenario: &&Scenario| {
        plan.matrix.mutants.iter().any(|row| {
            row.killed_by
                .iter()
                .any(|kill| kill.scenario == scenario.name)
        })
    };
    plan.run
        .scenarios
        .iter()
        .filter(|scenario| !is_killed(scenario))
        .map(|scenario| scenario.name.clone())
        .collect()
}

fn keep(run: &RunPlan) -> bool {
    run.keep == crate::KeepPolicy::Always
}

fn summary(report: &SelftestReport) -> Summary {
    let agreeing = report.cases.iter().filter(|case| case.agrees).count();
    Summary {
        passed: agreeing,
        failed: report.cases.len() - agreeing,
        environment_error: report.environment_error.clone(),
        left_behind: report.left_behind.clone(),
        interrupted: report.interrupted,
        millis: report.millis,
        ..Summary::default()
    }
}
