//! JUnit XML, as GitLab, Jenkins, GitHub's test reporters and Prow read it.
//!
//! An inconclusive scenario is an `error`, a failed one a `failure`. What stopped the run itself (an environment
//! that could not be prepared, a signal, something left behind) is an `error` of its own, so that the file is
//! never green when the run was not.

use crate::record::{Outcome, Quarantined, RunRecord, ScenarioRecord};
use crate::{ReportError, terminal};
use harness_model::run_event::Summary;
use harness_model::verdict::{Judgement, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeMap;
use std::time::Duration;

/// Renders the document.
///
/// # Errors
///
/// When it cannot be serialised.
pub fn render(record: &RunRecord) -> Result<String, ReportError> {
    let mut report = Report::new("meshproof");
    let sum = record.sum();
    report.set_time(Duration::from_millis(sum.millis));
    let mut suites: BTreeMap<&str, Vec<TestCase>> = BTreeMap::new();
    for scenario in &record.scenarios {
        let suite = scenario
            .name
            .split_once('/')
            .map_or("scenarios", |(s, _)| s);
        suites
            .entry(suite)
            .or_default()
            .push(case(record, scenario));
    }
    for (name, cases) in suites {
        let mut suite = TestSuite::new(name);
        if let Some(seed) = record.seed_of_all() {
            suite.add_property(Property::new("seed", seed.to_string()));
        }
        for (key, value) in &record.environment {
            suite.add_property(Property::new(key.as_str(), value.as_str()));
        }
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    add_own_cases(&mut report, record.summary.as_ref());
    report.to_string().map_err(ReportError::Junit)
}

/// One comparison of a self-test.
pub struct Comparison<'a> {
    /// The control plane that a scenario was run against.
    pub suite: &'a str,
    /// The scenario.
    pub name: &'a str,
    /// How long it took.
    pub millis: u64,
    /// What differs, in words; none when what had to come out came out.
    pub difference: Option<String>,
}

/// Renders a self-test, in which what differs is a `failure`; `sum` is its end.
///
/// # Errors
///
/// When it cannot be serialised.
pub fn render_selftest(
    comparisons: &[Comparison<'_>],
    sum: &Summary,
) -> Result<String, ReportError> {
    let mut report = Report::new("meshproof selftest");
    report.set_time(Duration::from_millis(sum.millis));
    let mut suites: BTreeMap<&str, Vec<TestCase>> = BTreeMap::new();
    for comparison in comparisons {
        let status = match &comparison.difference {
            None => TestCaseStatus::success(),
            Some(difference) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_type("differs");
                status.set_message(difference.as_str());
                status
            }
        };
        let mut case = TestCase::new(comparison.name, status);
        case.set_classname(comparison.suite);
        case.set_time(Duration::from_millis(comparison.millis));
        suites.entry(comparison.suite).or_default().push(case);
    }
    for (name, cases) in suites {
        let mut suite = TestSuite::new(name);
        suite.add_test_cases(cases);
        report.add_test_suite(suite);
    }
    add_own_cases(&mut report, Some(sum));
    report.to_string().map_err(ReportError::Junit)
}

fn add_own_cases(report: &mut Report, summary: Option<&Summary>) {
    let own = own_cases(summary);
    if !own.is_empty() {
        let mut suite = TestSuite::new("meshproof");
        suite.add_test_cases(own);
        report.add_test_suite(suite);
    }
}

fn case(record: &RunRecord, scenario: &ScenarioRecord) -> TestCase {
    let (suite, name) = scenario
        .name
        .split_once('/')
        .unwrap_or(("scenarios", &scenario.name));
    let name = crate::record::title(name, scenario.repetition);
    let mut case = match &scenario.outcome {
        Outcome::Unfinished => TestCase::new(
            name,
            error("unfinished", "the run ended before the scenario"),
        ),
        Outcome::Skipped { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            TestCase::new(name, status)
        }
        Outcome::NotRun { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("not run: {reason}"));
            TestCase::new(name, status)
        }
        Outcome::Judged {
            judgement, millis, ..
        } => {
            let mut case = match record.context.quarantine.get(&scenario.name) {
                Some(why) if judgement.verdict != Verdict::Passed => {
                    excused(record, scenario, judgement, name, why)
                }
                _ => TestCase::new(name, judged(record, scenario, judgement)),
            };
            case.set_time(Duration::from_millis(*millis));
            case
        }
    };
    case.set_classname(suite);
    case
}

fn judged(record: &RunRecord, scenario: &ScenarioRecord, judgement: &Judgement) -> TestCaseStatus {
    let kind = match judgement.verdict {
        Verdict::Passed => return TestCaseStatus::success(),
        Verdict::Inconclusive => NonSuccessKind::Error,
        Verdict::Failed => NonSuccessKind::Failure,
    };
    let mut status = TestCaseStatus::non_success(kind);
    let expectations: Vec<&str> = judgement
        .findings
        .iter()
        .filter(|f| f.verdict == judgement.verdict)
        .map(terminal::about)
        .collect();
    status.set_type(match judgement.verdict {
        Verdict::Failed => "failed",
        _ => "inconclusive",
    });
    status.set_message(format!("{} ({})", scenario.claim, expectations.join(", ")));
    status.set_description(terminal::what_failed(record, scenario, judgement));
    status
}

/// A failure that is excused is no failure for whoever counts them, and can be read all the same.
fn excused(
    record: &RunRecord,
    scenario: &ScenarioRecord,
    judgement: &Judgement,
    name: String,
    why: &Quarantined,
) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    let verdict = crate::json::Ending::from(judgement.verdict).word();
    status.set_message(format!("quarantined, {verdict}: {why}"));
    let mut case = TestCase::new(name, status);
    case.set_system_out(terminal::what_failed(record, scenario, judgement));
    case
}

fn own_cases(summary: Option<&Summary>) -> Vec<TestCase> {
    let mut cases = Vec::new();
    let mut add = |name: &str, kind: &str, message: &str| {
        let mut case = TestCase::new(name, error(kind, message));
        case.set_classname("meshproof");
        cases.push(case);
    };
    match summary {
        None => add("run", "unfinished", "the run ended without a sum"),
        Some(summary) => {
            if let Some(error) = &summary.environment_error {
                add("environment", "environment", error);
            }
            if !summary.unknown_names.is_empty() {
                add("names", "unknown-names", &summary.unknown_names.join("; "));
            }
            if let Some(signal) = summary.interrupted {
                add(
                    "run",
                    "interrupted",
                    &format!("interrupted by signal {signal}"),
                );
            }
            if !summary.exposed_keys.is_empty() {
                add("run", "private-keys", &summary.exposed_keys.join("; "));
            }
            if !summary.not_searched.is_empty() {
                add("run", "not-searched", &summary.not_searched.join("; "));
            }
            if !summary.left_behind.is_empty() {
                add("clean-up", "left-behind", &summary.left_behind.join("; "));
            }
        }
    }
    cases
}

fn error(kind: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(kind);
    status.set_message(message);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reporter as _;
    use harness_model::run_event::RunEvent;

    #[test]
    fn what_differs_in_a_selftest_is_a_failure_and_what_stopped_it_an_error() {
        let comparison = |name, difference: Option<&str>| Comparison {
            suite: "leak-late",
            name,
            millis: 1250,
            difference: difference.map(str::to_owned),
        };
        let comparisons = [
            comparison("delivery-scope/late", None),
            comparison(
                "delivery-scope/join",
                Some("expected failed, observed passed"),
            ),
        ];
        let sum = Summary {
            environment_error: Some("start etcd".to_owned()),
            millis: 2500,
            ..Summary::default()
        };
        let text = render_selftest(&comparisons, &sum).expect("it has a JUnit form");
        insta::assert_snapshot!(text, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="meshproof selftest" tests="3" skipped="0" failures="1" errors="1" time="2.500">
            <testsuite name="leak-late" tests="2" skipped="0" errors="0" failures="1">
                <testcase name="delivery-scope/late" classname="leak-late" time="1.250"/>
                <testcase name="delivery-scope/join" classname="leak-late" time="1.250">
                    <failure message="expected failed, observed passed" type="differs"/>
                </testcase>
            </testsuite>
            <testsuite name="meshproof" tests="1" skipped="0" errors="1" failures="0">
                <testcase name="environment" classname="meshproof">
                    <error message="start etcd" type="environment"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn failed_is_a_failure_and_inconclusive_an_error() {
        let text = render(&crate::fixture::record()).expect("the fixture has a JUnit form");
        insta::assert_snapshot!(text, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="meshproof" tests="5" skipped="1" failures="1" errors="1" time="14.870">
            <testsuite name="delivery-scope" tests="2" skipped="0" errors="0" failures="1">
                <properties>
                    <property name="seed" value="42"/>
                    <property name="cluster" value="local"/>
                    <property name="kubernetes" value="v1.36.3"/>
                    <property name="mesh" value="reference"/>
                    <property name="topology" value="three-zones"/>
                </properties>
                <testcase name="everybody" classname="delivery-scope" time="0.402"/>
                <testcase name="data-center" classname="delivery-scope" time="1.523">
                    <failure message="a configuration scoped to one data center reaches its sidecars and no other (then[1] confined)" type="failed">  then[1] confined failed, 54 observations
            at        inventory@zone-c; step 1 (apply `payload`)
            expected  no toggle banner, no rule reroute
            observed  toggle banner = off since 0.790 s on control-plane-1, still at the end
          rerun     meshproof run delivery-scope/data-center --topology three-zones --seed 42
        </failure>
                </testcase>
            </testsuite>
            <testsuite name="resilience" tests="1" skipped="0" errors="1" failures="0">
                <properties>
                    <property name="seed" value="42"/>
                    <property name="cluster" value="local"/>
                    <property name="kubernetes" value="v1.36.3"/>
                    <property name="mesh" value="reference"/>
                    <property name="topology" value="three-zones"/>
                </properties>
                <testcase name="zone-outage" classname="resilience" time="4.604">
                    <error message="traffic fails over while a zone is cut off (then[1] unchanged)" type="inconclusive">  then[1] unchanged inconclusive, 0 observations
            at        checkout@zone-b; step 1 (cut zone 2 off for 3s)
            expected  at least one reading while the fault lasted
            observed  none: probe did not answer in 5s
          in vain   step 2 (wait until every fault has ended and what it hit is back), until 10.500 s: every sidecar to have its control plane again; missing: 1 of 9 sidecars (checkout@zone-b)
          machine   something waited for a processor 97 % of the time, for a disk 4 %, load 31.2 on 2 processors
          rerun     meshproof run resilience/zone-outage --topology three-zones --seed 42
        </error>
                </testcase>
            </testsuite>
            <testsuite name="routing" tests="2" skipped="1" errors="0" failures="0">
                <properties>
                    <property name="seed" value="42"/>
                    <property name="cluster" value="local"/>
                    <property name="kubernetes" value="v1.36.3"/>
                    <property name="mesh" value="reference"/>
                    <property name="topology" value="three-zones"/>
                </properties>
                <testcase name="both-sidecars" classname="routing" time="0.388"/>
                <testcase name="own-zone" classname="routing">
                    <skipped message="needs at least three zones, the environment has two"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn an_environment_that_could_not_be_prepared_is_an_error_case() {
        let mut record = RunRecord::default();
        record
            .on(&RunEvent::RunFinished {
                summary: Summary {
                    environment_error: Some("prepare assets: no space left on device".to_owned()),
                    ..Summary::default()
                },
            })
            .expect("a record takes everything");
        let text = render(&record).expect("it has a JUnit form");
        assert!(text.contains(r#"errors="1""#), "{text}");
        assert!(text.contains("no space left on device"), "{text}");
    }

    #[test]
    fn a_run_without_an_end_is_not_green() {
        let text = render(&RunRecord::default()).expect("it has a JUnit form");
        assert!(text.contains(r#"errors="1""#), "{text}");
    }
}
