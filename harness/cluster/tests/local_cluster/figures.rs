//! What containers have used, as a client of the API server can ask it of a node.

use crate::pods::{Pods, within};
use futures::TryStreamExt as _;
use futures::io::AsyncBufReadExt as _;
use harness_cluster::figures;
use kube::api::LogParams;
use serde_json::{Value, json};

/// What the container uses at least: hundredths of a second, and MiB.
const TICKS: u64 = 100;
const MEBIBYTES: u64 = 48;

pub(crate) async fn what_containers_use_is_told(pods: &Pods) {
    let name = "using";
    let (ticks, mebibytes) = (TICKS.to_string(), MEBIBYTES.to_string());
    let arguments = ["use", ticks.as_str(), mebibytes.as_str()];
    pods.make(name, &arguments, json!({}), json!({})).await;
    pods.runs(name).await;
    within(async {
        let log = LogParams {
            follow: true,
            ..LogParams::default()
        };
        let mut lines = pods.api().log_stream(name, &log).await.unwrap().lines();
        let said = lines.try_next().await.unwrap().unwrap();
        assert_eq!(said, "used");
        let pod = pods.api().get(name).await.unwrap();
        let (uid, node) = (
            pod.metadata.uid.unwrap(),
            pod.spec.unwrap().node_name.unwrap(),
        );
        let told = figures::of_node(&pods.client(), &node).await.unwrap();
        let told = told.iter().find(|told| told.pod_uid == uid).unwrap();
        assert_eq!(told.name, "main");
        assert!(told.cpu_nanos >= TICKS * 10_000_000, "{told:?}");
        assert!(told.memory_bytes >= MEBIBYTES << 20, "{told:?}");
        assert!(told.started.unwrap() <= told.at, "{told:?}");
        the_form_is_that_of_kubernetes(pods, &node, told).await;
    })
    .await;
    pods.delete(name).await;
}

async fn the_form_is_that_of_kubernetes(pods: &Pods, node: &str, told: &figures::ContainerFigures) {
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let summary: Value = pods.client().request(request).await.unwrap();
    assert_eq!(summary["node"]["nodeName"], node);
    let whole = summary["node"]["cpu"]["usageCoreNanoSeconds"].as_u64();
    assert!(whole.unwrap() >= told.cpu_nanos, "{summary}");
    let all = summary["pods"].as_array().unwrap();
    let pod = all
        .iter()
        .find(|pod| pod["podRef"]["uid"] == told.pod_uid.as_str())
        .unwrap();
    assert_eq!(pod["podRef"]["namespace"], "default");
    let memory = &pod["containers"][0]["memory"];
    let (resident, set) = (&memory["rssBytes"], &memory["workingSetBytes"]);
    assert!(resident.as_u64().unwrap() >= MEBIBYTES << 20, "{summary}");
    assert!(set.as_u64() >= resident.as_u64(), "{summary}");
}
