//! Workflow commands of GitHub Actions: what did not pass, beside the change that is tested.
//!
//! GitHub shows ten annotations of a kind for a step and drops the rest without a word, so that the last one says how many
//! there are (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>).

use crate::record::{Outcome, RunRecord, ScenarioRecord};
use crate::terminal;
use harness_model::verdict::{Judgement, Verdict};

/// How many of a kind are told before the rest is counted.
const SHOWN: usize = 9;

/// One line for each, to be written to the output of the step.
#[must_use]
pub fn github(record: &RunRecord) -> Vec<String> {
    let sum = record.sum();
    let mut errors: Vec<String> = Vec::new();
    let mut run = |title: &str, text: &str| errors.push(command("error", title, None, text));
    if let Some(error) = &sum.environment_error {
        run("no environment", error);
    }
    for (title, texts) in [
        ("unknown name", &sum.unknown_names),
        ("private key", &sum.exposed_keys),
        ("not searched for private keys", &sum.not_searched),
        ("left behind", &sum.left_behind),
    ] {
        for text in texts {
            run(title, text);
        }
    }
    let (mut warnings, mut notices) = (Vec::new(), Vec::new());
    for scenario in &record.scenarios {
        let Outcome::Judged { judgement, .. } = &scenario.outcome else {
            continue;
        };
        let is_excused = record.is_quarantined(&scenario.name);
        match judgement.verdict {
            Verdict::Passed => {}
            _ if is_excused => notices.push(of(record, scenario, judgement, "notice")),
            Verdict::Failed => errors.push(of(record, scenario, judgement, "error")),
            Verdict::Inconclusive => warnings.push(of(record, scenario, judgement, "warning")),
        }
    }
    [
        ("error", errors),
        ("warning", warnings),
        ("notice", notices),
    ]
    .into_iter()
    .flat_map(|(kind, lines)| bounded(kind, lines))
    .collect()
}

fn bounded(kind: &str, mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(SHOWN);
    if more > 1 {
        lines.truncate(SHOWN);
        lines.push(command(
            kind,
            "and more",
            None,
            &format!("{more} more are in the report"),
        ));
    }
    lines
}

fn of(record: &RunRecord, scenario: &ScenarioRecord, judgement: &Judgement, kind: &str) -> String {
    let word = crate::json::Ending::from(judgement.verdict).word();
    let excused = match record.context.quarantine.get(&scenario.name) {
        Some(why) => format!("in quarantine: {why}\n"),
        None => String::new(),
    };
    let file = record.context.files.get(&scenario.name);
    command(
        kind,
        &format!("{} {word}", scenario.title()),
        file.map(|file| file.display().to_string()).as_deref(),
        &format!(
            "{}\n{excused}{}",
            scenario.claim,
            terminal::what_failed(record, scenario, judgement).trim_end()
        ),
    )
}

/// `::error title=T::message`.
fn command(kind: &str, title: &str, file: Option<&str>, text: &str) -> String {
    let file = match file {
        Some(file) => format!("file={},", property(file)),
        None => String::new(),
    };
    format!(
        "::{kind} {file}title={}::{}",
        property(title),
        message(text)
    )
}

fn message(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Quarantined;

    #[test]
    fn what_failed_is_an_error_what_is_open_a_warning_and_what_is_excused_a_notice() {
        let mut record = crate::fixture::record();
        let lines = github(&record);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[0].starts_with(
                "::error title=delivery-scope/data-center failed::a configuration scoped to one data center"
            ),
            "{lines:#?}"
        );
        assert!(lines[0].contains("%0A  then[1] confined failed, 54 observations%0A"));
        assert!(lines[1].starts_with("::warning title=resilience/zone-outage inconclusive::"));
        let why = Quarantined {
            owner: "team".to_owned(),
            reason: "known, 100%".to_owned(),
            until: "2026-12-31".to_owned(),
        };
        let name = crate::fixture::FAILING.to_owned();
        record.context.quarantine.insert(name.clone(), why);
        record.context.files.insert(name, "a,b:c.yaml".into());
        let lines = github(&record);
        assert!(
            lines[1].starts_with("::notice file=a%2Cb%3Ac.yaml,title=delivery-scope/data-center"),
            "{lines:#?}"
        );
        assert!(lines[1].contains("in quarantine: known, 100%25, team until 2026-12-31%0A"));
    }

    #[test]
    fn more_than_are_shown_are_counted() {
        let many = |count: usize| bounded("error", vec!["x".to_owned(); count]);
        assert_eq!(many(10).len(), 10);
        assert_eq!(many(10)[9], "x");
        assert_eq!(many(30).len(), 10);
        assert_eq!(
            many(30)[9],
            "::error title=and more::21 more are in the report"
        );
    }
}
