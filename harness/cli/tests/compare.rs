//! What `meshproof report compare` says about two reports, and ends with.

use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// A report as a run writes it, of scenarios that ended like this.
fn report(cluster: &str, scenarios: &[(&str, &str)]) -> String {
    let scenarios: Vec<Value> = scenarios
        .iter()
        .map(|(name, outcome)| {
            let mut scenario = json!({
                "name": name, "repetition": 1, "claim": "it is so", "outcome": outcome,
                "findings": [], "rerun": "meshproof run",
            });
            if *outcome == "skipped" {
                scenario["reason"] = json!("needs at least three zones");
            }
            scenario
        })
        .collect();
    json!({
        "schemaVersion": 1, "run": format!("run-on-{cluster}"), "startedAt": "2026-11-23T14:05:00Z",
        "millis": 1, "exitCode": 0, "seed": 7, "environment": {"cluster": cluster},
        "readyMillis": 1, "phases": [], "selected": scenarios.len(),
        "summary": {"passed": 0, "failed": 0, "inconclusive": 0, "skipped": 0},
        "sidecars": [], "scenarios": scenarios,
    })
    .to_string()
}

/// Exit code, stdout and stderr of a comparison of the files `a/report.json` and `b.json`.
fn say(a: &str, b: &str, files: &[(&str, &str)], arguments: &[&str]) -> String {
    let place = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::create_dir(place.path().join("a")).expect("a fresh folder can be written");
    for (name, text) in [("a/report.json", a), ("b.json", b)].iter().chain(files) {
        std::fs::write(place.path().join(name), text).expect("a fresh folder can be written");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_meshproof"))
        .args(["report", "compare", "a", "b.json"])
        .args(arguments)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .expect("the built program starts");
    let code = output.status.code().expect("it ends by itself");
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    format!("exit {code}\n{stdout}{stderr}")
}

const ALL_PASSED: [(&str, &str); 2] = [
    ("routing/own-zone", "passed"),
    ("routing/path-rule", "passed"),
];

#[test]
fn equal_runs_are_equal() {
    let said = say(
        &report("local", &ALL_PASSED),
        &report("kind", &ALL_PASSED),
        &[],
        &[],
    );
    insta::assert_snapshot!(said, @"
    exit 0
    a  run-on-local on local
    b  run-on-kind on kind
    2 alike, 0 undecided in both, 0 allowed to differ, 0 different, 0 stale
    ");
}

#[test]
fn each_difference_has_a_line() {
    let a = report(
        "local",
        &[
            ("mine/first", "passed"),
            ("routing/own-zone", "passed"),
            ("routing/path-rule", "passed"),
        ],
    );
    let b = report(
        "kind",
        &[
            ("mine/second", "failed"),
            ("routing/own-zone", "skipped"),
            ("routing/path-rule", "inconclusive"),
        ],
    );
    insta::assert_snapshot!(say(&a, &b, &[], &[]), @"
    exit 1
    a  run-on-local on local
    b  run-on-kind on kind
    ONLY IN A mine/first: passed in a
    ONLY IN B mine/second: failed in b
    SKIPPED routing/own-zone: passed in a, skipped (needs at least three zones) in b
    DIFFERENT routing/path-rule: passed in a, inconclusive in b
    0 alike, 0 undecided in both, 0 allowed to differ, 4 different, 0 stale
    ");
}

#[test]
fn a_skip_may_be_allowed_and_an_entry_may_be_stale() {
    let list = "skips:\n\
        - {scenario: routing/own-zone, cluster: kind, why: it has two zones}\n\
        - {scenario: routing/path-rule, cluster: local, why: it was so once}\n";
    let (a, b) = (
        report("local", &ALL_PASSED),
        report(
            "kind",
            &[
                ("routing/own-zone", "skipped"),
                ("routing/path-rule", "passed"),
            ],
        ),
    );
    let files = [("allow.yaml", list)];
    let arguments = ["--allow", "allow.yaml"];
    insta::assert_snapshot!(say(&a, &b, &files, &arguments), @"
    exit 1
    a  run-on-local on local
    b  run-on-kind on kind
    ALLOWED routing/own-zone: passed in a, skipped (needs at least three zones) in b; allowed: it has two zones
    STALE allow.yaml:3: routing/path-rule may be skipped on local, and was not
    1 alike, 0 undecided in both, 1 allowed to differ, 0 different, 1 stale
    ");
    let arguments = ["--allow", "allow.yaml", "-o", "jsonl"];
    let said = say(&a, &b, &files, &arguments);
    let document = said.strip_prefix("exit 1\n").expect("they differ");
    let document: Value = serde_json::from_str(document).expect("it is JSON");
    insta::assert_json_snapshot!(document, @r#"
    {
      "a": {
        "run": "run-on-local",
        "cluster": "local"
      },
      "b": {
        "run": "run-on-kind",
        "cluster": "kind"
      },
      "same": 1,
      "undecidedInBoth": 0,
      "differences": [
        {
          "scenario": "routing/own-zone",
          "repetition": 1,
          "what": "skipped",
          "a": {
            "outcome": "passed"
          },
          "b": {
            "outcome": "skipped",
            "reason": "needs at least three zones"
          },
          "allowed": "it has two zones"
        }
      ],
      "stale": [
        {
          "scenario": "routing/path-rule",
          "cluster": "local",
          "why": "it was so once",
          "line": 3
        }
      ]
    }
    "#);
}

#[test]
fn every_mistake_of_the_list_has_its_line() {
    let list = "skips:\n\
        - {scenario: routing/own-zon, cluster: kind, why: it has two zones}\n\
        - {scenario: routing/path-rule, cluster: local, why: \"\"}\n";
    let same = report("local", &ALL_PASSED);
    let said = say(
        &same,
        &same,
        &[("allow.yaml", list)],
        &["--allow", "allow.yaml"],
    );
    insta::assert_snapshot!(said, @r#"
    exit 2
    error: failed to read which scenarios may be skipped where

      × there is no scenario `routing/own-zon`
       ╭─[allow.yaml:2:14]
     1 │ skips:
     2 │ - {scenario: routing/own-zon, cluster: kind, why: it has two zones}
       ·              ───────────────
     3 │ - {scenario: routing/path-rule, cluster: local, why: ""}
       ╰────
      help: did you mean `routing/own-zone`?

      × there is no reason
       ╭─[allow.yaml:3:54]
     2 │ - {scenario: routing/own-zon, cluster: kind, why: it has two zones}
     3 │ - {scenario: routing/path-rule, cluster: local, why: ""}
       ·                                                      ──
       ╰────
      help: say what this kind of cluster does not have
    "#);
}

#[test]
fn what_is_wrong_with_both_reports_is_told_at_once() {
    let newer = r#"{"schemaVersion": 9}"#;
    insta::assert_snapshot!(say("no json", newer, &[], &[]), @"
    exit 2
    error: failed to compare two reports
      a/report.json: it is no report of meshproof: expected ident at line 1 column 2
      b.json: its schema version is 9, and this version of meshproof knows up to 1

    hint: name the artefact folders of two runs, or their report.json
    ");
}

#[test]
fn runs_without_scenarios_are_not_equal() {
    let empty = report("local", &[]);
    insta::assert_snapshot!(say(&empty, &empty, &[], &[]), @"
    exit 2
    error: failed to compare two reports
      caused by: neither run came to a verdict, so there is nothing to compare

    hint: `environmentError` in a report says why its run had no environment
    ");
}
