//! The gate: how long it takes and where the time goes.

use super::machine;
use super::program::{GATE, Program, Run, millis};
use super::report::{Report, Unit};
use super::statistics::median;
use serde_json::json;
use std::collections::BTreeMap;

/// Seconds that the gate may take, on two cores.
const AIM: f64 = 60.0;
/// How many of the slowest scenarios are shown.
const SLOWEST: usize = 10;

/// Measures runs of the gate.
///
/// # Errors
///
/// When a run cannot be started or does not end.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let mut works = true;
    let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let (mut phases, mut scenarios) = (Table::default(), Table::default());
    let mut selected = 0;
    for number in 1..=samples {
        let run = program.run(&format!("run-{number}"), &GATE)?;
        works &= run.has_passed();
        selected = run.finished().len();
        let share = share_of_time(&run);
        eprintln!(
            "run {number} of {samples}: {:.1} s",
            run.whole.as_secs_f64()
        );
        report.sample(json!({
            "seconds": run.whole.as_secs_f64(),
            "exitCode": run.code,
            "seed": run.seed(),
            "environmentReadyMillis": run.ready_millis(),
            "scenariosMillis": share.scenarios,
            "takingDownMillis": share.down,
            "processorSeconds": run.processor_time.as_secs_f64(),
            "machineUsed": run.machine_used,
            "phases": run.phases().into_iter().collect::<BTreeMap<_, _>>(),
            "scenarios": run.finished().iter().map(|one| json!({
                "name": one.name, "verdict": one.verdict, "millis": one.millis,
            })).collect::<Vec<_>>(),
        }));
        let mut add = |name, value| columns.entry(name).or_default().push(value);
        add("whole", run.whole.as_secs_f64());
        add("ready", run.ready_millis().unwrap_or_default() / 1000.0);
        add("scenarios", share.scenarios / 1000.0);
        add("down", share.down / 1000.0);
        add("processor", run.processor_time.as_secs_f64());
        add("used", run.machine_used);
        add("beside", share.sum / share.scenarios.max(1.0));
        phases.add(run.phases());
        scenarios.add(run.finished().into_iter().map(|one| (one.name, one.millis)));
    }
    let middle = |name: &str| {
        columns
            .get(name)
            .and_then(|values| median(values))
            .unwrap_or_default()
    };
    report.row("scenarios in the gate", selected.to_string());
    report.figure(
        "seconds",
        "the gate, start to exit",
        Unit::Seconds,
        middle("whole"),
    );
    report.aim("seconds", Unit::Seconds, middle("whole"), AIM);
    report.figure(
        "bringingUpSeconds",
        "  bringing up",
        Unit::Seconds,
        middle("ready"),
    );
    for (phase, took) in phases.medians() {
        report.figure(
            &format!("phases.{phase}"),
            &format!("    {phase}"),
            Unit::Millis,
            took,
        );
    }
    report.figure(
        "scenariosSeconds",
        "  scenarios",
        Unit::Seconds,
        middle("scenarios"),
    );
    report.figure(
        "takingDownSeconds",
        "  taking down",
        Unit::Seconds,
        middle("down"),
    );
    report.figure(
        "beside",
        "sum of all scenarios against their time together",
        Unit::Ratio,
        middle("beside"),
    );
    report.figure(
        "processorSeconds",
        "processor time of the run and its cluster",
        Unit::Seconds,
        middle("processor"),
    );
    let possible = middle("whole") * machine::cores() as f64;
    report.figure(
        "processorToPossible",
        "  against all that the machine has in that time",
        Unit::Ratio,
        middle("processor") / possible.max(0.001),
    );
    report.figure(
        "machineUsed",
        "  and what others used as well",
        Unit::Ratio,
        middle("used"),
    );
    let mut slowest = scenarios.medians();
    slowest.sort_by(|one, other| other.1.total_cmp(&one.1));
    report.row("slowest scenarios", String::new());
    for (name, took) in slowest.iter().take(SLOWEST) {
        report.row(&format!("  {name}"), format!("{took:.0} ms"));
    }
    Ok(works)
}

/// Where the time of one run went, in milliseconds.
pub(super) struct Share {
    /// From the first scenario's start to the last one's end.
    pub(super) scenarios: f64,
    /// All scenarios' times together: more than that, since they run beside each other.
    sum: f64,
    /// From the last scenario's end to the end of the process.
    down: f64,
}

/// Divides the time of a run.
pub(super) fn share_of_time(run: &Run) -> Share {
    let first = run.of_type("scenarioStarted").next().map(|seen| seen.at);
    let last = run.of_type("scenarioFinished").last().map(|seen| seen.at);
    let (first, last) = (first.unwrap_or(run.whole), last.unwrap_or(run.whole));
    Share {
        scenarios: millis(last.saturating_sub(first)),
        sum: run.finished().iter().map(|one| one.millis).sum(),
        down: millis(run.whole.saturating_sub(last)),
    }
}

/// Times by name, over several runs.
#[derive(Debug, Default)]
struct Table(BTreeMap<String, Vec<f64>>);

impl Table {
    fn add(&mut self, times: impl IntoIterator<Item = (String, f64)>) {
        for (name, took) in times {
            self.0.entry(name).or_default().push(took);
        }
    }

    fn medians(&self) -> Vec<(String, f64)> {
        self.0
            .iter()
            .filter_map(|(name, took)| Some((name.clone(), median(took)?)))
            .collect()
    }
}
