//! A run leaves a complete artefact folder, and anyone can judge its history again.

use crate::baseline::{Baseline, Footprint};
use crate::meshproof::Place;
use serde_json::Value;
use std::fs;

#[test]
fn a_stored_history_is_judged_like_the_run_that_made_it() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let run = place
        .command(&[
            "run",
            "delivery-scope/application",
            "--seed",
            "7",
            "--color",
            "never",
        ])
        .output()
        .expect("the built binary starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(
        run.status.code(),
        Some(0),
        "{said}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );

    let folder = place.artifacts().join("latest");
    let report: Value = serde_json::from_str(
        &fs::read_to_string(folder.join("report.json")).expect("report.json is written"),
    )
    .expect("report.json is JSON");
    assert_eq!(report["seed"], 7, "the seed is told, also after success");
    let machine = &report["scenarios"][0]["machine"];
    assert_eq!(
        machine.is_object(),
        fs::read_to_string("/proc/pressure/cpu").is_ok(),
        "how busy the machine was is told where the kernel tells it: {machine}"
    );
    assert!(!said.contains("something waited"), "it passed: {said}");
    for name in ["junit.xml", "report.html", "history.jsonl"] {
        assert!(folder.join(name).exists(), "{name} is written");
    }

    let history = folder.join("history.jsonl");
    let again = place
        .command(&["judge", "--color", "never"])
        .arg(&history)
        .output()
        .expect("the built binary starts");
    let judged = String::from_utf8_lossy(&again.stdout);
    assert_eq!(
        again.status.code(),
        Some(0),
        "{judged}\n{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert!(
        judged.contains("PASS delivery-scope/application"),
        "{judged}"
    );
    before.is_restored(&place.folders, &Footprint::default(), "after a run");
}

#[test]
fn a_private_key_in_a_log_is_told_and_fails_the_run() {
    let place = Place::new();
    let run = place
        .command(&["run", "tls/scope", "--mutant", "agent-logs-key"])
        .args(["--color", "never"])
        .output()
        .expect("the built binary starts");
    let said = String::from_utf8_lossy(&run.stdout);
    let complaints = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}\n{complaints}");
    // Nobody but the search saw anything.
    assert!(said.contains("PASS tls/scope"), "{said}");
    let found = "the log of mesh-system/node-agent-";
    assert!(said.contains(&format!("PRIVATE KEY {found}")), "{said}");
    let report = fs::read_to_string(place.artifacts().join("latest/report.json"));
    let report: Value = serde_json::from_str(&report.expect("report.json is written"))
        .expect("report.json is JSON");
    let places = report["exposedKeys"].as_array().expect("a list");
    assert!(!places.is_empty());
    for place in places {
        let place = place.as_str().unwrap_or_default();
        assert!(place.starts_with(found), "only the agents log it: {place}");
    }
    no_key_is_in(&place);
}

#[test]
fn no_private_key_is_in_an_artefact() {
    let place = Place::new();
    let run = place
        .command(&["run", "delivery-scope/application", "--collect", "always"])
        .output()
        .expect("the built binary starts");
    assert_eq!(
        run.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    no_key_is_in(&place);
}

/// Looks through every file that the runs of a place have left.
fn no_key_is_in(place: &Place) {
    let mut files = 0;
    let mut folders = vec![place.artifacts()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("an artefact folder can be read")
            .flatten()
        {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                files += 1;
                let text = String::from_utf8_lossy(&bytes);
                assert!(
                    !text.contains("PRIVATE KEY-----"),
                    "a private key is in {}",
                    path.display()
                );
            }
        }
    }
    assert!(files > 5, "only {files} files were searched");
}
