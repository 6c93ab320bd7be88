//! One policy changes again and again: until the last sidecar of the reference control plane has acknowledged it, with few
//! and many simple clients in place of sidecars, in both forms of xDS, and the memory that each costs. The program
//! `control-plane-bench` measures, and says what is in it; this starts it beside an API server alone. [`envoys`] does the same
//! with real sidecars.

mod envoys;

use super::beside::Beside;
use super::program::Program;
use super::report::{Report, Unit};
use super::statistics::median;
use anyhow::{Context as _, ensure};
use serde_json::Value;

/// The program of the mesh that takes part, after the bench itself.
const PROGRAMS: [&str; 2] = ["control-plane-bench", "control-plane"];
/// What is in the figures, and what is not: a reader of the table has nothing else.
const IN_THEM: &str = "simple clients, in them: the program, API server, TLS, tokens, status; clients on this machine";
const NOT_IN_THEM: &str = "simple clients, not in them: Envoy, its relay, a network";
/// How many clients there are, as the bench has it.
const SIZES: [u64; 2] = [15, 1000];
/// The forms, for programs and for people.
const FORMS: [(&str, &str); 2] = [
    ("stateOfTheWorld", "state of the world"),
    ("delta", "delta"),
];

/// Measures as many rounds as `samples` says, of simple clients and then of real sidecars.
///
/// # Errors
///
/// When a program cannot be built or does not do its part, or a run has too few sidecars.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let figures = Beside::build(&PROGRAMS)?.figures(&program.folder().join("run"), samples)?;
    let rounds = figures["rounds"].as_array().context("it has no rounds")?;
    for round in rounds {
        report.sample(round.clone());
    }
    report.row(IN_THEM, String::new());
    report.row(NOT_IN_THEM, String::new());
    report.figure(
        "openFiles",
        "open files a process may have (each client has a connection of its own)",
        Unit::Count,
        figures["openFiles"].as_f64().unwrap_or_default(),
    );
    tell(rounds, report)?;
    envoys::measure(program, samples, report)
}

/// All figures of simple clients, from the rounds.
fn tell(rounds: &[Value], report: &mut Report) -> anyhow::Result<()> {
    for clients in SIZES {
        for (form, words) in FORMS {
            let rounds = Rounds::of(rounds, form, clients)?;
            let name = format!("{form}{clients}");
            let words = format!("{clients} simple clients, {words}");
            report.figure(
                &format!("{name}ChangesPerSecond"),
                &format!("{words}: changes a second"),
                Unit::Rate,
                rounds.per_second(),
            );
            report.distribution(
                &format!("{name}AcknowledgedMillis"),
                &format!("{words}: change to last acknowledgement"),
                Unit::Millis,
                &rounds.all("acknowledgedMillis"),
            );
            report.figure(
                &format!("{name}CpuMillisPerChange"),
                &format!("{words}: its processor time for a change"),
                Unit::Millis,
                rounds.sum("controlPlaneCpuMillis") / rounds.changes().max(1.0),
            );
        }
        let written: Vec<f64> = FORMS
            .iter()
            .map(|(form, _)| Rounds::of(rounds, form, clients))
            .collect::<anyhow::Result<Vec<_>>>()?
            .iter()
            .flat_map(|rounds| rounds.all("writtenMillis"))
            .collect();
        report.distribution(
            &format!("written{clients}Millis"),
            &format!("{clients} simple clients: change to the API server's answer"),
            Unit::Millis,
            &written,
        );
    }
    for (form, words) in FORMS {
        report.figure(
            &format!("{form}KibibytesPerClient"),
            &format!("memory of the control plane for each of 1000, {words}"),
            Unit::Kibibytes,
            Rounds::of(rounds, form, SIZES[1])?.kibibytes_per_client()?,
        );
    }
    ratios(report)
}

/// Of what was measured in this run.
fn ratios(report: &mut Report) -> anyhow::Result<()> {
    let table = [
        (
            "deltaToStateOfTheWorld15",
            "delta against state of the world, 15 simple clients (p50)",
            "delta15AcknowledgedMillisP50",
            "stateOfTheWorld15AcknowledgedMillisP50",
        ),
        (
            "deltaToStateOfTheWorld1000",
            "delta against state of the world, 1000 simple clients (p50)",
            "delta1000AcknowledgedMillisP50",
            "stateOfTheWorld1000AcknowledgedMillisP50",
        ),
        (
            "thousandToFifteen",
            "1000 simple clients against 15, state of the world (p50)",
            "stateOfTheWorld1000AcknowledgedMillisP50",
            "stateOfTheWorld15AcknowledgedMillisP50",
        ),
        (
            "deltaToStateOfTheWorldMemory",
            "delta against state of the world, memory",
            "deltaKibibytesPerClient",
            "stateOfTheWorldKibibytesPerClient",
        ),
    ];
    for (name, words, one, other) in table {
        let value = |figure: &str| {
            let value = report.value(figure).filter(|value| *value > 0.0);
            value.with_context(|| format!("{figure} was not measured"))
        };
        let ratio = value(one)? / value(other)?;
        report.figure(name, words, Unit::Ratio, ratio);
    }
    Ok(())
}

/// The rounds of one form with so many clients.
struct Rounds<'a>(Vec<&'a Value>);

impl<'a> Rounds<'a> {
    fn of(all: &'a [Value], form: &str, clients: u64) -> anyhow::Result<Self> {
        let is_of = |round: &&Value| round["form"] == form && round["clients"] == clients;
        let rounds: Vec<&Value> = all.iter().filter(is_of).collect();
        ensure!(
            !rounds.is_empty(),
            "there is no round of {form} with {clients} clients"
        );
        Ok(Self(rounds))
    }

    fn all(&self, name: &str) -> Vec<f64> {
        let lists = self.0.iter().filter_map(|round| round[name].as_array());
        lists.flatten().filter_map(Value::as_f64).collect()
    }

    fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter_map(|round| round[name].as_f64()).sum()
    }

    fn changes(&self) -> f64 {
        self.all("acknowledgedMillis").len() as f64
    }

    fn per_second(&self) -> f64 {
        self.changes() * 1e3 / self.sum("changesMillis").max(0.001)
    }

    /// The middle of the rounds, each with a control plane that had served nobody.
    fn kibibytes_per_client(&self) -> anyhow::Result<f64> {
        let of = |round: &&Value| {
            let bytes = round["fullBytes"].as_f64()? - round["emptyBytes"].as_f64()?;
            Some(bytes / 1024.0 / round["clients"].as_f64()?)
        };
        let values: Vec<f64> = self.0.iter().filter_map(of).collect();
        median(&values).context("no round says what memory there was")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round(form: &str, clients: u64, millis: f64) -> Value {
        json!({
            "form": form,
            "clients": clients,
            "emptyBytes": 1024,
            "fullBytes": 1024 + clients * 2048,
            "changesMillis": 2.0 * millis,
            "writtenMillis": [1.0, 1.0],
            "acknowledgedMillis": [millis, millis],
            "controlPlaneCpuMillis": 6.0,
        })
    }

    #[test]
    fn figures_and_ratios_are_of_the_same_rounds() {
        let mut rounds = vec![round("stateOfTheWorld", 15, 10.0), round("delta", 15, 5.0)];
        let mut report = Report::new("control-plane", Value::Null);
        assert!(tell(&rounds, &mut report).is_err(), "1000 are missing");
        rounds.push(round("stateOfTheWorld", 1000, 100.0));
        rounds.push(round("delta", 1000, 100.0));
        let mut report = Report::new("control-plane", Value::Null);
        tell(&rounds, &mut report).expect("complete");
        let value = |name: &str| report.value(name).unwrap_or_else(|| panic!("{name}"));
        for (name, expected) in [
            ("stateOfTheWorld15ChangesPerSecond", 100.0),
            ("delta15AcknowledgedMillisP99", 5.0),
            ("delta15CpuMillisPerChange", 3.0),
            ("deltaToStateOfTheWorld15", 0.5),
            ("deltaToStateOfTheWorld1000", 1.0),
            ("thousandToFifteen", 10.0),
            ("stateOfTheWorldKibibytesPerClient", 2.0),
        ] {
            assert!((value(name) - expected).abs() < 1e-9, "{name}");
        }
    }
}
