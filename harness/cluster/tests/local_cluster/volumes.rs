//! Volumes as a Kubernetes user knows them: what a host path must be, what part of a volume may be mounted, and what is told
//! when it cannot be.

use crate::pods::{Pods, within};
use crate::workload::IMAGE;
use futures::StreamExt as _;
use futures::io::AsyncBufReadExt as _;
use harness_cluster::Cluster as _;
use harness_cluster::exposure::Search;
use harness_cluster::local::LocalCluster;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus};
use kube::Api;
use kube::api::{LogParams, PostParams};
use serde_json::{Value, json};
use std::path::PathBuf;

pub(crate) async fn volumes_are_as_in_kubernetes(pods: &Pods) {
    let disk = [
        "folder:/disk/folder",
        "file:/disk/file=on the disk",
        "socket:/disk/socket",
    ];
    let links = [
        "link:/disk/to-file=/test/file",
        "link:/disk/out=../../../..",
    ];
    let arguments = [&["make"], &disk[..], &links[..]].concat();
    let (volume, mount) = host_path("/test", "DirectoryOrCreate");
    pods.make("disk-maker", &arguments, volume, mount).await;
    assert_eq!(first_line(pods, "disk-maker").await, "made");
    tokio::join!(
        host_paths_must_be_of_their_type(pods),
        a_host_path_that_comes_later_is_mounted(pods),
        parts_of_volumes_stay_inside(pods),
        expressions_name_parts_of_volumes(pods),
        volumes_of_objects_are_read_only(pods),
    );
}

/// Also in what is mounted for the node alone, as `/run` is.
pub(crate) async fn keys_on_disks_are_found(pods: &Pods, cluster: &LocalCluster) {
    let folders = ["/run/agent", "/nowhere"].map(PathBuf::from);
    let keyless = [
        "make",
        "file:/disk/certificate=none",
        "socket:/disk/socket",
        "link:/disk/out=/test",
    ];
    let (volume, mount) = host_path("/run/agent", "DirectoryOrCreate");
    pods.make("keyless", &keyless, volume.clone(), mount.clone())
        .await;
    assert_eq!(first_line(pods, "keyless").await, "made");
    assert_eq!(cluster.keys_on_disks(&folders).await, Search::default());
    let keeps = ["make", "folder:/disk/deep", "key:/disk/deep/last"];
    pods.make("key-keeper", &keeps, volume, mount).await;
    assert_eq!(first_line(pods, "key-keeper").await, "made");
    let keeper = pods.api().get("key-keeper").await.unwrap();
    let node = keeper.spec.unwrap().node_name.unwrap();
    let search = cluster.keys_on_disks(&folders).await;
    assert_eq!(search.found, [format!("{node}:/run/agent/deep/last")]);
    assert!(search.not_searched.is_empty(), "{search:?}");
}

/// The fields of a pod and of its container that mount a host path at `/disk`.
fn host_path(path: &str, kind: &str) -> (Value, Value) {
    let source = json!({"path": path, "type": kind});
    (
        json!({"volumes": [{"name": "disk", "hostPath": source}]}),
        json!({"volumeMounts": [{"name": "disk", "mountPath": "/disk"}]}),
    )
}

async fn first_line(pods: &Pods, name: &str) -> String {
    pods.runs(name).await;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let log = pods.api().log_stream(name, &follow).await.unwrap();
    let mut lines = std::pin::pin!(log.lines());
    within(lines.next()).await.unwrap().unwrap()
}

async fn host_paths_must_be_of_their_type(pods: &Pods) {
    let good = [
        ("/test/folder", "Directory"),
        ("/test/folder", "DirectoryOrCreate"),
        ("/test/new/folder", "DirectoryOrCreate"),
        ("/test/file", "File"),
        ("/test/to-file", "File"),
        ("/test/new-file", "FileOrCreate"),
        ("/test/socket", "Socket"),
        ("/test/socket", ""),
        ("/test/untyped", ""),
    ];
    let runs = good
        .iter()
        .enumerate()
        .map(|(number, (path, kind))| async move {
            let name = format!("good-path-{number}");
            let (volume, mount) = host_path(path, kind);
            pods.make(&name, &["hold"], volume, mount).await;
            pods.runs(&name).await;
        });
    let bad = [
        ("/test/file", "Directory", "directory"),
        ("/test/file", "DirectoryOrCreate", "directory"),
        ("/test/folder", "File", "file"),
        ("/test/folder", "FileOrCreate", "file"),
        ("/test/missing", "File", "file"),
        ("/test/file", "Socket", "socket file"),
        ("/test/file", "CharDevice", "character device"),
        ("/test/socket", "BlockDevice", "block device"),
        // On the node's disk there is nothing above `/`, so this leads to `/`, and to no `etc` of the machine.
        ("/test/out/etc/passwd", "File", "file"),
    ];
    let waits = bad
        .iter()
        .enumerate()
        .map(|(number, (path, kind, words))| async move {
            let name = format!("bad-path-{number}");
            let (volume, mount) = host_path(path, kind);
            pods.make(&name, &["hold"], volume, mount).await;
            let said = pods.event(&name, "FailedMount").await;
            let why = format!("hostPath type check failed: {path} is not a {words}");
            let expected = format!("MountVolume.SetUp failed for volume \"disk\" : {why}");
            assert_eq!(said, expected);
            pods.waits_because(&name, "ContainerCreating").await;
        });
    tokio::join!(
        futures::future::join_all(runs),
        futures::future::join_all(waits)
    );
}

async fn a_host_path_that_comes_later_is_mounted(pods: &Pods) {
    let (volume, mount) = host_path("/later/folder", "Directory");
    pods.make("early", &["hold"], volume, mount).await;
    pods.event("early", "FailedMount").await;
    let (volume, mount) = host_path("/later", "DirectoryOrCreate");
    pods.make("late", &["make", "folder:/disk/folder"], volume, mount)
        .await;
    pods.runs("early").await;
}

/// Makes a pod whose first container puts links into a volume, of which the second mounts a part.
async fn with_part(pods: &Pods, name: &str, links: &[&str], part: Value) {
    let mount = json!({"name": "data", "mountPath": "/data"});
    let arguments = [&["make-and-end", "file:/data/folder/file=inside"], links].concat();
    let first = json!({
        "name": "first", "image": IMAGE, "args": arguments, "volumeMounts": [mount],
    });
    let spec = json!({
        "volumes": [{"name": "data", "emptyDir": {}}], "initContainers": [first],
    });
    let mut mount = json!({"name": "data", "mountPath": "/part"});
    mount
        .as_object_mut()
        .unwrap()
        .extend(part.as_object().unwrap().clone());
    let environment = json!([
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "UP", "value": "folder/../.."},
    ]);
    let main = json!({"volumeMounts": [mount], "env": environment});
    pods.make(name, &["show", "/part/file"], spec, main).await;
}

/// Waits until a container cannot be made, and says why not.
async fn refused(pods: &Pods, name: &str) -> String {
    let why = |main: &ContainerStatus| {
        let waiting = main.state.as_ref()?.waiting.as_ref()?;
        let is_it = waiting.reason.as_deref() == Some("CreateContainerConfigError");
        waiting.message.clone().filter(|_| is_it)
    };
    let main = pods.main_is(name, |main| why(main).is_some()).await;
    let why = why(&main).unwrap();
    assert_eq!(pods.event(name, "Failed").await, format!("Error: {why}"));
    why
}

async fn parts_of_volumes_stay_inside(pods: &Pods) {
    let inside = async {
        let links = ["link:/data/near=folder", "link:/data/nearer=near/../near"];
        with_part(pods, "inside", &links, json!({"subPath": "nearer"})).await;
        assert_eq!(first_line(pods, "inside").await, "inside");
    };
    let outside = [
        ("absolute", vec!["link:/data/absolute=/etc"]),
        ("relative", vec!["link:/data/relative=../../../../.."]),
        ("relative/host", vec!["link:/data/relative=../../../.."]),
        (
            "first",
            vec![
                "link:/data/first=second",
                "link:/data/second=folder/up/..",
                "link:/data/folder/up=../..",
            ],
        ),
    ];
    let refusals = outside
        .iter()
        .enumerate()
        .map(|(number, (part, links))| async move {
            let name = format!("outside-{number}");
            with_part(pods, &name, links, json!({"subPath": part})).await;
            assert_eq!(
                refused(pods, &name).await,
                "failed to prepare subPath for volumeMount \"data\" of container \"main\"",
            );
        });
    tokio::join!(inside, futures::future::join_all(refusals));
}

async fn expressions_name_parts_of_volumes(pods: &Pods) {
    let own = async {
        let links = ["link:/data/own=folder"];
        with_part(pods, "own", &links, json!({"subPathExpr": "$(POD)"})).await;
        assert_eq!(first_line(pods, "own").await, "inside");
    };
    let refusal = |name: &'static str, expression: &'static str| async move {
        with_part(pods, name, &[], json!({"subPathExpr": expression})).await;
        refused(pods, name).await
    };
    let ((), missing, upwards) = tokio::join!(
        own,
        refusal("missing", "$(NONE)/$(POD)"),
        refusal("upwards", "$(UP)"),
    );
    assert_eq!(missing, "missing value for NONE");
    assert_eq!(
        upwards,
        "unable to provision SubPath `folder/../..`: must not contain '..'"
    );
}

async fn volumes_of_objects_are_read_only(pods: &Pods) {
    let maps: Api<ConfigMap> = Api::namespaced(pods.client(), "default");
    let map = json!({"metadata": {"name": "fixed"}, "data": {"key": "one"}});
    let map = serde_json::from_value(map).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let volume = json!({
        "volumes": [{"name": "config", "configMap": {"name": "fixed"}}], "restartPolicy": "Never",
    });
    let mount = json!({"volumeMounts": [{"name": "config", "mountPath": "/config"}]});
    let arguments = ["make", "link:/config/..new=/etc"];
    pods.make("writer", &arguments, volume, mount).await;
    let ended = |main: &ContainerStatus| {
        let ended = main.state.as_ref()?.terminated.as_ref()?;
        Some(ended.exit_code)
    };
    let main = pods.main_is("writer", |main| ended(main).is_some()).await;
    assert_ne!(ended(&main), Some(0));
    let log = pods
        .api()
        .logs("writer", &LogParams::default())
        .await
        .unwrap();
    assert!(log.contains("Read-only file system"), "{log}");
}
