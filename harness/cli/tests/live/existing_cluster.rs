//! A cluster that somebody else runs: one of ours that is kept, addressed by its kubeconfig alone.

use crate::baseline::{Baseline, Footprint};
use crate::meshproof::{Place, phase_finished};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const NAME: &str = "foreign";

/// `run` on the cluster of a kubeconfig.
fn on(place: &Place, kubeconfig: &Path, arguments: &[&str]) -> Command {
    let mut command = place.command(&["run", "--color", "never"]);
    command
        .args(["--cluster", "kubeconfig", "--images-preloaded"])
        .args(arguments)
        .env("KUBECONFIG", kubeconfig);
    command
}

fn output(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the built binary starts");
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    (status.code(), said.into_owned())
}

#[test]
fn a_cluster_of_somebody_else_is_used_when_allowed_by_one_run_at_a_time_and_left_as_it_was() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let (code, said) = output(place.command(&["cluster", "up", NAME, "-o", "json", "--quiet"]));
    assert_eq!(code, Some(0), "{said}");
    // The images come to its nodes by a run of ours, which leaves its mesh there.
    let (code, said) = output(place.command(&["run", "routing/own-zone", "--reuse", NAME]));
    assert_eq!(code, Some(0), "{said}");
    let kubeconfig = place
        .folders
        .temporary
        .join(format!("meshproof-{}", nix::unistd::geteuid()))
        .join(NAME)
        .join("kubeconfig");
    let text = fs::read_to_string(&kubeconfig).expect("a kept cluster has a kubeconfig");
    let context = serde_json::from_str::<Value>(&text).expect("it is JSON")["current-context"]
        .as_str()
        .expect("it has a current context")
        .to_owned();

    let (code, said) = output(on(&place, &kubeconfig, &["routing/own-zone"]));
    assert_eq!(code, Some(3), "not marked and not allowed: {said}");
    assert!(
        said.contains(&format!("--allow-context {context}")),
        "{said}"
    );

    let allowed = ["--allow-context", &context];
    let scenarios = [
        "routing/own-zone",
        "delivery-scope/application",
        "resilience/control-plane-replica-killed",
        "routing/unreachable-zone",
    ];
    let (code, said) = output(on(
        &place,
        &kubeconfig,
        &[&scenarios[..], &allowed].concat(),
    ));
    assert!(said.contains("removing what a dead run left"), "{said}");
    assert!(
        said.contains("3 passed, 0 failed, 0 inconclusive, 1 skipped"),
        "{said}"
    );
    assert!(
        said.contains("zone-cut"),
        "the reason of the skip is told: {said}"
    );
    assert_eq!(
        code,
        Some(11),
        "a skipped scenario of the gate is not green: {said}"
    );

    let mut running = place.start_command(on(
        &place,
        &kubeconfig,
        &[&["delivery-scope", "--repeat", "50"], &allowed[..]].concat(),
    ));
    running.wait_for("the cluster", phase_finished("cluster"));
    let (code, said) = output(on(
        &place,
        &kubeconfig,
        &[&["routing"], &allowed[..]].concat(),
    ));
    assert_eq!(code, Some(3), "another run is on it: {said}");
    assert!(said.contains("uses it"), "{said}");
    running.signal("INT");
    let (status, _, complaints) = running.finish();
    assert_eq!(status.code(), Some(130), "{complaints}");

    // Nothing of the interrupted run is left to be removed, and its Lease is given back.
    let (code, said) = output(on(
        &place,
        &kubeconfig,
        &[&scenarios[..1], &allowed].concat(),
    ));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("removing what a dead run left"), "{said}");

    let (code, said) = output(place.command(&["cluster", "down", NAME]));
    assert_eq!(code, Some(0), "{said}");
    before.is_restored(
        &place.folders,
        &Footprint::default(),
        "after a foreign cluster",
    );
}
