//! `report.html`: one file that needs nothing but a browser, not even scripts or a network.
//!
//! Failures come first; each scenario says its claim, given, when and then in words, what was found, and shows
//! who had which configuration content when ([`layout`]).

use crate::ReportError;
use crate::deviation::{Setting, deviations};
use crate::letters::needed;
use crate::record::{Outcome, RunRecord, ScenarioRecord};
use crate::terminal::{about, observations, seconds};
use askama::Template;
use base64::Engine as _;
use harness_model::verdict::{Finding, Verdict};
use harness_model::words;
use sha2::{Digest as _, Sha256};

mod head;
mod layout;
#[cfg(test)]
mod look;
mod markup;
mod traffic;
mod used;

use head::{Share, facts, notes, rerun_everything, shares};
use layout::Drawing;
use markup::{marked_up, marked_up_all};
use used::Used;

const STYLE: &str = include_str!("../templates/report.css");
const SCRIPT: &str = include_str!("../templates/report.js");

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    style: &'static str,
    script: &'static str,
    policy: String,
    title: String,
    headline: String,
    tone: &'static str,
    notes: Vec<String>,
    shares: Vec<Share>,
    facts: Vec<(String, String)>,
    rerun: String,
    scenarios: Vec<ScenarioView>,
    used: Option<Used>,
}

struct ScenarioView {
    id: String,
    outcome: &'static str,
    word: &'static str,
    title: String,
    claim: String,
    took: String,
    machine: Option<String>,
    open: bool,
    reason: Option<String>,
    quarantined: Option<String>,
    tags: Vec<&'static str>,
    given: Vec<String>,
    when: Vec<String>,
    then: Vec<ThenView>,
    traffic: Vec<String>,
    drawing: Option<Drawing>,
    history: Option<String>,
    diagnostics: Option<String>,
    rerun: String,
}

struct ThenView {
    words: String,
    outcome: &'static str,
    sum: String,
    deviations: Vec<DeviationView>,
    more: usize,
    /// What letters in them mean.
    needed: Vec<String>,
}

struct DeviationView {
    at: String,
    expected: String,
    observed: String,
}

/// How many deviations of one expectation are shown before the rest is counted.
const SHOWN_DEVIATIONS: usize = 12;

/// Renders the page.
///
/// # Errors
///
/// When the template cannot be rendered.
pub fn render(record: &RunRecord, exit_code: u8) -> Result<String, ReportError> {
    let sum = record.sum();
    let mut ordered: Vec<&ScenarioRecord> = record.scenarios.iter().collect();
    ordered.sort_by_key(|s| rank(s));
    let (headline, tone) = head::headline(&sum, record);
    Page {
        style: STYLE,
        script: SCRIPT,
        policy: policy(),
        title: format!("{headline} · meshproof {}", record.run),
        headline,
        tone,
        notes: notes(&sum),
        shares: shares(&sum),
        facts: facts(record, &sum, exit_code),
        rerun: rerun_everything(record),
        scenarios: ordered.into_iter().map(|s| view(record, s)).collect(),
        used: record.usage.as_ref().and_then(used::view),
    }
    .render()
    .map_err(ReportError::Html)
}

/// How the run ended, in one sentence.
#[must_use]
pub fn headline(record: &RunRecord) -> String {
    head::headline(&record.sum(), record).0
}

/// Only the page's own style and script may take effect, and nothing may be loaded.
fn policy() -> String {
    let hash = |text: &str| {
        base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()))
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

fn rank(scenario: &ScenarioRecord) -> u8 {
    match (&scenario.outcome, scenario.verdict()) {
        (_, Some(Verdict::Failed)) => 0,
        (_, Some(Verdict::Inconclusive)) => 1,
        (Outcome::Unfinished, _) => 2,
        (Outcome::Skipped { .. }, _) => 3,
        (Outcome::NotRun { .. }, _) => 4,
        _ => 5,
    }
}

fn outcome_words(scenario: &ScenarioRecord) -> (&'static str, &'static str) {
    match (&scenario.outcome, scenario.verdict()) {
        (_, Some(Verdict::Passed)) => ("passed", "Passed"),
        (_, Some(Verdict::Failed)) => ("failed", "Failed"),
        (_, Some(Verdict::Inconclusive)) => ("inconclusive", "Inconclusive"),
        (Outcome::Skipped { .. }, None) => ("skipped", "Skipped"),
        (Outcome::NotRun { .. }, None) => ("not-run", "Not run"),
        (_, None) => ("unfinished", "Unfinished"),
    }
}

fn view(record: &RunRecord, scenario: &ScenarioRecord) -> ScenarioView {
    let known = record.context.scenarios.get(&scenario.name);
    let (outcome, word) = outcome_words(scenario);
    let (took, findings, reason): (String, &[Finding], Option<String>) = match &scenario.outcome {
        Outcome::Judged {
            judgement, millis, ..
        } => (seconds(*millis), &judgement.findings, None),
        Outcome::Skipped { reason } | Outcome::NotRun { reason } => {
            (String::new(), &[], Some(reason.clone()))
        }
        Outcome::Unfinished => (
            String::new(),
            &[],
            Some("the run ended before this scenario did".to_owned()),
        ),
    };
    let began = matches!(
        scenario.outcome,
        Outcome::Judged { .. } | Outcome::Unfinished
    );
    ScenarioView {
        id: scenario.title().replace(['/', '#', ' '], "-"),
        outcome,
        word,
        title: scenario.title(),
        claim: scenario.claim.clone(),
        took,
        machine: scenario.busy_machine().map(|load| load.to_string()),
        open: matches!(outcome, "failed" | "inconclusive"),
        reason,
        quarantined: record
            .context
            .quarantine
            .get(&scenario.name)
            .map(|why| format!("In quarantine: {why}. It does not count against the run.")),
        tags: known
            .map(|s| s.tags.iter().map(|t| words::tag(*t)).collect())
            .unwrap_or_default(),
        given: marked_up_all(known.map(words::given)),
        when: marked_up_all(known.map(words::acts)),
        then: then_views(
            record.setting(&scenario.name, &record.sidecar_names()),
            findings,
        ),
        traffic: traffic::lines(scenario),
        drawing: (!scenario.timeline.is_empty())
            .then(|| layout::draw(&scenario.timeline, findings)),
        history: (began && record.context.artifacts.is_some()).then(|| {
            crate::record::history_path(&scenario.name, scenario.repetition)
                .display()
                .to_string()
        }),
        diagnostics: has_diagnostics(record, scenario).then(|| {
            crate::record::diagnostics_path(&scenario.name, scenario.repetition)
                .display()
                .to_string()
        }),
        rerun: record.context.rerun(&scenario.name, record.seed),
    }
}

/// The runner collects them after a scenario that did not pass, unless it was interrupted.
fn has_diagnostics(record: &RunRecord, scenario: &ScenarioRecord) -> bool {
    record.context.collects
        && record.context.artifacts.is_some()
        && record.sum().interrupted.is_none()
        && scenario
            .verdict()
            .is_some_and(|verdict| verdict != Verdict::Passed)
}

fn then_views(setting: Setting<'_>, findings: &[Finding]) -> Vec<ThenView> {
    let words = setting
        .scenario
        .map(words::expectations)
        .unwrap_or_default();
    let count = words.len().max(findings.len());
    (0..count)
        .map(|index| {
            let finding = findings.get(index);
            let words = words
                .get(index)
                .cloned()
                .or_else(|| finding.map(|f| f.checker.clone()))
                .unwrap_or_default();
            let words = marked_up(&words);
            let Some(finding) = finding else {
                return ThenView {
                    words,
                    outcome: "skipped",
                    sum: "not judged".to_owned(),
                    deviations: vec![],
                    more: 0,
                    needed: vec![],
                };
            };
            let outcome = crate::json::Ending::from(finding.verdict).word();
            let deviations = deviations(&finding.details);
            ThenView {
                words,
                outcome,
                sum: format!("{} {outcome}, {}", about(finding), observations(finding)),
                more: deviations.len().saturating_sub(SHOWN_DEVIATIONS),
                needed: needed(&deviations),
                deviations: deviations
                    .into_iter()
                    .take(SHOWN_DEVIATIONS)
                    .map(|deviation| DeviationView {
                        at: marked_up(&deviation.place(setting)),
                        expected: marked_up(&deviation.expected),
                        observed: deviation.observed,
                    })
                    .collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        render(&crate::fixture::record(), 1).expect("the fixture has a page")
    }

    #[test]
    fn the_page_has_no_address_to_load_from() {
        let page = page();
        let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
        for mark in [
            "http:",
            "https:",
            "src=\"",
            "url(",
            "@import",
            "<link",
            " style=\"",
        ] {
            assert!(!without_namespace.contains(mark), "{mark} in the page");
        }
    }

    #[test]
    fn style_and_script_are_those_that_the_policy_allows() {
        let page = page();
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        assert!(page.contains(&format!("<script>{SCRIPT}</script>")));
        assert!(!page.contains("unsafe-inline"));
    }

    #[test]
    fn failures_come_first_and_are_open() {
        let page = page();
        let failed = page
            .find("id=\"delivery-scope-data-center\"")
            .expect("the failed scenario is there");
        let passed = page
            .find("id=\"delivery-scope-everybody\"")
            .expect("the passed scenario is there");
        assert!(failed < passed);
        assert!(page[failed..passed].contains(" open"));
        assert!(page.contains("1 of 4 scenarios failed"));
    }

    #[test]
    fn a_failure_leads_to_what_was_collected_and_to_the_moment_it_is_about() {
        let page = page();
        let folder = "scenarios/delivery-scope/data-center";
        assert!(
            page.contains(&format!("<a href=\"{folder}/history.jsonl\">")),
            "{page}"
        );
        assert!(
            page.contains(&format!("<a href=\"{folder}/diagnostics\">")),
            "{page}"
        );
        assert!(
            !page.contains("delivery-scope/everybody/diagnostics"),
            "it passed"
        );
        assert_eq!(
            page.matches("class=\"culprit\"").count(),
            1,
            "one finding points at a moment"
        );
        assert!(page.contains("seconds since the run began"));
        let busy = "<p class=\"rerun\"><span>machine</span> something waited for a processor 97 % of the time";
        let (failed, undecided) = page
            .split_once("id=\"resilience-zone-outage\"")
            .expect("it comes after what failed");
        assert!(undecided.contains(busy), "{page}");
        assert_eq!(page.matches("something waited").count(), 1, "others passed");
        assert!(failed.contains("id=\"delivery-scope-data-center\""));
        let mut record = crate::fixture::record();
        record.context.collects = false;
        assert!(
            !render(&record, 1)
                .expect("it has a page")
                .contains("/diagnostics\">")
        );
    }

    #[test]
    fn latencies_and_quarantine_are_told() {
        let mut record = crate::fixture::record();
        let page = page();
        assert!(page.contains(" lost, answered in p50 "), "{page}");
        assert!(!page.contains("In quarantine"));
        let why = crate::record::Quarantined {
            owner: "team".to_owned(),
            reason: "known".to_owned(),
            until: "2026-12-31".to_owned(),
        };
        let quarantine = &mut record.context.quarantine;
        quarantine.insert(crate::fixture::FAILING.to_owned(), why);
        let page = render(&record, 0).expect("it has a page");
        assert!(page.contains("In quarantine: known, team until 2026-12-31."));
    }

    #[test]
    fn what_the_mesh_says_is_escaped() {
        let mut record = crate::fixture::record();
        record
            .environment
            .insert("x".to_owned(), "<img onerror=1>".to_owned());
        let page = render(&record, 1).expect("it has a page");
        assert!(!page.contains("<img"));
    }
}
