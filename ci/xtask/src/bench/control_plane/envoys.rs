//! The same with real sidecars: one policy of the reference mesh changes again and again, each time until the last of them shows
//! it. Runs of a scenario measure, as a user's would: an act that applies something is over when every sidecar was seen to hold
//! what it must, so no change is made before the last one has arrived everywhere.

use crate::bench::history::{self, Change};
use crate::bench::program::{Program, Run};
use crate::bench::report::{Report, Unit};
use crate::bench::statistics::median;
use anyhow::{Context as _, bail, ensure};
use serde_json::json;

/// What is in the figures, and what is not: a reader of the table has nothing else.
const IN_THEM: &str = "real sidecars, in them: the whole mesh, Envoy, its relay, the probe that reads it, its long poll";
const EACH: &str =
    "real sidecars, each change: scope (as it was) and policy are applied, one after the other";
const NOT_IN_THEM: &str =
    "real sidecars, not in them: traffic, distance, what the run does between two changes";
/// The changes of a run.
const CHANGES: usize = 40;
/// As many sidecars as there are simple clients, or the two say nothing of each other.
const FEWEST: usize = 15;
/// What a delivery may take: what is asked is how long it takes, and two slow cores miss the default.
const DELIVERY: &str = "--delivery=10s";

/// A form of xDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    /// As a run is told, and as readings tell it.
    set: &'static str,
    /// How the names of its figures begin.
    figures: &'static str,
    /// The figure of simple clients that it is held against.
    clients: &'static str,
    words: &'static str,
}

const FORMS: [Form; 2] = [
    Form {
        set: "sotw",
        figures: "envoysStateOfTheWorld",
        clients: "stateOfTheWorld15AcknowledgedMillisP50",
        words: "state of the world",
    },
    Form {
        set: "delta",
        figures: "envoysDelta",
        clients: "delta15AcknowledgedMillisP50",
        words: "delta",
    },
];

/// The reference mesh has each of its three applications in each data center.
const TOPOLOGY: &str = "\
name: five-near-data-centers
clusters:
- name: meshproof
  dataCenters:
  - {name: zone-a, region: region-1}
  - {name: zone-b, region: region-1}
  - {name: zone-c, region: region-1}
  - {name: zone-d, region: region-1}
  - {name: zone-e, region: region-1}
";

const SCENARIO: &str = "bench/changes";

/// The policy, for the sidecars of all applications but the canaries, which nobody needs where no absence is proven. Toggle and
/// rule carry the version, so a sidecar shows a change in its runtime values and in its routes.
const POLICY: &str = "{name: policy, \
    scope: {match: [{application: frontend}, {application: checkout}, {application: inventory}]}, \
    toggles: {feature: VERSION}, \
    rules: {route: {service: checkout, headers: {x-meshproof-version: VERSION}, to: {inventory: 100}}}}";

/// The policy, and its changes. Nothing but delivery is expected: a proof of absence, or a look at the status, would come
/// between two changes.
fn scenario() -> String {
    let policy = |version: usize| POLICY.replace("VERSION", &format!("v{version}"));
    let acts: String = (1..=CHANGES)
        .map(|version| format!("- apply: {}\n", policy(version)))
        .collect();
    format!(
        "\
name: {SCENARIO}
claim: each change of a policy reaches every sidecar before the next one is made
tags: [qa]
given:
  configurations:
  - {}
when:
{acts}then: [delivered]
",
        policy(0)
    )
}

/// Measures a run in each form as often as `samples` says, the other form first in every second round, and holds the times
/// against those of simple clients, which the report must have already. False when a run did not pass.
///
/// # Errors
///
/// When a run cannot be started, does not end, or has too few sidecars.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let scenario = written(program, "changes.yaml", &scenario())?;
    let topology = written(program, "five-near-data-centers.yaml", TOPOLOGY)?;
    let mut rounds: Vec<Round> = Vec::new();
    for number in 1..=samples {
        let mut forms = FORMS;
        if number % 2 == 0 {
            forms.reverse();
        }
        for form in forms {
            let set = format!("--set=xds={}", form.set);
            let run = program.run(
                &format!("envoys-{}-{number}", form.set),
                &[&scenario, "--topology", &topology, &set, DELIVERY],
            )?;
            if !run.has_passed() {
                return Ok(false);
            }
            let round = Round::of(&run, form)?;
            eprintln!(
                "{} real sidecars, {}, {number} of {samples}: {CHANGES} changes in {:.1} s",
                round.shown_by,
                form.words,
                round.issued().sum::<f64>() / 1e3
            );
            let acknowledged: Vec<f64> = round.changes.iter().map(|one| one.acknowledged).collect();
            report.sample(json!({
                "run": number,
                "form": form.set,
                "sidecars": round.shown_by,
                "sidecarsInTheMesh": round.sidecars,
                "issuedToLastMillis": round.issued().collect::<Vec<f64>>(),
                "acknowledgedToLastMillis": acknowledged,
                "machineUsed": run.machine_used,
            }));
            rounds.push(round);
        }
    }
    tell(&rounds, report)?;
    Ok(true)
}

/// Writes a file beside the artefacts of the runs, and says where it is.
fn written(program: &Program, name: &str, text: &str) -> anyhow::Result<String> {
    let file = program.folder().join(name);
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file.display().to_string())
}

/// All figures, from the rounds.
fn tell(rounds: &[Round], report: &mut Report) -> anyhow::Result<()> {
    let fewest = |count: fn(&Round) -> usize| rounds.iter().map(count).min();
    let shown_by = fewest(|round| round.shown_by).context("there is no round")?;
    let sidecars = fewest(|round| round.sidecars).unwrap_or_default();
    for words in [IN_THEM, EACH, NOT_IN_THEM] {
        report.row(words, String::new());
    }
    report.figure(
        "envoys",
        &format!("real sidecars that showed each change, of {sidecars} in the mesh"),
        Unit::Count,
        shown_by as f64,
    );
    for form in FORMS {
        let of_form = rounds.iter().filter(|round| round.form == form);
        let issued: Vec<f64> = of_form.flat_map(Round::issued).collect();
        let middle = median(&issued).with_context(|| format!("{} was not tried", form.words))?;
        let clients = report.value(form.clients).filter(|value| *value > 0.0);
        let clients = clients.with_context(|| format!("{} was not measured", form.clients))?;
        let words = format!("{shown_by} real sidecars, {}", form.words);
        report.figure(
            &format!("{}ChangesPerSecond", form.figures),
            &format!("{words}: changes a second (over the sum of the times below)"),
            Unit::Rate,
            issued.len() as f64 * 1e3 / issued.iter().sum::<f64>().max(0.001),
        );
        report.distribution(
            &format!("{}ShownMillis", form.figures),
            &format!("{words}: write issued to last sidecar that shows it"),
            Unit::Millis,
            &issued,
        );
        report.figure(
            &format!("{}ToClients", form.figures),
            &format!("{words}: against simple clients (p50)"),
            Unit::Ratio,
            middle / clients,
        );
    }
    Ok(())
}

/// What a run has shown that has passed.
#[derive(Debug)]
struct Round {
    form: Form,
    changes: Vec<Change>,
    /// How many sidecars the change with the fewest has changed.
    shown_by: usize,
    /// How many there were.
    sidecars: usize,
}

impl Round {
    /// Holds the run to be what it was meant to be.
    fn of(run: &Run, form: Form) -> anyhow::Result<Self> {
        let observed = run
            .of_type("scenarioEvent")
            .map(|seen| &seen.event["event"])
            .filter(|event| event["event"] == "observed");
        for event in observed {
            let spoken = event["stream"]["form"].as_str().unwrap_or("no form");
            if spoken != form.set {
                let sidecar = event["sidecar"].as_str().unwrap_or_default();
                bail!("{sidecar} speaks {spoken} instead of {}", form.set);
            }
        }
        let mut histories = history::of_passed(run);
        let times = histories.remove(SCENARIO).context("it was not judged")?;
        // The first is the policy itself: whatever only the first one takes is not asked for.
        let changes: Vec<Change> = times.changes.into_iter().skip(1).collect();
        ensure!(
            changes.len() == CHANGES,
            "{} of {CHANGES} changes were shown by somebody",
            changes.len()
        );
        let shown_by = changes.iter().map(|one| one.sidecars).min();
        let shown_by = shown_by.unwrap_or_default();
        ensure!(
            shown_by >= FEWEST,
            "a change was shown by {shown_by} sidecars, and {FEWEST} are asked for"
        );
        let ready = run.of_type("environmentReady").next();
        let sidecars = ready.and_then(|seen| seen.event["sidecars"].as_array());
        Ok(Self {
            form,
            changes,
            shown_by,
            sidecars: sidecars.context("it has no sidecars")?.len(),
        })
    }

    /// Milliseconds from each write to the last sidecar that shows it.
    fn issued(&self) -> impl Iterator<Item = f64> {
        self.changes.iter().map(|one| one.issued)
    }
}

#[cfg(test)]
mod tests;
