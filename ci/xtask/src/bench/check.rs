//! Figures of now against a stored baseline: has something become slower than noise explains, or is it over its limit?
//!
//! A limit is what a figure may be at most, whatever it was before. Where the stored baseline is over it already, that was
//! accepted when it was stored: it is said, and only noise decides.
//!
//! Ratios of things that were measured in one run are judged everywhere; times only on a machine with the processor and the
//! number of cores that the baseline was measured on.

mod compared;

use super::report::Report;
use super::{Bench, machine};
use crate::workspace;
use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use compared::{Bound, Compared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of the baseline's form, and of what is written.
const SCHEMA_VERSION: u64 = 1;

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

/// Compares what was measured, prints a table, and writes `target/bench/check.json`. True when nothing is worse, and nothing
/// over a limit that its baseline keeps.
///
/// # Errors
///
/// When the baseline cannot be read or the outcome cannot be written.
pub(super) fn compare(reports: &[Report], update: bool) -> anyhow::Result<bool> {
    let mut baseline = Baseline::read()?;
    let is_same = is_same_machine(&baseline.document["machine"], &here());
    let compared: Vec<Compared> = baseline
        .bounds
        .iter()
        .map(|bound| {
            let report = reports.iter().find(|report| report.bench() == bound.bench);
            let measured = report.and_then(|report| report.value(&bound.figure));
            let is_ratio = report.is_some_and(|report| report.is_ratio(&bound.figure));
            Compared::of(bound, measured, is_ratio || is_same)
        })
        .collect();
    for one in &compared {
        println!("{}", one.line());
    }
    let is_fine = !compared.is_empty() && compared.iter().all(Compared::is_fine);
    let figures: Vec<Value> = compared.iter().map(Compared::document).collect();
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
            .filter_map(|one| Some(((one.bound.bench, one.bound.figure), one.measured?)))
            .collect();
        baseline.take_over(&measured);
        write(&file(), &baseline.document)?;
        println!("{} has the new figures", file().display());
    }
    Ok(is_fine)
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
                let most = match &figure["most"] {
                    Value::Null => None,
                    _ => Some(number("most")?),
                };
                Some(Bound {
                    bench: word("bench")?,
                    figure: word("figure")?,
                    baseline: number("baseline")?,
                    noise: number("noise")?,
                    most,
                })
            })
            .enumerate()
            .map(|(index, bound)| {
                bound.with_context(|| {
                    format!("figure {index} needs `bench`, `figure`, and a `baseline` and `noise` above 0; so is `most`, where it is")
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
        assert_eq!(again.bounds[0].most, baseline.bounds[0].most);
        assert!(Baseline::parse(r#"{"schemaVersion": 1, "figures": [{}]}"#).is_err());
        let mut document = baseline.document.clone();
        document["figures"][0]["most"] = json!("much");
        assert!(Baseline::parse(&document.to_string()).is_err());
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
