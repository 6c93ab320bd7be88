//! What is taken away comes back by itself, or when it is asked for; and objects are put back when their owner is gone.

use crate::stage::Stage;
use crate::{best_of_ten, round_trip};
use harness_cluster::healer::{Change, Healer};
use harness_cluster::local::LocalCluster;
use harness_cluster::{Cluster, Part};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long something is away.
const AWAY: Duration = Duration::from_secs(2);
/// How long something may take to be back after that.
const BACK: Duration = Duration::from_secs(30);
/// So long nobody comes back by himself here.
const FOR_EVER: Duration = Duration::from_secs(600);

pub(crate) fn what_is_taken_away_comes_back(stage: &Stage) {
    stage.block_on(async {
        let cluster = stage.up("away", "three-zones").await;
        for part in [Part::ApiServer, Part::Etcd] {
            comes_back(&cluster, &part, || reads(&cluster)).await;
        }
        let nodes = Part::Nodes {
            data_center: "zone-b".to_owned(),
        };
        let reached = || async { round_trip(&cluster, "zone-a-1", "zone-b-1").await.is_some() };
        comes_back(&cluster, &nodes, reached).await;
        best_of_ten(&cluster, "zone-a-1", "zone-c-1").await;
        let nowhere = Part::Nodes {
            data_center: "zone-x".to_owned(),
        };
        assert!(cluster.take_away(&nowhere, AWAY).await.is_err());
        objects_are_put_back(&cluster).await;
        assert_eq!(cluster.down().await, Vec::<String>::new());
    });
}

/// By itself after its time, and early when asked.
async fn comes_back<F: Future<Output = bool>>(
    cluster: &LocalCluster,
    part: &Part,
    is_there: impl Fn() -> F,
) {
    let begun = Instant::now();
    let said = cluster.take_away(part, AWAY).await.unwrap();
    assert!(!said.is_empty());
    assert!(!is_there().await, "{part} is away");
    until(part, &is_there).await;
    assert!(begun.elapsed() >= AWAY, "{part} was back too early");

    cluster.take_away(part, FOR_EVER).await.unwrap();
    assert!(!is_there().await, "{part} is away");
    cluster.give_back(part).await.unwrap();
    cluster.give_back(part).await.unwrap();
    until(part, &is_there).await;
    println!("  {part}: away and back");
}

async fn until<F: Future<Output = bool>>(what: &Part, is_there: &impl Fn() -> F) {
    let back = async { while !is_there().await {} };
    let in_time = tokio::time::timeout(BACK, back).await;
    assert!(in_time.is_ok(), "{what} did not come back");
}

/// The API server reads from its database within a second.
async fn reads(cluster: &LocalCluster) -> bool {
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let read = namespaces.get("kube-system");
    matches!(
        tokio::time::timeout(Duration::from_secs(1), read).await,
        Ok(Ok(_))
    )
}

/// After the time, and as soon as whoever wanted it is gone.
async fn objects_are_put_back(cluster: &LocalCluster) {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let map = json!({"metadata": {"name": "broken"}, "data": {"it": "is away"}});
    let map = serde_json::from_value(map).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let put_back = |value: &str| Change {
        path: "/api/v1/namespaces/default/configmaps/broken".to_owned(),
        patch: json!({"data": {"it": value}}),
    };
    let shows = async |value: &str| {
        let back =
            async { while maps.get("broken").await.unwrap().data.unwrap()["it"] != value {} };
        let in_time = tokio::time::timeout(BACK, back).await;
        assert!(in_time.is_ok(), "it never is {value}");
    };
    let kubeconfig = cluster.kubeconfig().expect("the cluster is ours");
    let changes = vec![put_back("back in time")];
    let mut in_time = Healer::start(kubeconfig, changes, Duration::from_millis(100))
        .await
        .unwrap();
    shows("back in time").await;
    in_time.heal().await.unwrap();

    let changes = vec![put_back("back at once")];
    let healer = Healer::start(kubeconfig, changes, FOR_EVER).await.unwrap();
    assert_eq!(
        maps.get("broken").await.unwrap().data.unwrap()["it"],
        "back in time"
    );
    drop(healer);
    shows("back at once").await;
}
