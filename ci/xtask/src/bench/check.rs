//! Figures of now against a stored baseline: has something become slower than noise explains?
//!
//! Ratios of things that were measured in one run are judged everywhere; times only on a machine with the processor and the
//! number of cores that the baseline was measured on.

use super::report::Report;
use super::{Bench, machine};
use crate::workspace;
use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of the baseline's form, and of what is written.
const SCHEMA_VERSION: u64 = 1;

/// How a figure compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Within the noise.
    Alike,
    /// Better than noise explains: the baseline should follow.
    Better,
    /// Worse than noise explains.
    Worse,
    /// A time, and another machine.
    OtherMachine,
    /// The bench did not give it.
    Missing,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::OtherMachine => "other machine",
            Self::Missing => "missing",
        }
    }

    const fn is_fine(self) -> bool {
        !matches!(self, Self::Worse | Self::Missing)
    }
}

/// One figure of the baseline.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    bench: String,
    figure: String,
    baseline: f64,
    /// The share by which it differs from run to run on a machine that others use too: 0.3 is 30 %.
    noise: f64,
}

/// The baseline as it is stored.
struct Baseline {
    document: Value,
    bounds: Vec<Bound>,
}

/// Where it is.
fn file() -> PathBuf {
    workspace::root().join("ci/bench-baseline.json")
}

/// The benches that the baseline has figures of, each once.
///
/// # Errors
///
/// When the baseline cannot be read.
pub(super) fn benches() -> anyhow::Result<Vec<Bench>> {
    let mut benches = Vec::new();
    for bound in Baseline::read()?.bounds {
        let bench = Bench::from_str(&bound.bench, false)
            .map_err(|_| anyhow::anyhow!("the baseline names a bench `{}`", bound.bench))?;
        if !benches.contains(&bench) {
            benches.push(bench);
        }
    }
    Ok(benches)
}

/// Compares what was measured, prints a table, and writes `target/bench/check.json`. True when nothing is worse.
///
/// # Errors
///
/// When the baseline cannot be read or the outcome cannot be written.
pub(super) fn compare(reports: &[Report], update: bool) -> anyhow::Result<bool> {
    let mut baseline = Baseline::read()?;
    let is_same = is_same_machine(&baseline.document["machine"], &here());
    let mut compared = Vec::new();
    for bound in &baseline.bounds {
        let report = reports.iter().find(|report| report.bench() == bound.bench);
        let measured = report.and_then(|report| report.value(&bound.figure));
        let is_ratio = report.is_some_and(|report| report.is_ratio(&bound.figure));
        let state = match measured {
            None => State::Missing,
            Some(_) if !is_ratio && !is_same => State::OtherMachine,
            Some(value) => judge(bound, value),
        };
        let shown = measured.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        println!(
            "{:10} {:24} {shown:>10}  baseline {:.3} ± {:.0} %  {}",
            bound.bench,
            bound.figure,
            bound.baseline,
            bound.noise * 100.0,
            state.word()
        );
        compared.push((bound.clone(), measured, state));
    }
    let is_fine = !compared.is_empty() && compared.iter().all(|(_, _, state)| state.is_fine());
    let figures: Vec<Value> = compared
        .iter()
        .map(|(bound, measured, state)| {
            json!({
                "bench": bound.bench,
                "figure": bound.figure,
                "baseline": bound.baseline,
                "noise": bound.noise,
                "measured": measured,
                "state": state.word(),
            })
        })
        .collect();
    let outcome = json!({
        "schemaVersion": SCHEMA_VERSION,
        "fine": is_fine,
        "machine": here(),
        "figures": figures,
    });
    write(&workspace::root().join("target/bench/check.json"), &outcome)?;
    if update {
        let measured: BTreeMap<(String, String), f64> = compared
            .into_iter()
            .filter_map(|(bound, measured, _)| Some(((bound.bench, bound.figure), measured?)))
            .collect();
        baseline.take_over(&measured);
        write(&file(), &baseline.document)?;
        println!("{} has the new figures", file().display());
    }
    Ok(is_fine)
}

/// Every figure is one of which less is better.
fn judge(bound: &Bound, value: f64) -> State {
    if value > bound.baseline * (1.0 + bound.noise) {
        State::Worse
    } else if value < bound.baseline / (1.0 + bound.noise) {
        State::Better
    } else {
        State::Alike
    }
}

fn here() -> Value {
    let mut facts = machine::facts(&PathBuf::new());
    json!({"cores": facts["cores"].take(), "processor": facts["processor"].take()})
}

fn is_same_machine(one: &Value, other: &Value) -> bool {
    ["cores", "processor"]
        .iter()
        .all(|fact| !one[fact].is_null() && one[fact] == other[fact])
}

fn write(file: &std::path::Path, document: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document).context("print the figures")?;
    std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
}

impl Baseline {
    fn read() -> anyhow::Result<Self> {
        let file = file();
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("read {}", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let document: Value = serde_json::from_str(text).context("read JSON")?;
        if document["schemaVersion"] != SCHEMA_VERSION {
            bail!("its schema version is not {SCHEMA_VERSION}");
        }
        let figures = document["figures"]
            .as_array()
            .context("`figures` is no list")?;
        let bounds = figures
            .iter()
            .map(|figure| {
                let word = |key: &str| figure[key].as_str().map(str::to_owned);
                let number = |key: &str| figure[key].as_f64().filter(|value| *value > 0.0);
                Some(Bound {
                    bench: word("bench")?,
                    figure: word("figure")?,
                    baseline: number("baseline")?,
                    noise: number("noise")?,
                })
            })
            .enumerate()
            .map(|(index, bound)| {
                bound.with_context(|| {
                    format!("figure {index} needs `bench`, `figure`, and a `baseline` and `noise` above 0")
                })
            })
            .collect::<anyhow::Result<Vec<Bound>>>()?;
        Ok(Self { document, bounds })
    }

    /// Stores new figures; what noise is allowed is for people to decide.
    fn take_over(&mut self, measured: &BTreeMap<(String, String), f64>) {
        self.document["machine"] = here();
        let Some(figures) = self.document["figures"].as_array_mut() else {
            return;
        };
        for (figure, bound) in figures.iter_mut().zip(&self.bounds) {
            let key = (bound.bench.clone(), bound.figure.clone());
            if let Some(value) = measured.get(&key) {
                figure["baseline"] = json!(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Bound {
        Bound {
            bench: "run".to_owned(),
            figure: "seconds".to_owned(),
            baseline: 100.0,
            noise: 0.25,
        }
    }

    #[test]
    fn only_what_noise_does_not_explain_is_worse() {
        let judged = |value| judge(&bound(), value);
        assert_eq!(judged(125.0), State::Alike);
        assert_eq!(judged(125.1), State::Worse);
        assert_eq!(judged(80.0), State::Alike);
        assert_eq!(judged(79.9), State::Better);
        assert!(!State::Missing.is_fine() && State::OtherMachine.is_fine());
    }

    #[test]
    fn the_stored_baseline_is_right_and_takes_new_figures() {
        let mut baseline = Baseline::read().expect("it is in the repository");
        assert!(baseline.bounds.len() >= 4, "{:?}", baseline.bounds);
        benches().expect("it names benches that there are");
        let first = baseline.bounds[0].clone();
        let measured = [((first.bench, first.figure), 7.5)].into();
        baseline.take_over(&measured);
        let again = Baseline::parse(&baseline.document.to_string()).expect("it stays right");
        assert!((again.bounds[0].baseline - 7.5).abs() < f64::EPSILON);
        assert!(Baseline::parse(r#"{"schemaVersion": 1, "figures": [{}]}"#).is_err());
    }

    #[test]
    fn times_count_on_the_same_machine_only() {
        let here = json!({"cores": 2, "processor": "x"});
        assert!(is_same_machine(&here, &here));
        assert!(!is_same_machine(
            &json!({"cores": 4, "processor": "x"}),
            &here
        ));
        assert!(!is_same_machine(&Value::Null, &Value::Null));
    }
}
