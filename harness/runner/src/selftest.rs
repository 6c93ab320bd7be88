//! Proof that the scenarios can fail: seeded bugs, the faithful mesh and no mesh at all, compared with a
//! checked-in matrix.
//!
//! Invariant: a kill is the failure that the matrix names, found while everything else of the scenario went on as in a
//! run; that the rest is left out once it was found changes no comparison.

mod compare;
mod plan;
mod report;

pub use plan::SelftestPlan;
pub use report::{Matrix, MatrixRow, OnCase, Position, SelftestCase, SelftestReport};

use crate::environment::Environment;
use crate::interrupt::Interrupt;
use crate::one::Enough;
use crate::phases::Phases;
use crate::plan::{CollectPolicy, MeshChoice, RunPlan};
use crate::run::{millis_since, run_started, tell};
use crate::schedule::{self, Brake, Policy};
use crate::{Events, lost, one};
use harness_model::causes::chain;
use harness_model::duration::Span;
use harness_model::run_event::RunEvent;
use harness_model::scenario::{Disturbs, Scenario};
use harness_model::verdict::Judgement;
use plan::kills;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What cases of the faithful mesh are called.
const FAITHFUL: &str = "faithful";

/// What cases without any mesh are called.
const ABSENT: &str = "absent";

/// Most of a scenario that fails is waiting for what does not come, so more of them run at once than in a run.
const WAITING_AT_ONCE: usize = 32;

/// Runs the scenarios against every mutant of the matrix, the faithful mesh and no mesh, and compares.
/// [`RunEvent::RunFinished`] is the last event.
pub async fn selftest(
    plan: SelftestPlan,
    events: Events,
    interrupt: Interrupt,
    on_case: OnCase<'_>,
) -> SelftestReport {
    let mut report = SelftestReport {
        never_killed: plan.never_killed(),
        ..SelftestReport::default()
    };
    tell(&events, run_started(&plan.run, plan.runs()));
    let bench = Bench {
        all: plan.comparisons(),
        plan: &plan,
        events: &events,
        interrupt: &interrupt,
        on_case,
        number: AtomicUsize::new(0),
        cases: Mutex::default(),
        exposed: Mutex::default(),
    };
    tokio::select! {
        () = bench.with_mesh(&mut report) => {}
        () = interrupt.at_once() => {}
    }
    tokio::select! {
        () = bench.with_own_mesh(&mut report) => {}
        () = interrupt.at_once() => {}
    }
    if let Some(absent) = &plan.absent
        && report.environment_error.is_none()
        && interrupt.signal().is_none()
    {
        tokio::select! {
            () = bench.without_mesh(absent, &mut report) => {}
            () = interrupt.at_once() => {}
        }
    }
    report.cases = std::mem::take(&mut *bench.cases());
    report.interrupted = interrupt.signal();
    report.millis = millis_since(plan.run.started);
    tell(
        &events,
        RunEvent::RunFinished {
            summary: report.summary(),
        },
    );
    report
}

/// A self-test under way.
struct Bench<'a> {
    plan: &'a SelftestPlan,
    events: &'a Events,
    interrupt: &'a Interrupt,
    on_case: OnCase<'a>,
    all: usize,
    /// Scenarios begun: each has keys of its own.
    number: AtomicUsize,
    cases: Mutex<Vec<SelftestCase>>,
    /// Where keys of mutants were found.
    exposed: Mutex<Vec<String>>,
}

/// [`Enough`] of a scenario, by name.
type EnoughOf<'a> = &'a (dyn Fn(&str, &Judgement) -> bool + Send + Sync);

/// Scenarios that are run against one control plane.
struct Group<'a> {
    label: &'a str,
    scenarios: &'a [Scenario],
    run: RunPlan,
    /// Makes the comparisons of one scenario.
    compare: &'a (dyn Fn(&str, &Judgement) -> Vec<SelftestCase> + Send + Sync),
    /// Ends a scenario before its end, by name.
    enough: Option<EnoughOf<'a>>,
}

/// Takes an environment down; what is left, or that its cluster was lost, is in the report.
async fn take_down(environment: &Environment, keep: bool, report: &mut SelftestReport) {
    match lost::take_down(environment, keep).await {
        Ok(left) => report.left_behind.extend(left),
        Err(error) => {
            let known = &mut report.environment_error;
            known.get_or_insert_with(|| error.report());
        }
    }
}

impl Bench<'_> {
    /// The faithful mesh and every mutant, in one environment.
    async fn with_mesh(&self, report: &mut SelftestReport) {
        let run = &self.plan.run;
        let Some(environment) = self.prepare(run, report).await else {
            return;
        };
        tokio::select! {
            biased;
            error = environment.lost() => report.environment_error = Some(error.report()),
            () = self.every_control_plane(&environment) => {}
        }
        let keep = run.keep == crate::KeepPolicy::Always;
        take_down(&environment, keep, report).await;
    }

    async fn every_control_plane(&self, environment: &Arc<Environment>) {
        let run = &self.plan.run;
        if self.plan.faithful {
            self.run(
                environment,
                Group {
                    label: FAITHFUL,
                    scenarios: &run.scenarios,
                    run: run.clone(),
                    compare: &|scenario, judgement| vec![compare::faithful(scenario, judgement)],
                    // What would end a mutant's scenario early must not be seen here at any moment.
                    enough: Some(&|_, judgement| compare::has_failed_for_good(judgement)),
                },
            )
            .await;
        }
        for row in self.plan.matrix.mutants.iter().filter(|row| !row.own_mesh) {
            if self.interrupt.signal().is_none() {
                self.place(environment, row).await;
            }
        }
    }

    /// The mutants that neither take over a mesh nor leave one, each in an environment of its own.
    async fn with_own_mesh(&self, report: &mut SelftestReport) {
        for row in self.plan.matrix.mutants.iter().filter(|row| row.own_mesh) {
            let goes_on = report.environment_error.is_none() && self.interrupt.signal().is_none();
            if !goes_on || self.plan.scenarios_of(row).is_empty() {
                continue;
            }
            let run = RunPlan {
                mutant: Some(row.mutant.clone()),
                ..self.plan.run.clone()
            };
            let Some(environment) = self.prepare(&run, report).await else {
                return;
            };
            tokio::select! {
                biased;
                error = environment.lost() => report.environment_error = Some(error.report()),
                () = self.mutant(&environment, row) => {}
            }
            take_down(&environment, false, report).await;
        }
    }

    /// Puts a mutant in the place of the present control plane.
    async fn place(&self, environment: &Arc<Environment>, row: &MatrixRow) {
        let scenarios = self.plan.scenarios_of(row);
        if scenarios.is_empty() {
            return;
        }
        let placed = Phases::new(self.events.clone())
            .part(
                &format!("mutant {}", row.mutant),
                environment.set_mutant(Some(&row.mutant)),
            )
            .await;
        if let Err(error) = placed {
            for scenario in &scenarios {
                for kill in kills(row, &scenario.name) {
                    self.add(compare::no_mutant(&row.mutant, kill, &chain(&error)), 0);
                }
            }
            return;
        }
        self.mutant(environment, row).await;
    }

    /// Runs the scenarios that must find a mutant which is in place.
    async fn mutant(&self, environment: &Arc<Environment>, row: &MatrixRow) {
        let scenarios = self.plan.scenarios_of(row);
        let data_centers = environment.data_centers();
        let compared = |scenario: &str, judgement: &Judgement| -> Vec<SelftestCase> {
            kills(row, scenario)
                .filter(|kill| !kill.is_by_search())
                .map(|kill| compare::mutant(&row.mutant, kill, &data_centers, judgement))
                .collect()
        };
        let enough = |scenario: &str, judgement: &Judgement| {
            kills(row, scenario).all(|kill| compare::is_final(&kill.checker))
                && compared(scenario, judgement).iter().all(|case| case.agrees)
        };
        self.run(
            environment,
            Group {
                label: &row.mutant,
                scenarios: &scenarios,
                run: RunPlan {
                    parallel: self.plan.run.parallel.max(WAITING_AT_ONCE),
                    // Of a mutant a failure is what is wanted: its history is evidence enough.
                    collect: CollectPolicy::Never,
                    whole_again: !row.own_mesh,
                    ..self.plan.run.clone()
                },
                compare: &compared,
                enough: Some(&enough),
            },
        )
        .await;
        self.search(environment, row, &scenarios).await;
    }

    /// Searches for private keys where that must find a mutant, after the scenarios in which it gives them away.
    async fn search(&self, environment: &Environment, row: &MatrixRow, scenarios: &[Scenario]) {
        let expected = scenarios.iter().flat_map(|one| kills(row, &one.name));
        let wanted: Vec<_> = expected.filter(|kill| kill.is_by_search()).collect();
        if wanted.is_empty() || self.interrupt.signal().is_some() {
            return;
        }
        let started = Instant::now();
        let mut search = environment.exposed_keys(&self.folder(&row.mutant)).await;
        compare::leave_out_known(&mut search, &mut lock(&self.exposed));
        for kill in wanted {
            let case = compare::searched(&row.mutant, kill, &search);
            self.add(case, millis_since(started));
        }
    }

    /// Where scenarios leave what they leave.
    fn folder(&self, label: &str) -> PathBuf {
        self.plan.run.artifacts.join("selftest").join(label)
    }

    /// No mesh at all, in an environment of its own, with short waits: nothing will come. Scenarios that have others wait
    /// are ended once they cannot pass any more.
    async fn without_mesh(&self, absent: &MeshChoice, report: &mut SelftestReport) {
        let mut run = self.plan.run.clone();
        run.mesh = absent.clone();
        run.mutant = None;
        // They speak of parts that no mesh has.
        run.scenarios.clear();
        run.parallel = run.parallel.max(WAITING_AT_ONCE);
        run.collect = CollectPolicy::Never;
        run.patience.delivery = Span::secs(1);
        run.patience.marker = Span::millis(500);
        run.patience.recovery = Span::secs(2);
        let Some(environment) = self.prepare(&run, report).await else {
            return;
        };
        let scenarios = &self.plan.run.scenarios;
        let has_others_wait = |name: &str| {
            let mut scenarios = scenarios.iter();
            scenarios.any(|one| one.name == name && one.disturbs != Disturbs::Nothing)
        };
        let enough = |scenario: &str, judgement: &Judgement| {
            has_others_wait(scenario)
                && compare::has_failed_for_good(judgement)
                && compare::absent(scenario, judgement).agrees
        };
        let compared = self.run(
            &environment,
            Group {
                label: ABSENT,
                scenarios,
                run,
                compare: &|scenario, judgement| vec![compare::absent(scenario, judgement)],
                enough: Some(&enough),
            },
        );
        tokio::select! {
            biased;
            error = environment.lost() => report.environment_error = Some(error.report()),
            () = compared => {}
        }
        take_down(&environment, false, report).await;
    }

    async fn prepare(
        &self,
        run: &RunPlan,
        report: &mut SelftestReport,
    ) -> Option<Arc<Environment>> {
        let prepared = Environment::prepare(run, self.events, self.interrupt).await;
        report.left_behind.extend(prepared.left_behind);
        match prepared.environment {
            Ok(environment) => {
                tell(self.events, environment.ready(millis_since(run.started)));
                Some(Arc::new(environment))
            }
            Err(error) => {
                report.environment_error = Some(error.report());
                None
            }
        }
    }

    /// Runs these scenarios once, whatever they require, and compares each as soon as it is judged.
    async fn run(&self, environment: &Arc<Environment>, group: Group<'_>) {
        let mut items = schedule::items(group.scenarios, 1, None);
        for item in &mut items {
            item.number = self.number.fetch_add(1, Ordering::Relaxed);
        }
        let policy = Policy {
            parallel: group.run.parallel,
            fail_fast: false,
            excused: &BTreeSet::new(),
        };
        let run = &RunPlan {
            artifacts: self.folder(group.label),
            ..group.run
        };
        let brake = Brake::default();
        schedule::run_all(items, &policy, &brake, |item| {
            let brake = &brake;
            async move {
                let started = Instant::now();
                let name = item.scenario.name.as_str();
                let enough = group
                    .enough
                    .map(|enough| move |judged: &Judgement| enough(name, judged));
                let enough = enough.as_ref().map(|enough| -> Enough<'_> { enough });
                let (events, interrupt) = (self.events, self.interrupt);
                let judgement =
                    one::run_one(environment, run, &item, events, interrupt, enough).await;
                // A scenario that was interrupted says nothing.
                if interrupt.signal().is_some() {
                    brake.pull();
                } else {
                    for case in (group.compare)(name, &judgement) {
                        self.add(case, millis_since(started));
                    }
                }
                judgement.verdict
            }
        })
        .await;
    }

    fn add(&self, case: SelftestCase, millis: u64) {
        let case = SelftestCase { millis, ..case };
        // Told under the lock, so that positions are told in order.
        let mut cases = self.cases();
        let position = Position {
            done: cases.len() + 1,
            all: self.all,
        };
        (self.on_case)(&case, position);
        cases.push(case);
    }

    fn cases(&self) -> MutexGuard<'_, Vec<SelftestCase>> {
        lock(&self.cases)
    }
}

/// Something is in such a list or not, so a panic elsewhere leaves it usable.
fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
