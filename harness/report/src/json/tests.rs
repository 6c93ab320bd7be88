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
      "findings": [
        {
          "checker": "delivered",
          "verdict": "passed",
          "observations": 27,
          "details": []
        },
        {
          "checker": "confined",
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
