//! `ctrf.json`: the Common Test Report Format, which many dashboards read (<https://ctrf.io>, specification 1.0.0).
//!
//! What is inconclusive, and what failed in quarantine, has the status `other`: the format has no word for it, and neither
//! `passed` nor `failed` would be true. The own word is in `rawStatus`.

use crate::ReportError;
use crate::json::Ending;
use crate::record::{Outcome, RunRecord, ScenarioRecord};
use crate::terminal;
use harness_model::words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the specification that is written.
const SPECIFICATION: &str = "1.0.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    report_format: &'static str,
    spec_version: &'static str,
    timestamp: String,
    generated_by: &'static str,
    results: Results,
}

#[derive(Serialize)]
struct Results {
    tool: Tool,
    summary: Summary,
    tests: Vec<Test>,
    environment: Environment,
    extra: Extra,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Counts, and milliseconds since 1970.
#[derive(Default, Serialize)]
struct Summary {
    tests: usize,
    passed: usize,
    failed: usize,
    pending: usize,
    skipped: usize,
    other: usize,
    suites: usize,
    start: i64,
    stop: i64,
    duration: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    name: String,
    status: &'static str,
    /// Milliseconds.
    duration: u64,
    suite: Vec<String>,
    raw_status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_path: Option<String>,
    extra: TestExtra,
}

#[derive(Serialize)]
struct TestExtra {
    claim: String,
    rerun: String,
}

#[derive(Serialize)]
struct Environment {
    extra: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra {
    run: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    exit_code: u8,
    /// What no test tells, as in `report.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exposed_keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_searched: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<String>,
}

/// Renders the document.
///
/// # Errors
///
/// When it has no JSON form.
pub fn render(record: &RunRecord, exit_code: u8) -> Result<String, ReportError> {
    let sum = record.sum();
    let start = record
        .at
        .parse::<jiff::Timestamp>()
        .map_or(0, jiff::Timestamp::as_millisecond);
    let tests: Vec<Test> = record.scenarios.iter().map(|s| test(record, s)).collect();
    let count = |status| tests.iter().filter(|test| test.status == status).count();
    let suites: BTreeSet<&[String]> = tests.iter().map(|test| test.suite.as_slice()).collect();
    let summary = Summary {
        tests: tests.len(),
        passed: count("passed"),
        failed: count("failed"),
        pending: count("pending"),
        skipped: count("skipped"),
        other: count("other"),
        suites: suites.len(),
        start,
        stop: start.saturating_add(i64::try_from(sum.millis).unwrap_or(i64::MAX)),
        duration: sum.millis,
    };
    let report = Report {
        report_format: "CTRF",
        spec_version: SPECIFICATION,
        timestamp: record.at.clone(),
        generated_by: "meshproof",
        results: Results {
            tool: Tool {
                name: "meshproof",
                version: env!("CARGO_PKG_VERSION"),
            },
            summary,
            tests,
            environment: Environment {
                extra: record.environment.clone(),
            },
            extra: Extra {
                run: record.run.clone(),
                seed: record.seed_of_all(),
                exit_code,
                environment_error: sum.environment_error,
                unknown_names: sum.unknown_names,
                interrupted: sum.interrupted,
                exposed_keys: sum.exposed_keys,
                not_searched: sum.not_searched,
                left_behind: sum.left_behind,
            },
        },
    };
    let mut text = serde_json::to_string_pretty(&report).map_err(ReportError::Json)?;
    text.push('\n');
    Ok(text)
}

fn test(record: &RunRecord, scenario: &ScenarioRecord) -> Test {
    let ending = Ending::of(scenario);
    let known = record.context.scenarios.get(&scenario.name);
    let (suite, _) = scenario
        .name
        .split_once('/')
        .unwrap_or((&scenario.name, ""));
    let (duration, message, trace) = match &scenario.outcome {
        Outcome::Judged {
            judgement, millis, ..
        } if ending != Ending::Passed => (
            *millis,
            Some(scenario.claim.clone()),
            Some(terminal::what_failed(record, scenario, judgement)),
        ),
        Outcome::Judged { millis, .. } => (*millis, None, None),
        Outcome::Skipped { reason } | Outcome::NotRun { reason } => (0, Some(reason.clone()), None),
        Outcome::Unfinished => (0, Some("the run ended before it did".to_owned()), None),
    };
    Test {
        name: scenario.title(),
        status: match ending {
            Ending::Passed => "passed",
            Ending::Failed if record.is_quarantined(&scenario.name) => "other",
            Ending::Failed => "failed",
            Ending::Inconclusive => "other",
            Ending::Skipped => "skipped",
            Ending::NotRun | Ending::Unfinished => "pending",
        },
        duration,
        suite: vec![suite.to_owned()],
        raw_status: ending.word(),
        tags: known
            .map(|known| known.tags.iter().map(|tag| words::tag(*tag)).collect())
            .unwrap_or_default(),
        message,
        trace,
        file_path: record
            .context
            .files
            .get(&scenario.name)
            .map(|file| file.display().to_string()),
        extra: TestExtra {
            claim: scenario.claim.clone(),
            rerun: record.context.rerun(&scenario.name, record.seed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_status_and_the_sums_are_those_of_the_tests() {
        let text = render(&crate::fixture::record(), 1).expect("it has a JSON form");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let results = &value["results"];
        insta::assert_json_snapshot!(results["summary"], @r#"
        {
          "tests": 5,
          "passed": 2,
          "failed": 1,
          "pending": 0,
          "skipped": 1,
          "other": 1,
          "suites": 3,
          "start": 1795442700000,
          "stop": 1795442714870,
          "duration": 14870
        }
        "#);
        let statuses: Vec<(&str, &str)> = results["tests"]
            .as_array()
            .expect("tests are a list")
            .iter()
            .map(|test| {
                let word = |key: &str| test[key].as_str().unwrap_or_default();
                (word("status"), word("rawStatus"))
            })
            .collect();
        assert_eq!(
            statuses,
            [
                ("passed", "passed"),
                ("failed", "failed"),
                ("passed", "passed"),
                ("other", "inconclusive"),
                ("skipped", "skipped"),
            ]
        );
    }

    #[test]
    fn what_was_wrong_with_the_whole_run_is_told_beside_the_tests() {
        let extra = |record: &RunRecord| {
            let text = render(record, 11).expect("it has a JSON form");
            let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            value["results"]["extra"].clone()
        };
        let mut record = crate::fixture::record();
        insta::assert_json_snapshot!(extra(&record), @r#"
        {
          "run": "2026-11-23t14-05-00z-ab12",
          "seed": 42,
          "exitCode": 11
        }
        "#);
        let sum = record.summary.get_or_insert_default();
        sum.environment_error = Some("the cluster is gone".to_owned());
        sum.unknown_names = vec!["zone-d".to_owned()];
        sum.interrupted = Some(2);
        sum.exposed_keys = vec!["the log of mesh/agent/main".to_owned()];
        sum.not_searched = vec!["Secret mesh/keys: there is none".to_owned()];
        sum.left_behind = vec!["a folder".to_owned()];
        insta::assert_json_snapshot!(extra(&record), @r#"
        {
          "run": "2026-11-23t14-05-00z-ab12",
          "seed": 42,
          "exitCode": 11,
          "environmentError": "the cluster is gone",
          "unknownNames": [
            "zone-d"
          ],
          "interrupted": 2,
          "exposedKeys": [
            "the log of mesh/agent/main"
          ],
          "notSearched": [
            "Secret mesh/keys: there is none"
          ],
          "leftBehind": [
            "a folder"
          ]
        }
        "#);
    }
}
