//! The local cluster, really brought up: what it promises, and that nothing of it stays behind, however it ends.
//!
//! A program of its own instead of test functions, since it is re-executed as the cluster's roles and as a harness
//! that is killed. Everything happens in a temporary folder, so that runs do not meet each other.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it does"
)]

mod away;
mod execute;
mod figures;
mod forward;
mod limits;
mod pods;
mod stage;
mod volumes;
mod workload;

use harness_cluster::local::{self, LocalCluster};
use harness_cluster::{Cluster, PodAddress};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use nix::sys::signal::Signal;
use stage::{HarnessProcess, Stage, Trace};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name and body.
type Test = (&'static str, fn(&Stage));

const TESTS: [Test; 10] = [
    ("pods_are_as_in_kubernetes", pods::pods_are_as_in_kubernetes),
    (
        "zones_are_apart_and_can_be_cut_off",
        zones_are_apart_and_can_be_cut_off,
    ),
    (
        "what_is_taken_away_comes_back",
        away::what_is_taken_away_comes_back,
    ),
    (
        "two_clusters_stand_side_by_side",
        two_clusters_stand_side_by_side,
    ),
    (
        "clusters_of_one_topology_are_one_by_name",
        clusters_of_one_topology_are_one_by_name,
    ),
    (
        "a_cluster_that_is_up_early_becomes_ready",
        a_cluster_that_is_up_early_becomes_ready,
    ),
    (
        "a_kept_cluster_is_found_again",
        a_kept_cluster_is_found_again,
    ),
    (
        "a_killed_fabric_leaves_one_folder_that_is_swept",
        a_killed_fabric_leaves_one_folder_that_is_swept,
    ),
    (
        "a_killed_harness_leaves_nothing",
        a_killed_harness_leaves_nothing,
    ),
    (
        "a_kernel_without_user_namespaces_is_named",
        a_kernel_without_user_namespaces_is_named,
    ),
];

fn main() {
    harness_cluster::reexec();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        // None is ignored: a runner asks for those too, and skips whatever it is told then.
        Some("--list") if arguments.iter().any(|argument| argument == "--ignored") => {}
        Some("--list") => {
            for (name, _) in TESTS {
                println!("{name}: test");
            }
        }
        Some(stage::HARNESS_ROLE) => stage::be_a_harness(&arguments[1..]),
        Some(workload::ROLE) => workload::run(&arguments[1..]),
        Some(stage::FORBIDDEN_ROLE) => stage::be_forbidden(),
        Some(stage::INSIDE_ROLE) => {
            let stage = Stage::new();
            let wanted = |name: &str| {
                let filters = arguments[1..]
                    .iter()
                    .filter(|argument| !argument.starts_with('-'));
                let mut filters = filters.peekable();
                filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
            };
            for (name, test) in TESTS.into_iter().filter(|(name, _)| wanted(name)) {
                let start = Instant::now();
                let before = Trace::take(&stage);
                test(&stage);
                before.assert_unchanged(&stage);
                println!("test {name} ... ok ({:.1?})", start.elapsed());
            }
        }
        _ => stage::go_inside(&arguments),
    }
}

/// A pod's place as far as `connect` needs it; here it is a node's own kubelet port.
fn kubelet_of(node: &str, seen_from: &str) -> PodAddress {
    let zone = node.as_bytes()[5] - b'a';
    PodAddress {
        cluster: "one".to_owned(),
        namespace: "none".into(),
        name: node.into(),
        node: seen_from.into(),
        ip: format!("10.{}.255.1", 101 + zone),
    }
}

const KUBELET: u16 = 10250;

/// How long it takes to connect from one node to the kubelet of another: one round trip and a little.
async fn round_trip(cluster: &LocalCluster, from: &str, to: &str) -> Option<Duration> {
    let start = Instant::now();
    let target = kubelet_of(to, from);
    let connect = cluster.connect(&target, KUBELET);
    let connected = tokio::time::timeout(Duration::from_millis(500), connect).await;
    connected.ok()?.ok().map(|_| start.elapsed())
}

async fn best_of_ten(cluster: &LocalCluster, from: &str, to: &str) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..10 {
        best = best.min(round_trip(cluster, from, to).await.unwrap());
    }
    best
}

fn zones_are_apart_and_can_be_cut_off(stage: &Stage) {
    stage.block_on(async {
        let cluster = stage.up("zones", "three-zones").await;
        let fabric = stage::fabric("zones").unwrap();

        let near = best_of_ten(&cluster, "zone-a-1", "zone-b-1").await;
        let far = best_of_ten(&cluster, "zone-a-1", "zone-c-1").await;
        println!("  round trips: zone-a to zone-b {near:?}, zone-a to zone-c {far:?}");
        assert!(near >= Duration::from_millis(2), "1 ms each way: {near:?}");
        assert!(far >= Duration::from_millis(10), "5 ms each way: {far:?}");

        // The kernel heals the zone though the fabric, and so everything above it, stands still.
        let start = Instant::now();
        let duration = Duration::from_secs(2);
        cluster.cut_zone("zone-c", duration).await.unwrap();
        stage::signal(fabric, Signal::SIGSTOP);
        assert!(
            round_trip(&cluster, "zone-a-1", "zone-c-1").await.is_none(),
            "cut from outside"
        );
        assert!(
            round_trip(&cluster, "zone-c-1", "zone-a-1").await.is_none(),
            "cut from inside"
        );
        assert!(
            round_trip(&cluster, "zone-c-1", "zone-c-1").await.is_some(),
            "reached while cut off"
        );
        assert!(
            round_trip(&cluster, "zone-a-1", "zone-b-1").await.is_some(),
            "others are not cut off"
        );
        while round_trip(&cluster, "zone-a-1", "zone-c-1").await.is_none() {
            assert!(
                start.elapsed() < duration + Duration::from_secs(10),
                "never healed"
            );
        }
        assert!(
            start.elapsed() >= duration,
            "healed too early: {:?}",
            start.elapsed()
        );
        stage::signal(fabric, Signal::SIGCONT);

        // Healed early, and twice, and a zone that is not there.
        cluster
            .cut_zone("zone-b", Duration::from_secs(600))
            .await
            .unwrap();
        assert!(round_trip(&cluster, "zone-a-1", "zone-b-1").await.is_none());
        cluster
            .cut_zone("zone-b", Duration::from_secs(300))
            .await
            .unwrap();
        cluster.heal_zone("zone-b").await.unwrap();
        cluster.heal_zone("zone-b").await.unwrap();
        best_of_ten(&cluster, "zone-a-1", "zone-b-1").await;
        let error = cluster.cut_zone("zone-x", duration).await.unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("there are: zone-a, zone-b, zone-c")
        );

        let folder = tempfile::tempdir().unwrap();
        cluster.collect_diagnostics(folder.path()).await.unwrap();
        for name in [
            "logs/etcd.log",
            "logs/node-zone-a-1.log",
            "rules.nft",
            "nodes.json",
        ] {
            let length = std::fs::metadata(folder.path().join(name)).unwrap().len();
            assert!(length > 0, "{name} is empty");
        }
        assert_eq!(cluster.down().await, Vec::<String>::new());
    });
}

fn two_clusters_stand_side_by_side(stage: &Stage) {
    stage.block_on(async {
        let (one, two) = tokio::join!(stage.up("one", "one-zone"), stage.up("two", "one-zone"));
        let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
            kube::Api::all(one.client());
        let only_in_one = serde_json::json!({"metadata": {"name": "only-in-one"}});
        let only_in_one = serde_json::from_value(only_in_one).unwrap();
        namespaces
            .create(&kube::api::PostParams::default(), &only_in_one)
            .await
            .unwrap();
        let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
            kube::Api::all(two.client());
        assert!(namespaces.get_opt("only-in-one").await.unwrap().is_none());

        let again = stage.try_up("one", "one-zone").await.unwrap_err();
        assert!(again.hint.unwrap().contains("cluster down one"));
        let (one, two) = tokio::join!(one.down(), two.down());
        assert_eq!(one, Vec::<String>::new());
        assert_eq!(two, Vec::<String>::new());
    });
}

fn clusters_of_one_topology_are_one_by_name(stage: &Stage) {
    stage.block_on(async {
        let options = stage::options("duo", "two-clusters", true);
        let clusters = local::up(options, |_| {}).await.unwrap();
        let mut addresses = Vec::new();
        for (cluster, node) in clusters.all().iter().zip(["zone-a-1", "zone-d-1"]) {
            let nodes: Api<Node> = Api::all(cluster.client());
            let node = nodes.get(node).await.unwrap();
            let status = node.status.unwrap();
            let mut address = status.addresses.into_iter().flatten();
            addresses.push((node.spec.unwrap().pod_cidr, address.next().unwrap().address));
        }
        assert_eq!(addresses.len(), 2);
        assert_eq!(addresses[0], addresses[1], "neither knows of the other");
        drop(clusters);

        let kept = local::kept();
        let names: Vec<_> = kept.iter().map(|kept| kept.name.as_str()).collect();
        assert_eq!(names, ["duo"]);
        assert_eq!(kept[0].clusters, ["duo-east", "duo-west"]);
        let trips = local::round_trips("duo-east").await.unwrap();
        assert_eq!(trips.len(), 3, "of three data centers");
        for trip in trips {
            assert_eq!(trip.configured, Duration::from_millis(2));
            assert!(trip.measured.unwrap() >= trip.configured);
        }
        let attached = local::attach("duo").await.unwrap();
        assert_eq!(attached.all().len(), 2);
        assert!(local::remove_kept("duo").await.is_err(), "it is in use");
        drop(attached);
        assert_eq!(
            local::remove_kept("duo").await.unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(local::kept(), []);
    });
}

fn a_cluster_that_is_up_early_becomes_ready(stage: &Stage) {
    stage.block_on(async {
        let options = local::Options {
            early: true,
            ..stage::options("early", "one-zone", false)
        };
        let mut steps = Vec::new();
        let up = LocalCluster::up(options, |step| steps.push(step.to_owned())).await;
        let cluster = Arc::new(up.unwrap());
        assert!(steps.iter().any(|step| step == "every node is ready"));
        assert!(
            !steps.iter().any(|step| step == "kube-apiserver is ready"),
            "it was waited for: {steps:?}"
        );
        cluster.wait_until_ready().await.unwrap();
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        let said = cluster.client().request_text(request).await.unwrap();
        assert_eq!(said, "ok");
        // What it is ready with.
        let roles: Api<ClusterRole> = Api::all(cluster.client());
        assert!(roles.get_opt("view").await.unwrap().is_some());
        assert_eq!(cluster.down().await, Vec::<String>::new());
    });
}

fn a_kept_cluster_is_found_again(stage: &Stage) {
    let harness = HarnessProcess::start("kept", "keep");
    harness.wait_for("ready");
    drop(harness);
    stage.block_on(async {
        let listed = local::list();
        assert_eq!(listed.len(), 1);
        let topology = listed[0].topology.as_ref();
        assert!(listed[0].running && topology.is_some_and(|found| found.name == "one-zone"));
        assert!(local::sweep().is_empty(), "a living cluster is not swept");
        let cluster = LocalCluster::attach("kept").await.unwrap();
        best_of_ten(&cluster, "zone-a-1", "zone-a-1").await;
        drop(cluster);
        let cluster = Arc::new(LocalCluster::attach("kept").await.unwrap());
        assert_eq!(cluster.down().await, Vec::<String>::new());
        let error = LocalCluster::attach("kept").await.unwrap_err();
        assert!(error.hint.unwrap().contains("cluster up"));
    });
}

fn a_killed_fabric_leaves_one_folder_that_is_swept(stage: &Stage) {
    stage.block_on(async {
        let cluster = stage.up("victim", "one-zone").await;
        let fabric = stage::fabric("victim").unwrap();
        let trace = Trace::of(fabric);
        stage::signal(fabric, Signal::SIGKILL);
        trace.wait_until_gone();
        let listed = local::list();
        assert!(listed.len() == 1 && !listed[0].running);
        let folder = listed[0].folder.clone();
        assert_eq!(local::sweep(), vec![folder]);
        assert_eq!(cluster.down().await, Vec::<String>::new());

        // The next cluster of that name sweeps by itself.
        let cluster = stage.up("victim", "one-zone").await;
        stage::signal(stage::fabric("victim").unwrap(), Signal::SIGKILL);
        drop(cluster);
        let cluster = stage.up("victim", "one-zone").await;
        assert_eq!(cluster.down().await, Vec::<String>::new());
    });
}

fn a_killed_harness_leaves_nothing(stage: &Stage) {
    let phases = [
        "",
        "starting etcd",
        "starting the routers",
        "kube-apiserver serves",
        "every node is ready",
        "kube-apiserver is ready",
        "ready",
        "down",
    ];
    // An early one has the same phases: it waits by itself until the API server is ready.
    for end in ["down", "early"] {
        for phase in phases {
            let harness = HarnessProcess::start("killed", end);
            if !phase.is_empty() {
                harness.wait_for(phase);
            }
            let trace = harness.kill();
            trace.wait_until_gone();
            stage.wait_until_empty();
            println!("  {end}: killed at `{phase}`, nothing left");
        }
    }
}

fn a_kernel_without_user_namespaces_is_named(_: &Stage) {
    let said = stage::forbidden();
    assert!(said.contains("start the cluster's fabric"), "{said}");
    assert!(said.contains("max_user_namespaces"), "{said}");
}
