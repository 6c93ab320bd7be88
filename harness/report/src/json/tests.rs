//! `report.json` as it is written and read.

use super::*;

#[test]
fn the_document_says_what_failed_and_how_to_run_it_again() {
    let document = document(&crate::fixture::record(), 1);
    assert_eq!(document.exit_code, 1);
    let failed: Vec<_> = document
        .scenarios
        .iter()
        .filter(|s| s.outcome == Ending::Failed)
        .collect();
    assert_eq!(failed.len(), 1);
    insta::assert_json_snapshot!(failed[0], @r#"
    {
      "name": "delivery-scope/data-center",
      "repetition": 1,
      "claim": "a configuration scoped to one data center reaches its sidecars and no other",
      "tags": [
        "gate"
      ],
      "outcome": "failed",
      "millis": 1523,
      "machine": {
        "processorWaitPercent": 97,
        "diskWaitPercent": 4,
        "memoryWaitPercent": 0,
        "load": 31.2,
        "processors": 2
      },
      "findings": [
        {
          "checker": "delivered",
          "expectation": "then[0] delivered",
          "verdict": "passed",
          "observations": 27,
          "details": []
        },
        {
          "checker": "confined",
          "expectation": "then[1] confined",
          "verdict": "failed",
          "observations": 54,
          "details": [
            {
              "sidecar": "inventory@zone-c",
              "step": 1,
              "expected": "no toggle banner, no rule reroute",
              "observed": "toggle banner = off since 0.790 s on control-plane-1, still at the end",
              "event": 31
            }
          ]
        }
      ],
      "history": "scenarios/delivery-scope/data-center/history.jsonl",
      "rerun": "meshproof run delivery-scope/data-center --topology three-zones --seed 42"
    }
    "#);
}

#[test]
fn what_is_written_is_read_again() {
    let written = render(&crate::fixture::record(), 1).expect("it has a JSON form");
    let read = read(&written).expect("it was written by us");
    let again = serde_json::to_string_pretty(&read).expect("it has a JSON form");
    assert_eq!(again + "\n", written);
}

#[test]
fn a_report_that_names_no_expectations_is_read() {
    let record = crate::fixture::record();
    let mut older = serde_json::to_value(document(&record, 1)).expect("it has a JSON form");
    let scenarios = older["scenarios"].as_array_mut().expect("a list");
    for scenario in scenarios {
        for finding in scenario["findings"].as_array_mut().expect("a list") {
            let fields = finding.as_object_mut().expect("an object");
            fields.remove("expectation").expect("it is told");
        }
    }
    let read = read(&older.to_string()).expect("it is of this version");
    let scenarios = read.scenarios.into_iter();
    let named: Vec<Option<String>> = scenarios
        .flat_map(|scenario| scenario.findings)
        .map(|finding| finding.expectation)
        .collect();
    assert!(!named.is_empty() && named.iter().all(Option::is_none));
}

#[test]
fn a_report_that_does_not_tell_of_the_machine_is_read() {
    let record = crate::fixture::record();
    let mut older = serde_json::to_value(document(&record, 1)).expect("it has a JSON form");
    let scenarios = older["scenarios"].as_array_mut().expect("a list");
    let told = |scenario: &mut serde_json::Value| {
        let fields = scenario.as_object_mut().expect("an object");
        fields.remove("machine").is_some()
    };
    let told: Vec<bool> = scenarios.iter_mut().map(told).collect();
    assert_eq!(told, [true, true, false, true, false]);
    let read = read(&older.to_string()).expect("it is of this version");
    assert!(read.scenarios.iter().all(|form| form.machine.is_none()));
}

#[test]
fn what_was_waited_for_in_vain_is_told_where_a_scenario_did_not_pass() {
    let whole = document(&crate::fixture::record(), 1);
    let has_waited = |form: &&ScenarioForm| !form.waited_in_vain.is_empty();
    let waited: Vec<&ScenarioForm> = whole.scenarios.iter().filter(has_waited).collect();
    assert_eq!(waited.len(), 1);
    assert_eq!(waited[0].outcome, Ending::Inconclusive);
    insta::assert_json_snapshot!(waited[0].waited_in_vain, @r#"
    [
      {
        "step": 2,
        "during": "step 2 (wait until every fault has ended and what it hit is back)",
        "atNs": 10500000000,
        "whose": "mesh",
        "waitedFor": "every sidecar to have its control plane again; missing: 1 of 9 sidecars (checkout@zone-b)",
        "event": 111
      }
    ]
    "#);
}

#[test]
fn a_report_that_does_not_tell_what_was_waited_for_in_vain_is_read() {
    let record = crate::fixture::record();
    let mut older = serde_json::to_value(document(&record, 1)).expect("it has a JSON form");
    let scenarios = older["scenarios"].as_array_mut().expect("a list");
    let told = |scenario: &mut serde_json::Value| {
        let fields = scenario.as_object_mut().expect("an object");
        fields.remove("waitedInVain").is_some()
    };
    let told: Vec<bool> = scenarios.iter_mut().map(told).collect();
    assert_eq!(told, [false, false, false, true, false]);
    let read = read(&older.to_string()).expect("it is of this version");
    let mut forms = read.scenarios.iter();
    assert!(forms.all(|form| form.waited_in_vain.is_empty()));
}

#[test]
fn what_is_no_report_of_ours_is_refused() {
    assert!(matches!(read("{}"), Err(ReadError::Form(_))));
    assert!(matches!(
        read(r#"{"schemaVersion": 1}"#),
        Err(ReadError::Form(_))
    ));
    assert!(matches!(
        read(r#"{"schemaVersion": 2}"#),
        Err(ReadError::Version { found: 2 })
    ));
}
