//! The program as a pipeline of a CI service uses it: shards in jobs of their own, known failures in quarantine, one report of
//! all of it, and what failed run again.

use crate::baseline::{Baseline, Footprint};
use crate::foreign::output;
use crate::meshproof::Place;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The seeded bug of the control plane that is tested.
const BUG: &str = "zone-preference-off";
/// Fails by it, and is in quarantine.
const KNOWN: &str = "routing/own-zone";
/// Fails by it too, and its quarantine is over.
const NEW: &str = "routing/protocols";
/// What is run, in the order in which it is dealt out: each shard has one that fails and one that passes.
const SCENARIOS: [&str; 4] = [
    KNOWN,
    NEW,
    "identity/node-agent-tokens",
    "identity/requests",
];

const QUARANTINE: &str = "quarantine:
- {scenario: routing/own-zone, owner: team-traffic, reason: known, until: 9999-12-31}
- {scenario: routing/protocols, owner: team-traffic, reason: mended, until: 2020-01-01}
";
/// What is told of the entry that is in force.
const WHY: &str = "known, team-traffic until 9999-12-31";

/// A step of a job, at its end.
struct Step {
    code: Option<i32>,
    said: String,
    /// What it has added to the summary of the job.
    summary: String,
}

/// Runs a command as a step of GitHub Actions.
fn step(place: &Place, name: &str, mut command: Command) -> Step {
    let summary = place.path().join(format!("{name}.md"));
    command
        .args(["--color", "never"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary);
    let (code, said) = output(command);
    let summary = fs::read_to_string(summary);
    let summary = summary.unwrap_or_else(|error| panic!("no summary of {name}: {error}: {said}"));
    Step {
        code,
        said,
        summary,
    }
}

/// The job of one of two shards, with artefacts in a folder of its own.
fn shard(place: &Place, number: u32) -> Step {
    let (shard, name) = (format!("{number}/2"), format!("shard-{number}"));
    let of_bug = ["run", "--mutant", BUG, "--quarantine", "quarantine.yaml"];
    let of_shard = ["--shard", &shard, "--artifacts", &name];
    let arguments = [&of_bug[..], &of_shard, &SCENARIOS].concat();
    step(place, &name, place.command(&arguments))
}

fn report(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("report.json")).expect("report.json is written");
    serde_json::from_str(&text).expect("report.json is JSON")
}

fn scenarios(report: &Value) -> &[Value] {
    report["scenarios"].as_array().expect("a list")
}

fn names(report: &Value) -> BTreeSet<&str> {
    let names = scenarios(report).iter();
    names.filter_map(|one| one["name"].as_str()).collect()
}

/// What a report says of a scenario.
fn told<'a>(report: &'a Value, name: &str) -> &'a Value {
    let found = scenarios(report).iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {report}"))
}

/// The annotations by which GitHub shows a scenario that failed.
fn annotated(step: &Step, kind: &str, scenario: &str) -> bool {
    let begin = format!("::{kind} title={scenario} failed::");
    step.said.lines().any(|line| line.starts_with(&begin))
}

/// The step has said the same as the page beside its reports, with this in it.
#[track_caller]
fn is_summed_up(step: &Step, folder: &Path, parts: &[&str]) {
    let page = fs::read_to_string(folder.join("summary.md")).expect("summary.md is written");
    assert_eq!(step.summary, page);
    for part in parts {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn two_shards_make_one_report_and_what_failed_is_run_again() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    fs::write(place.path().join("quarantine.yaml"), QUARANTINE)
        .expect("the folder of the test can be written");
    let [first, second] = [1, 2].map(|number| shard(&place, number));
    let folders = ["shard-1/latest", "shard-2/latest"].map(|folder| place.path().join(folder));
    let [one, other] = folders.each_ref().map(|folder| report(folder));

    // What is in quarantine was run, failed, is shown, and does not count.
    let said = &first.said;
    assert_eq!(first.code, Some(0), "{said}");
    assert_eq!(told(&one, KNOWN)["outcome"], "failed", "{said}");
    assert_eq!(told(&one, KNOWN)["quarantined"]["owner"], "team-traffic");
    assert!(said.contains(&format!("FAIL {KNOWN} ")), "{said}");
    assert!(said.contains(&format!("(in quarantine: {WHY})")), "{said}");
    assert!(annotated(&first, "notice", KNOWN), "{said}");
    assert!(!said.contains("::error title="), "{said}");
    let excused = format!("In quarantine: {WHY}.");
    let parts = ["Shard 1/2 of the selection.", KNOWN, &excused];
    is_summed_up(&first, &folders[0], &parts);

    // What is in quarantine no more counts.
    let said = &second.said;
    assert_eq!(second.code, Some(1), "{said}");
    assert_eq!(told(&other, NEW)["outcome"], "failed", "{said}");
    assert_eq!(told(&other, NEW)["quarantined"], Value::Null);
    let over = format!("note: the quarantine of {NEW} is over");
    assert!(said.contains(&over), "{said}");
    assert!(annotated(&second, "error", NEW), "{said}");
    assert!(!said.contains("::notice title="), "{said}");
    is_summed_up(&second, &folders[1], &["Shard 2/2 of the selection.", NEW]);

    // The shards have nothing in common, and together everything.
    assert_eq!([names(&one).len(), names(&other).len()], [2, 2]);
    assert!(names(&one).is_disjoint(&names(&other)));
    let all = BTreeSet::from(SCENARIOS);
    let both: BTreeSet<&str> = names(&one).union(&names(&other)).copied().collect();
    assert_eq!(both, all);

    let merge = ["report", "merge", "shard-1/latest"];
    let half = [&merge[..], &["--out", "half"]].concat();
    let (code, said) = output(place.command(&half));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("shard 2/2 is missing"), "{said}");

    let merge = [
        &merge[..],
        &["shard-2/latest/report.json", "--out", "merged"],
    ]
    .concat();
    let whole = step(&place, "merge", place.command(&merge));
    let said = &whole.said;
    assert_eq!(whole.code, Some(1), "{said}");
    let sum = "2 passed, 2 failed, 0 inconclusive, 0 skipped";
    assert!(said.contains(sum), "{said}");
    assert!(annotated(&whole, "notice", KNOWN), "{said}");
    assert!(annotated(&whole, "error", NEW), "{said}");
    let merged = place.path().join("merged");
    is_summed_up(&whole, &merged, &[sum, KNOWN, &excused, NEW]);
    let of_both = report(&merged);
    assert_eq!(of_both["exitCode"], 1);
    assert_eq!(of_both["selected"], SCENARIOS.len());
    assert_eq!(scenarios(&of_both).len(), SCENARIOS.len());
    assert_eq!(names(&of_both), all);
    assert_eq!(
        told(&of_both, KNOWN)["quarantined"],
        told(&one, KNOWN)["quarantined"]
    );
    for scenario in scenarios(&of_both) {
        let history = scenario["history"].as_str().expect("a path");
        assert!(merged.join(history).is_file(), "{history}");
    }

    // The bug is mended. The variable of the job still names the shard, of which one scenario has no second part.
    let mut again = place.command(&["run", "--rerun-failed", "--artifacts", "shard-2"]);
    again.env("MESHPROOF_SHARD", "2/2");
    let again = step(&place, "again", again);
    let said = &again.said;
    assert_eq!(again.code, Some(0), "{said}");
    assert!(!said.contains("::error title="), "{said}");
    let rerun = report(&folders[1]);
    assert_ne!(rerun["run"], other["run"]);
    assert_eq!(names(&rerun), BTreeSet::from([NEW]), "{said}");
    assert_eq!(told(&rerun, NEW)["outcome"], "passed", "{said}");
    assert_eq!(rerun["seed"], other["seed"]);
    is_summed_up(&again, &folders[1], &["1 passed, 0 failed"]);

    before.is_restored(&place.folders, &Footprint::default(), "after a pipeline");
}
