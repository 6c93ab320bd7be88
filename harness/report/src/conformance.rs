//! `conformance.yaml`: what a mesh conforms to, in the shape of Gateway API's `ConformanceReport`
//! (<https://gateway-api.sigs.k8s.io/concepts/conformance/>), as a kind of our own.
//!
//! A profile is a suite. Its *core* are the scenarios of the gate, its *extended* ones the others. A result is a failure
//! when one of them failed, *partial* when one was skipped, not run, not selected or undecided, and a success only when
//! each has passed. Quarantine excuses nothing here.

use crate::ReportError;
use crate::json::Ending;
use crate::record::{Outcome, RunRecord, ScenarioRecord};
use harness_model::scenario::{Scenario, Tag};
use harness_model::words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the form.
const VERSION: &str = "meshproof.io/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    api_version: &'static str,
    kind: &'static str,
    date: String,
    implementation: Implementation,
    meshproof_version: &'static str,
    /// What it was run on.
    environment: BTreeMap<String, String>,
    run: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    /// Over all profiles.
    result: Outcomes,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Implementation {
    mesh: String,
    /// Whatever was put in the place of the mesh's own images, or a bug that was seeded, by its option.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
}

#[derive(Serialize)]
struct Profile {
    name: String,
    summary: String,
    core: Part,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcomes {
    Success,
    Partial,
    Failure,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    result: Outcomes,
    statistics: Statistics,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_tests: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undecided_tests: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped_tests: Vec<Skipped>,
    /// What the environment was asked for and had.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    supported_features: BTreeSet<String>,
}

#[derive(Default, Serialize)]
struct Statistics {
    passed: usize,
    failed: usize,
    undecided: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct Skipped {
    name: String,
    reason: String,
}

/// Renders the report.
///
/// # Errors
///
/// When it has no YAML form.
pub fn render(record: &RunRecord) -> Result<String, ReportError> {
    let scenarios = all(record);
    let suites: BTreeSet<&str> = scenarios.keys().map(|name| suite(name)).collect();
    let profiles: Vec<Profile> = suites
        .into_iter()
        .map(|name| {
            let of = |is_core: bool| {
                let members = scenarios.iter().filter(|(scenario, known)| {
                    suite(scenario) == name
                        && known.is_some_and(|known| known.tags.contains(&Tag::Gate)) == is_core
                });
                part(record, members)
            };
            let core = of(true);
            let extended = of(false);
            let has = |part: &Part| part.statistics.sum() > 0;
            let told = |part: &Part, name: &str| has(part).then(|| part.told(name));
            Profile {
                name: name.to_owned(),
                summary: [told(&core, "core"), told(&extended, "extended")]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" "),
                core,
                extended: Some(extended).filter(has),
            }
        })
        .collect();
    let result = profiles
        .iter()
        .flat_map(|profile| {
            let extended = profile.extended.iter().map(|part| part.result);
            let core = (profile.core.statistics.sum() > 0).then_some(profile.core.result);
            core.into_iter().chain(extended)
        })
        .max()
        .unwrap_or(Outcomes::Partial);
    let sum = record.sum();
    let has_ended = sum.environment_error.is_none() && sum.interrupted.is_none();
    let report = Report {
        api_version: VERSION,
        kind: "MeshConformanceReport",
        date: record.at.clone(),
        implementation: Implementation {
            mesh: record.environment.get("mesh").cloned().unwrap_or_default(),
            changes: changes(&record.context.options),
        },
        meshproof_version: env!("CARGO_PKG_VERSION"),
        environment: record.environment.clone(),
        run: record.run.clone(),
        seed: record.seed_of_all(),
        result: if has_ended {
            result
        } else {
            result.max(Outcomes::Partial)
        },
        profiles,
    };
    serde_saphyr::to_string(&report).map_err(|error| ReportError::Yaml(Box::new(error)))
}

fn suite(name: &str) -> &str {
    name.split_once('/').map_or(name, |(suite, _)| suite)
}

/// Every scenario there is, shipped ones that were not selected among them.
fn all(record: &RunRecord) -> BTreeMap<&str, Option<&Scenario>> {
    let context = &record.context;
    let ran = record.scenarios.iter().map(|scenario| {
        (
            scenario.name.as_str(),
            context.scenarios.get(&scenario.name),
        )
    });
    let known = context.shipped.iter().chain(&context.scenarios);
    known
        .map(|(name, scenario)| (name.as_str(), Some(scenario)))
        .chain(ran)
        .collect()
}

/// The options that replaced something of the mesh.
fn changes(options: &[String]) -> Vec<String> {
    let replaced = replaced(options);
    replaced.chunks(2).map(|pair| pair.join(" ")).collect()
}

/// Those of the options of a run that put something in the place of a part of the mesh, each with its value after it.
pub(crate) fn replaced(options: &[String]) -> Vec<String> {
    options
        .windows(2)
        .filter(|pair| ["--image", "--images", "--mutant"].contains(&pair[0].as_str()))
        .flatten()
        .cloned()
        .collect()
}

fn part<'a>(
    record: &RunRecord,
    members: impl Iterator<Item = (&'a &'a str, &'a Option<&'a Scenario>)>,
) -> Part {
    let mut part = Part {
        result: Outcomes::Partial,
        statistics: Statistics::default(),
        failed_tests: Vec::new(),
        undecided_tests: Vec::new(),
        skipped_tests: Vec::new(),
        supported_features: BTreeSet::new(),
    };
    for (name, known) in members {
        let repetitions: Vec<&ScenarioRecord> = record
            .scenarios
            .iter()
            .filter(|s| s.name == **name)
            .collect();
        let has = |ending| repetitions.iter().any(|s| Ending::of(s) == ending);
        let was_run = has(Ending::Passed) || has(Ending::Failed) || has(Ending::Inconclusive);
        if was_run && let Some(known) = known {
            let features = known.requires.iter().map(|it| words::capability(*it));
            part.supported_features.extend(features);
        }
        if has(Ending::Failed) {
            part.statistics.failed += 1;
            part.failed_tests.push((*name).to_owned());
        } else if has(Ending::Inconclusive) || has(Ending::Unfinished) {
            part.statistics.undecided += 1;
            part.undecided_tests.push((*name).to_owned());
        } else if let Some(reason) = why_skipped(&repetitions) {
            part.statistics.skipped += 1;
            part.skipped_tests.push(Skipped {
                name: (*name).to_owned(),
                reason,
            });
        } else {
            part.statistics.passed += 1;
        }
    }
    let counts = &part.statistics;
    part.result = if counts.failed > 0 {
        Outcomes::Failure
    } else if counts.undecided + counts.skipped > 0 || counts.passed == 0 {
        Outcomes::Partial
    } else {
        Outcomes::Success
    };
    part
}

/// Why a scenario was not run, or not as often as it was to be.
fn why_skipped(repetitions: &[&ScenarioRecord]) -> Option<String> {
    if repetitions.is_empty() {
        return Some("not selected".to_owned());
    }
    repetitions
        .iter()
        .find_map(|scenario| match &scenario.outcome {
            Outcome::Skipped { reason } | Outcome::NotRun { reason } => Some(reason.clone()),
            Outcome::Unfinished | Outcome::Judged { .. } => None,
        })
}

impl Statistics {
    const fn sum(&self) -> usize {
        self.passed + self.failed + self.undecided + self.skipped
    }
}

impl Part {
    fn told(&self, name: &str) -> String {
        match self.result {
            Outcomes::Success => format!("All {name} tests passed."),
            Outcomes::Failure => {
                format!("{} {name} tests failed.", self.statistics.failed)
            }
            Outcomes::Partial => format!(
                "{} {name} tests passed, {} were skipped or could not be decided.",
                self.statistics.passed,
                self.statistics.skipped + self.statistics.undecided
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_partial_and_has_its_reason() {
        let text = render(&crate::fixture::record()).expect("it has a YAML form");
        insta::assert_snapshot!(text, @r#"
        apiVersion: meshproof.io/v1
        kind: MeshConformanceReport
        date: "2026-11-23T14:05:00Z"
        implementation:
          mesh: reference
        meshproofVersion: "0.1.0"
        environment:
          cluster: local
          kubernetes: v1.36.3
          mesh: reference
          topology: three-zones
        run: 2026-11-23t14-05-00z-ab12
        seed: 42
        result: failure
        profiles:
        - name: delivery-scope
          summary: 1 core tests failed.
          core:
            result: failure
            statistics:
              passed: 1
              failed: 1
              undecided: 0
              skipped: 0
            failedTests:
            - delivery-scope/data-center
        - name: resilience
          summary: 0 core tests passed, 1 were skipped or could not be decided.
          core:
            result: partial
            statistics:
              passed: 0
              failed: 0
              undecided: 1
              skipped: 0
            undecidedTests:
            - resilience/zone-outage
        - name: routing
          summary: 1 core tests passed, 1 were skipped or could not be decided.
          core:
            result: partial
            statistics:
              passed: 1
              failed: 0
              undecided: 0
              skipped: 1
            skippedTests:
            - name: routing/own-zone
              reason: needs at least three zones, the environment has two
        "#);
    }

    #[test]
    fn what_was_not_selected_is_partial_too() {
        let mut record = crate::fixture::record();
        record
            .scenarios
            .retain(|s| s.name == "routing/both-sidecars");
        let whole = render(&record).expect("it has a YAML form");
        record
            .context
            .scenarios
            .retain(|name, _| name == "routing/both-sidecars");
        let alone = render(&record).expect("it has a YAML form");
        record.context.shipped = record.context.scenarios.clone();
        record.context.shipped.extend(
            crate::fixture::scenarios()
                .into_iter()
                .map(|scenario| (scenario.name.clone(), scenario)),
        );
        let shipped = render(&record).expect("it has a YAML form");
        assert!(whole.contains("result: partial"), "{whole}");
        assert!(!alone.contains("partial"), "{alone}");
        assert!(shipped.contains("reason: not selected"), "{shipped}");
    }
}
