//! Where images are ready nobody is asked for Envoy, which they have.
//!
//! Nothing here starts a cluster: its programs are nowhere, and none may be made.

use std::process::{Command, Output};

/// What the program says on a machine that has nothing of ours but the folder `images`.
fn say(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::create_dir(folder.path().join("images")).expect("a fresh folder can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    for (name, _) in std::env::vars() {
        if name.starts_with("MESHPROOF_") || name == "KUBEBUILDER_ASSETS" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(folder.path())
        .env("MESHPROOF_CACHE", folder.path().join("cache"))
        .output()
        .expect("the built program starts")
}

#[test]
fn a_cluster_asks_for_envoy_only_where_its_images_are_built() {
    let ready: [&[&str]; 2] = [&["--images", "images"], &["--no-images"]];
    for images in ready {
        let up = ["cluster", "up", "--offline", "--no-install"];
        let output = say(&[&up[..], images].concat());
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{complaints}");
        assert!(
            complaints.contains("find etcd, kube-apiserver, "),
            "{complaints}"
        );
    }
    let output = say(&["cluster", "up", "--offline", "--no-install"]);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaints}");
    assert!(
        complaints.contains("find envoy, etcd, kube-apiserver, "),
        "{complaints}"
    );
}

/// What `doctor` says of assets.
fn diagnosis(images: &[&str]) -> String {
    let output = say(&[&["doctor", "-o", "json"][..], images].concat());
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let mut checks = checks.as_array().expect("a list").iter();
    let assets = checks.find(|check| check["name"] == "assets");
    let found = assets.and_then(|check| check["found"].as_str());
    found.expect("it looks for assets").to_owned()
}

#[test]
fn the_doctor_misses_envoy_only_where_images_are_built() {
    assert_eq!(
        diagnosis(&[]),
        "envoy, etcd, kube-apiserver, kube-controller-manager, kube-scheduler not made yet"
    );
    assert_eq!(
        diagnosis(&["--images", "images"]),
        "etcd, kube-apiserver, kube-controller-manager, kube-scheduler not made yet"
    );
}
