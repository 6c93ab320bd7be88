//! A candidate build of the control plane: deployed for work by hand, and run against. What the pods run is read from the
//! API server; nothing is taken for granted.

use crate::baseline::{Baseline, Footprint};
use crate::foreign::output;
use crate::meshproof::{Place, images};
use harness_images::another;
use harness_images::archive::Archive;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const NAME: &str = "candidate";

async fn client(kubeconfig: &str) -> kube::Client {
    // A second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parsed = Kubeconfig::read_from(kubeconfig).expect("a kept cluster has a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(parsed, &options).await;
    let client = kube::Client::try_from(config.expect("the kubeconfig is whole"));
    client.expect("the kubeconfig makes a client")
}

/// The digests of what the control plane's pods run, as the API server tells them.
fn control_plane_runs(kubeconfig: &str) -> BTreeSet<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let listed = runtime.block_on(async {
        let pods: Api<Pod> = Api::namespaced(client(kubeconfig).await, "mesh-system");
        pods.list(&ListParams::default()).await
    });
    let pods = listed.expect("the API server lists pods").items.into_iter();
    pods.filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| pod.status?.container_statuses)
        .flatten()
        .filter(|container| container.name == "control-plane")
        .map(|container| container.image_id)
        .collect()
}

/// The workloads that do not run their newest template alone, as the API server tells them.
fn old_workloads(kubeconfig: &str) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let listed = runtime.block_on(async {
        let api: Api<Deployment> = Api::namespaced(client(kubeconfig).await, "mesh-workloads");
        api.list(&ListParams::default()).await
    });
    let deployments = listed.expect("the API server lists Deployments").items;
    assert!(!deployments.is_empty(), "the mesh has workloads");
    let is_old = |deployment: &Deployment| {
        let status = deployment.status.clone().unwrap_or_default();
        status.observed_generation != deployment.metadata.generation
            || status.updated_replicas != status.replicas
    };
    let old = deployments.into_iter().filter(is_old);
    old.filter_map(|deployment| deployment.metadata.name)
        .collect()
}

fn only(digest: &str) -> BTreeSet<String> {
    BTreeSet::from([digest.to_owned()])
}

#[test]
fn a_candidate_is_deployed_run_against_and_named_by_what_its_pods_run() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let reference = Archive::open(&images().join("control-plane.tar"));
    let reference = reference.expect("`cargo xtask images` has made it").digest;
    let archive = place.path().join("candidate.tar");
    let ours = images().join("control-plane.tar");
    let candidate = another::build(
        &ours,
        "somebody/mesh-control-plane:candidate",
        "CANDIDATE=yes",
        &archive,
    )
    .expect("our control plane can be packed again");
    assert_ne!(candidate, reference);
    let image = format!("control-plane={}", archive.display());

    let deploy = |options: &[&str]| -> Value {
        let arguments = ["deploy", NAME, "-o", "json", "--quiet"];
        let run = place
            .command(&[&arguments[..], options].concat())
            .output()
            .expect("the built binary starts");
        assert!(
            run.status.success(),
            "{options:?}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
        serde_json::from_slice(&run.stdout).expect("it says one JSON document")
    };
    let said = deploy(&[]);
    let kubeconfig = said["kubeconfig"].as_str().expect("a path").to_owned();
    assert_eq!(control_plane_runs(&kubeconfig), only(&reference));
    assert_eq!(said["candidates"], serde_json::json!({}));

    // It takes the place of what runs there, and so do sidecars that speak otherwise: nothing of before is left.
    let said = deploy(&["--image", &image, "--set", "xds=delta"]);
    assert_eq!(old_workloads(&kubeconfig), Vec::<String>::new());
    assert_eq!(
        said["candidates"]["control-plane"],
        Value::from(&*candidate)
    );
    assert_eq!(control_plane_runs(&kubeconfig), only(&candidate));

    let run = ["run", "--reuse", NAME, "--color", "never"];
    let scenarios = ["delivery-scope/application", "--set", "xds=delta"];
    let options = ["--image", &image];
    let (code, said) = output(place.command(&[&run[..], &scenarios, &options].concat()));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("PASS delivery-scope/application"), "{said}");
    assert_eq!(control_plane_runs(&kubeconfig), only(&candidate));
    let report = fs::read_to_string(place.artifacts().join("latest/report.json"));
    let report: Value = serde_json::from_str(&report.expect("report.json is written"))
        .expect("report.json is JSON");
    let told = &report["environment"]["candidate.control-plane"];
    assert_eq!(*told, Value::from(&*candidate), "{report}");

    // A self-test judges it where nothing has a seeded bug, and has the bugs caught in our own image.
    let selftest = ["selftest", "delivery-scope/longer-prefix", "--reuse", NAME];
    let without_mesh = ["--without-absent", "--color", "never"];
    let (code, said) = output(place.command(&[&selftest[..], &without_mesh, &options].concat()));
    assert_eq!(code, Some(0), "{said}");
    let runs = format!("run the candidate for control-plane: {candidate}");
    assert!(said.contains(&runs), "{said}");
    let agrees = "OK faithful × delivery-scope/longer-prefix: passed";
    assert!(said.contains(agrees), "{said}");
    let caught = "CAUGHT prefix-precedence-wrong × delivery-scope/longer-prefix";
    assert!(said.contains(caught), "{said}");

    // A run deploys what its options say: without the candidate, ours.
    let (code, said) = output(place.command(&[&run[..], &["routing/own-zone"]].concat()));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(control_plane_runs(&kubeconfig), only(&reference));

    let (code, said) = output(place.command(&["cluster", "down", NAME]));
    assert_eq!(code, Some(0), "{said}");
    before.is_restored(
        &place.folders,
        &Footprint::default(),
        "after a deployed mesh",
    );
}
