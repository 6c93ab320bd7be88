//! The reports of several runs, put together into the record of one: shards of a selection, or parts of it.
//!
//! Invariant: no outcome is lost or made up. A scenario that is in two reports, and a shard that is there twice or not at
//! all, is a mistake.

mod problems;

use crate::json::{Document, Ending, ScenarioForm};
use crate::record::{Context, Outcome, RunRecord, SEEDS, ScenarioRecord, title};
use crate::timeline::Timeline;
use harness_model::run_event::Summary;
use harness_model::scenario::Scenario;
use harness_model::verdict::{Judgement, Verdict};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One run.
#[derive(Clone, Debug)]
pub struct Part {
    /// As the user named it.
    pub name: String,
    /// Its report.
    pub document: Document,
    /// What its histories show, by title.
    pub timelines: BTreeMap<String, Timeline>,
    /// Its scenarios as far as its histories tell them, by name.
    pub scenarios: BTreeMap<String, Scenario>,
}

/// Puts runs together; `context` has what none of them tells.
///
/// # Errors
///
/// Everything that keeps them from being parts of one run.
pub fn merge(parts: Vec<Part>, context: Context) -> Result<RunRecord, Vec<String>> {
    let problems = problems::of(&parts);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut record = RunRecord::new(context);
    record.environment = facts(&parts);
    record.summary = Some(summary(&parts));
    for (index, part) in parts.into_iter().enumerate() {
        add(&mut record, part, index == 0);
    }
    Ok(record)
}

fn add(record: &mut RunRecord, part: Part, is_first: bool) {
    let Part {
        document,
        mut timelines,
        scenarios,
        ..
    } = part;
    if is_first {
        record.run = format!("{}-merged", document.run);
        record.seed = document.seed;
    }
    if is_first || document.started_at < record.at {
        record.at.clone_from(&document.started_at);
    }
    record.selected += document.selected;
    for pair in document.replaced.chunks(2) {
        let known = &mut record.context.options;
        if !known.chunks(2).any(|other| other == pair) {
            known.extend_from_slice(pair);
        }
    }
    record.ready_millis = record.ready_millis.max(document.ready_millis);
    for sidecar in document.sidecars {
        if !record
            .sidecars
            .iter()
            .any(|known| known.name == sidecar.name)
        {
            record.sidecars.push(sidecar);
        }
    }
    match (&mut record.usage, document.usage) {
        (Some(sum), Some(usage)) => sum.add(usage),
        (sum @ None, usage) => *sum = usage,
        (Some(_), None) => {}
    }
    record.context.scenarios.extend(scenarios);
    for form in document.scenarios {
        let title = title(&form.name, form.repetition);
        let context = &mut record.context;
        context.reruns.insert(form.name.clone(), form.rerun.clone());
        if let Some(file) = &form.file {
            context.files.insert(form.name.clone(), PathBuf::from(file));
        }
        if let Some(why) = &form.quarantined {
            context.quarantine.insert(form.name.clone(), why.clone());
        }
        if let Some(shipped) = context.shipped.get(&form.name)
            && form.file.is_none()
        {
            let shipped = shipped.clone();
            context
                .scenarios
                .entry(form.name.clone())
                .or_insert(shipped);
        }
        record.scenarios.push(ScenarioRecord {
            outcome: outcome(&form),
            timeline: timelines.remove(&title).unwrap_or_default(),
            name: form.name,
            claim: form.claim,
            repetition: form.repetition,
        });
    }
}

fn outcome(form: &ScenarioForm) -> Outcome {
    let reason = form.reason.clone().unwrap_or_default();
    let verdict = match form.outcome {
        Ending::Unfinished => return Outcome::Unfinished,
        Ending::Skipped => return Outcome::Skipped { reason },
        Ending::NotRun => return Outcome::NotRun { reason },
        Ending::Passed => Verdict::Passed,
        Ending::Failed => Verdict::Failed,
        Ending::Inconclusive => Verdict::Inconclusive,
    };
    Outcome::Judged {
        judgement: Judgement {
            verdict,
            findings: form.findings.clone(),
            waited_in_vain: form.waited_in_vain.clone(),
        },
        millis: form.millis.unwrap_or_default(),
        machine: form.machine,
    }
}

/// What the runs have in common is said once, and what differs with all its values.
fn facts(parts: &[Part]) -> BTreeMap<String, String> {
    let mut facts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for part in parts {
        let seed = part.document.seed.to_string();
        let environment = &part.document.environment;
        let told = environment
            .iter()
            .map(|(fact, value)| (fact.as_str(), value));
        for (fact, value) in told.chain([(SEEDS, &seed)]) {
            let values = facts.entry(fact).or_default();
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
    }
    if facts.get(SEEDS).is_some_and(|seeds| seeds.len() == 1) {
        facts.remove(SEEDS);
    }
    facts
        .into_iter()
        .map(|(fact, values)| (fact.to_owned(), values.join(", ")))
        .collect()
}

fn summary(parts: &[Part]) -> Summary {
    let mut sum = Summary::default();
    for Part { name, document, .. } in parts {
        let counts = &document.summary;
        sum.passed += counts.passed;
        sum.failed += counts.failed;
        sum.inconclusive += counts.inconclusive;
        sum.skipped += counts.skipped;
        sum.not_run += counts.not_run;
        // Shards run side by side.
        sum.millis = sum.millis.max(document.millis);
        sum.interrupted = sum.interrupted.or(document.interrupted);
        if let Some(error) = &document.environment_error {
            let said = sum.environment_error.get_or_insert_default();
            if !said.is_empty() {
                said.push('\n');
            }
            said.push_str(&format!("{name}: {error}"));
        }
        let with_name = |text: &String| format!("{name}: {text}");
        sum.unknown_names
            .extend(document.unknown_names.iter().map(with_name));
        sum.left_behind
            .extend(document.left_behind.iter().map(with_name));
        sum.exposed_keys
            .extend(document.exposed_keys.iter().map(with_name));
        sum.not_searched
            .extend(document.not_searched.iter().map(with_name));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Shard;

    fn part(name: &str, shard: Option<(u32, u32)>, suites: &[&str]) -> Part {
        let mut record = crate::fixture::record();
        record
            .scenarios
            .retain(|s| suites.iter().any(|suite| s.name.starts_with(suite)));
        record.summary = None;
        record.selected = record.scenarios.len();
        record.context.shard = shard.map(|(number, of)| Shard { number, of });
        record.seed = name.len() as u64;
        Part {
            name: name.to_owned(),
            document: crate::json::document(&record, 1),
            timelines: BTreeMap::new(),
            scenarios: BTreeMap::new(),
        }
    }

    #[test]
    fn shards_become_the_run_that_they_are_parts_of() {
        let parts = vec![
            part("one", Some((1, 2)), &["delivery-scope/"]),
            part("second", Some((2, 2)), &["routing/", "resilience/"]),
        ];
        let record = merge(parts, Context::default()).expect("they fit");
        let whole = crate::fixture::record();
        let sum = record.sum();
        let expected = whole.sum();
        assert_eq!(
            (sum.passed, sum.failed, sum.inconclusive, sum.skipped),
            (
                expected.passed,
                expected.failed,
                expected.inconclusive,
                expected.skipped
            )
        );
        assert_eq!(record.environment["seeds"], "3, 6");
        let rerun = "meshproof run routing/both-sidecars --topology three-zones --seed 6";
        assert_eq!(record.context.rerun("routing/both-sidecars", 3), rerun);
        let junit = crate::junit::render(&record).expect("it has a JUnit form");
        assert_eq!(junit.matches("<testcase ").count(), 5, "{junit}");
        assert_eq!(junit.matches("  machine   ").count(), 1, "{junit}");
        assert_eq!(junit.matches("  in vain   ").count(), 1, "{junit}");
    }

    #[test]
    fn no_document_takes_the_seed_of_one_run_for_that_of_all() {
        let documents = |second: &str| {
            let parts = vec![
                part("one", Some((1, 2)), &["delivery-scope/"]),
                part(second, Some((2, 2)), &["routing/", "resilience/"]),
            ];
            let record = merge(parts, Context::default()).expect("they fit");
            [
                crate::junit::render(&record).expect("it has a JUnit form"),
                crate::conformance::render(&record).expect("it has a YAML form"),
                crate::ctrf::render(&record, 1).expect("it has a JSON form"),
                crate::markdown::render(&record),
            ]
        };
        let of_all = [
            "name=\"seed\" value=\"3\"",
            "\nseed: 3\n",
            "\"seed\": 3",
            "Seed `3`, ",
        ];
        for (text, seed) in documents("two").into_iter().zip(of_all) {
            assert!(text.contains(seed), "{text}");
        }
        for (text, seed) in documents("second").into_iter().zip(of_all) {
            assert!(!text.contains(seed), "{text}");
            assert!(text.contains("3, 6"), "{text}");
        }
    }

    #[test]
    fn what_meshes_used_is_added_and_reports_that_do_not_tell_it_are_taken_too() {
        let one = part("one", Some((1, 2)), &["routing/"]);
        let mut older = part("older", Some((2, 2)), &["delivery-scope/"]);
        older.document.usage = None;
        for parts in [
            vec![one.clone(), older.clone()],
            vec![older.clone(), one.clone()],
        ] {
            let record = merge(parts, Context::default()).expect("they fit");
            assert_eq!(record.usage, Some(crate::fixture::usage()));
        }
        older.document.usage.clone_from(&one.document.usage);
        let record = merge(vec![one, older], Context::default()).expect("they fit");
        let usage = record.usage.expect("both told theirs");
        assert_eq!((usage.meshes, usage.containers.len()), (2, 14));
    }

    #[test]
    fn shards_are_of_one_selection_and_one_mesh() {
        let both = |change: &dyn Fn(&mut Part)| {
            let mut other = part("b", Some((2, 2)), &["routing/"]);
            change(&mut other);
            let parts = vec![part("a", Some((1, 2)), &["delivery-scope/"]), other];
            merge(parts, Context::default())
        };
        let replace = |with: &str| {
            let replaced = ["--image".to_owned(), format!("control-plane={with}")];
            move |part: &mut Part| part.document.replaced = replaced.to_vec()
        };
        let told = both(&|part| part.document.selection = vec!["tls".to_owned()]);
        let told = told.expect_err("another selection");
        assert_eq!(told, ["a has the selection ``, and b `tls`"]);
        let told = both(&replace("candidate.tar")).expect_err("another mesh");
        assert!(told[0].contains("candidate.tar"), "{told:?}");
        let told = both(&|part| {
            let facts = &mut part.document.environment;
            facts.insert("mesh.xds".to_owned(), "another".to_owned());
        });
        assert_eq!(told.expect_err("another form").len(), 1);
        // Each machine has it elsewhere, and the merged report names it.
        let mut first = part("a", Some((1, 2)), &["delivery-scope/"]);
        let mut second = part("b", Some((2, 2)), &["routing/"]);
        replace("/one/candidate.tar")(&mut first);
        replace("/two/candidate.tar")(&mut second);
        let record = merge(vec![first, second], Context::default()).expect("they fit");
        let conformance = crate::conformance::render(&record).expect("it has a form");
        assert!(conformance.contains("control-plane=/one/candidate.tar"));
    }

    #[test]
    fn what_is_missing_or_there_twice_is_told() {
        let told = |parts: Vec<Part>| merge(parts, Context::default()).expect_err("it is wrong");
        assert_eq!(
            told(vec![part("a", Some((1, 3)), &["routing/"])]),
            ["shard 2/3 is missing", "shard 3/3 is missing"]
        );
        assert_eq!(
            told(vec![
                part("a", Some((1, 1)), &["routing/"]),
                part("b", Some((1, 1)), &["delivery-scope/"]),
            ]),
            ["a and b are all shard 1/1"]
        );
        assert_eq!(
            told(vec![
                part("a", Some((1, 1)), &["routing/"]),
                part("b", None, &["delivery-scope/"]),
            ]),
            ["a is shard 1/1", "b is no shard"]
        );
        assert_eq!(
            told(vec![
                part("a", None, &["resilience/"]),
                part("b", None, &["resilience/"]),
            ]),
            ["a and b both have resilience/zone-outage"]
        );
    }
}
