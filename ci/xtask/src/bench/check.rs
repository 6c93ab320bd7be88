//! Figures of now against a stored baseline: has something become slower than noise explains, or is it over its limit?
//!
//! A limit is what a figure may be at most, or must be at least where more is better, whatever it was before and on whatever
//! machine.
//!
//! Each kind of machine has a baseline of its own. Where there is none of this kind, ratios and memory are held against the
//! first, and times against their limits alone.

mod compared;

use super::report::Report;
use super::{Bench, machine};
use crate::workspace;
use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use compared::{Allowed, Bound, Compared};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of the baseline's form, and of what is written.
const SCHEMA_VERSION: u64 = 2;

/// What is stored, as one kind of machine sees it.
struct Baseline {
    document: Value,
    /// With the baseline of this kind of machine, or the first.
    bounds: Vec<Bound>,
    /// Which one it is of, if it is of this kind.
    own: Option<usize>,
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
    for bound in Baseline::read(&here())?.bounds {
        let bench = Bench::from_str(&bound.bench, false)
            .map_err(|_| anyhow::anyhow!("the baseline names a bench `{}`", bound.bench))?;
        if !benches.contains(&bench) {
            benches.push(bench);
        }
    }
    Ok(benches)
}

/// Compares what was measured, prints a table, and writes `target/bench/check.json`. True when nothing is worse, and nothing
/// beyond its limit.
///
/// # Errors
///
/// When the baseline cannot be read or the outcome cannot be written.
pub(super) fn compare(reports: &[Report], update: bool) -> anyhow::Result<bool> {
    let machine = here();
    let mut baseline = Baseline::read(&machine)?;
    let compared: Vec<Compared> = baseline
        .bounds
        .iter()
        .map(|bound| {
            let report = reports.iter().find(|report| report.bench() == bound.bench);
            let measured = report.and_then(|report| report.value(&bound.figure));
            let is_comparable = report.is_some_and(|report| report.is_comparable(&bound.figure));
            Compared::of(bound, measured, is_comparable || baseline.own.is_some())
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
        "machine": machine,
        "figures": figures,
    });
    write(&workspace::root().join("target/bench/check.json"), &outcome)?;
    if update {
        let measured: BTreeMap<(String, String), f64> = compared
            .into_iter()
            .filter_map(|one| Some(((one.bound.bench, one.bound.figure), one.measured?)))
            .collect();
        baseline.take_over(&machine, &measured);
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
    fn read(machine: &Value) -> anyhow::Result<Self> {
        let file = file();
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Self::parse(&text, machine).with_context(|| format!("read {}", file.display()))
    }

    fn parse(text: &str, machine: &Value) -> anyhow::Result<Self> {
        let document: Value = serde_json::from_str(text).context("read JSON")?;
        if document["schemaVersion"] != SCHEMA_VERSION {
            bail!("its schema version is not {SCHEMA_VERSION}");
        }
        let list = |key: &str| {
            document[key]
                .as_array()
                .with_context(|| format!("`{key}` is no list"))
        };
        let baselines = list("baselines")?;
        let own = baselines
            .iter()
            .position(|baseline| is_same_machine(&baseline["machine"], machine));
        let values = &baselines
            .get(own.unwrap_or_default())
            .context("`baselines` has none")?["values"];
        let bounds = list("figures")?
            .iter()
            .map(|figure| bound(figure, values))
            .enumerate()
            .map(|(index, bound)| {
                bound.with_context(|| {
                    format!(
                        "figure {index} needs `bench`, `figure`, a `noise` above 0 and a value above 0 in the baseline of this kind of \
                        machine, or the first; so is `most`, or `least`, where one of them is"
                    )
                })
            })
            .collect::<anyhow::Result<Vec<Bound>>>()?;
        Ok(Self {
            document,
            bounds,
            own,
        })
    }

    /// Stores new figures for this kind of machine; what noise is allowed is for people to decide.
    fn take_over(&mut self, machine: &Value, measured: &BTreeMap<(String, String), f64>) {
        let mut values = json!({});
        for bound in &self.bounds {
            let key = (bound.bench.clone(), bound.figure.clone());
            let value = measured.get(&key).copied().unwrap_or(bound.baseline);
            values[&bound.bench][&bound.figure] = json!(value);
        }
        let baseline = json!({"machine": machine, "values": values});
        let Some(baselines) = self.document["baselines"].as_array_mut() else {
            return;
        };
        match self.own.and_then(|own| baselines.get_mut(own)) {
            Some(old) => *old = baseline,
            None => baselines.push(baseline),
        }
    }
}

/// A figure with its value in a baseline; nothing when one of them is wrong.
fn bound(figure: &Value, values: &Value) -> Option<Bound> {
    let above_zero = |value: &Value| value.as_f64().filter(|value| *value > 0.0);
    let bench = figure["bench"].as_str()?;
    let name = figure["figure"].as_str()?;
    Some(Bound {
        bench: bench.to_owned(),
        figure: name.to_owned(),
        baseline: above_zero(&values[bench][name])?,
        noise: above_zero(&figure["noise"])?,
        allowed: match (&figure["most"], &figure["least"]) {
            (Value::Null, Value::Null) => Allowed::Any,
            (most, Value::Null) => Allowed::AtMost(above_zero(most)?),
            (Value::Null, least) => Allowed::AtLeast(above_zero(least)?),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_baseline_is_right_and_takes_new_figures() {
        benches().expect("it names benches that there are");
        let machine = json!({"cores": 3, "processor": "of this test"});
        let mut baseline = Baseline::read(&machine).expect("it is in the repository");
        assert!(baseline.bounds.len() >= 4, "{:?}", baseline.bounds);
        assert_eq!(baseline.own, None);
        let first = baseline.bounds[0].clone();
        let key = (first.bench, first.figure);
        for value in [7.5, 8.5] {
            baseline.take_over(&machine, &[(key.clone(), value)].into());
            let text = baseline.document.to_string();
            let again = Baseline::parse(&text, &machine).expect("it stays right");
            let last = again.document["baselines"]
                .as_array()
                .expect("a list")
                .len()
                - 1;
            assert_eq!(again.own, Some(last), "added once");
            assert!((again.bounds[0].baseline - value).abs() < f64::EPSILON);
            assert_eq!(again.bounds[0].allowed, baseline.bounds[0].allowed);
            assert_eq!(again.bounds[1], baseline.bounds[1]);
            baseline = again;
        }
        let all: Vec<Value> = baseline.document["baselines"]
            .as_array()
            .expect("a list")
            .clone();
        for stored in all {
            let text = baseline.document.to_string();
            Baseline::parse(&text, &stored["machine"]).expect("each is whole");
        }
        for wrong in [json!("much"), json!(-1.0)] {
            let mut document = baseline.document.clone();
            document["figures"][0]["most"] = wrong;
            assert!(Baseline::parse(&document.to_string(), &machine).is_err());
        }
        let mut both = baseline.document.clone();
        both["figures"][0]["most"] = json!(1.0);
        both["figures"][0]["least"] = json!(1.0);
        assert!(Baseline::parse(&both.to_string(), &machine).is_err());
        for wrong in [
            "{}",
            r#"{"schemaVersion": 2, "figures": [], "baselines": []}"#,
        ] {
            assert!(Baseline::parse(wrong, &machine).is_err(), "{wrong}");
        }
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
