//! What a Kubernetes user knows of pods, on the local cluster: reasons, events, restarts, ends, volumes, logs.

use crate::execute::programs_are_executed;
use crate::figures::what_containers_use_is_told;
use crate::forward::ports_are_forwarded;
use crate::limits::{groups_of, limits_are_in_force_or_the_node_says_why_not};
use crate::stage::Stage;
use crate::volumes::{keys_on_disks_are_found, volumes_are_as_in_kubernetes};
use crate::workload::{IMAGE, PORT, SECRET};
use futures::io::AsyncBufReadExt as _;
use futures::{StreamExt as _, TryStreamExt as _};
use harness_cluster::local::LocalCluster;
use harness_cluster::{Cluster as _, ImageArchive, exposure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Event, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn pods_are_as_in_kubernetes(stage: &Stage) {
    stage.block_on(async {
        let cluster = stage.up("pods", "one-zone").await;
        let archive = stage.workload();
        let image = ImageArchive {
            archive,
            reference: IMAGE.to_owned(),
        };
        cluster.load_images(&[image]).await.unwrap();
        let client = cluster.client();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        within(await_condition(
            accounts,
            "default",
            |account: Option<&ServiceAccount>| account.is_some(),
        ))
        .await
        .unwrap();
        let pods = Pods(client.clone());
        tokio::join!(
            a_crashing_container_backs_off(&pods),
            an_image_that_is_not_there_is_named(&pods),
            a_failing_probe_is_told(&pods),
            who_ignores_sigterm_is_killed_after_its_grace(&pods),
            who_has_no_grace_gets_no_sigterm(&pods),
            sidecars_end_after_the_main_container(&pods),
            a_sidecar_has_time_to_end_when_the_grace_is_used_up(&pods),
            a_config_map_is_followed(&pods),
            a_lease_is_renewed(&pods),
            programs_are_executed(&pods),
            what_containers_use_is_told(&pods),
            ports_are_forwarded(&pods, cluster.kubeconfig().unwrap()),
            limits_are_in_force_or_the_node_says_why_not(&pods, "pods"),
            volumes_are_as_in_kubernetes(&pods),
        );
        keys_on_disks_are_found(&pods, &cluster).await;
        diagnostics_tell_why_and_no_secrets(&pods, &cluster).await;
        assert_eq!(cluster.down().await, Vec::<String>::new());
        assert_eq!(groups_of("pods"), Vec::<PathBuf>::new());
    });
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, work).await else {
        panic!("not within {PATIENCE:?}")
    };
    done
}

/// The pods of the namespace `default`.
pub(crate) struct Pods(kube::Client);

impl Pods {
    pub(crate) fn client(&self) -> kube::Client {
        self.0.clone()
    }

    pub(crate) fn api(&self) -> Api<Pod> {
        Api::namespaced(self.0.clone(), "default")
    }

    /// Makes a pod of one container `main` with these arguments; `more` is merged into its specification, and
    /// `main` into the container's.
    pub(crate) async fn make(&self, name: &str, arguments: &[&str], more: Value, main: Value) {
        let mut container = json!({"name": "main", "image": IMAGE, "args": arguments});
        merge(&mut container, main);
        let mut spec = json!({
            "containers": [container], "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
        });
        merge(&mut spec, more);
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        let pod = serde_json::from_value(pod).unwrap();
        let made = self.api().create(&PostParams::default(), &pod).await;
        made.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        let parameters = DeleteParams::default();
        self.api().delete(name, &parameters).await.unwrap();
    }

    /// Waits until the pod's first container is so.
    pub(crate) async fn main_is(
        &self,
        name: &str,
        is: impl Fn(&ContainerStatus) -> bool,
    ) -> ContainerStatus {
        let main = |pod: Option<&Pod>| {
            let status = pod?.status.as_ref()?;
            status.container_statuses.as_ref()?.first().cloned()
        };
        let condition = |pod: Option<&Pod>| main(pod).is_some_and(|main| is(&main));
        let pod = within(await_condition(self.api(), name, condition)).await;
        main(pod.unwrap().as_ref()).unwrap()
    }

    pub(crate) async fn waits_because(&self, name: &str, reason: &str) {
        self.main_is(name, |main| waiting(main) == Some(reason))
            .await;
    }

    pub(crate) async fn runs(&self, name: &str) {
        let running = |main: &ContainerStatus| {
            let state = main.state.as_ref();
            state.is_some_and(|state| state.running.is_some())
        };
        self.main_is(name, running).await;
    }

    /// Waits for an event about the pod; its message.
    pub(crate) async fn event(&self, pod: &str, reason: &str) -> String {
        let events: Api<Event> = Api::namespaced(self.0.clone(), "default");
        let seen = watcher(events, watcher::Config::default()).applied_objects();
        let wanted = seen.try_filter(|event| {
            let matches = event.involved_object.name.as_deref() == Some(pod)
                && event.reason.as_deref() == Some(reason);
            std::future::ready(matches)
        });
        let mut wanted = std::pin::pin!(wanted);
        let event = within(wanted.next()).await.unwrap().unwrap();
        event.message.unwrap_or_default()
    }
}

fn merge(into: &mut Value, from: Value) {
    let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) else {
        panic!("only objects")
    };
    into.extend(from);
}

fn waiting(container: &ContainerStatus) -> Option<&str> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    waiting.reason.as_deref()
}

async fn a_crashing_container_backs_off(pods: &Pods) {
    pods.make(
        "crashing",
        &["exit", "3", "last words"],
        json!({}),
        json!({}),
    )
    .await;
    let main = pods
        .main_is("crashing", |main| {
            main.restart_count >= 2 && waiting(main) == Some("CrashLoopBackOff")
        })
        .await;
    let ended = main.last_state.unwrap().terminated.unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.unwrap().as_str()),
        (3, "Error")
    );
    assert!(!main.ready && main.started == Some(false));
    let said = pods.event("crashing", "BackOff").await;
    assert!(said.contains("restarting failed container"), "{said}");
    let previous = LogParams {
        previous: true,
        ..LogParams::default()
    };
    let log = pods.api().logs("crashing", &previous).await.unwrap();
    assert_eq!(log, "last words\n");
}

async fn an_image_that_is_not_there_is_named(pods: &Pods) {
    let image = json!({"image": "nowhere/none:1"});
    pods.make("unknown", &[], json!({}), image.clone()).await;
    pods.waits_because("unknown", "ImagePullBackOff").await;
    let said = pods.event("unknown", "Failed").await;
    assert!(said.contains("nowhere/none:1"), "{said}");
    pods.event("unknown", "BackOff").await;

    let mut never = image;
    merge(&mut never, json!({"imagePullPolicy": "Never"}));
    pods.make("never", &[], json!({}), never).await;
    pods.waits_because("never", "ErrImageNeverPull").await;
    pods.event("never", "ErrImageNeverPull").await;
}

async fn a_failing_probe_is_told(pods: &Pods) {
    let probe = json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1});
    let unready = json!({"readinessProbe": probe});
    pods.make("unready", &["hold"], json!({}), unready).await;
    pods.runs("unready").await;
    let said = pods.event("unready", "Unhealthy").await;
    assert!(said.starts_with("Readiness probe failed: "), "{said}");

    let dead = json!({"livenessProbe": probe});
    pods.make("dead", &["hold"], json!({}), dead).await;
    let said = pods.event("dead", "Killing").await;
    assert!(said.contains("failed liveness probe"), "{said}");
    let restarted = |main: &ContainerStatus| main.restart_count >= 1;
    let main = pods.main_is("dead", restarted).await;
    // It ignores SIGTERM, so it was killed at the end of its grace.
    let ended = main.last_state.unwrap().terminated.unwrap();
    assert_eq!(ended.exit_code, 137);
}

async fn who_ignores_sigterm_is_killed_after_its_grace(pods: &Pods) {
    let grace = |seconds: u32| json!({"terminationGracePeriodSeconds": seconds});
    pods.make("stubborn", &["hold"], grace(2), json!({})).await;
    let ready = json!({"readinessProbe": {"tcpSocket": {"port": PORT}}});
    pods.make("obedient", &["obey"], grace(60), ready).await;
    let end = |name: &'static str| async move {
        pods.main_is(name, |main| main.ready).await;
        let start = Instant::now();
        pods.delete(name).await;
        let gone = |pod: Option<&Pod>| pod.is_none();
        within(await_condition(pods.api(), name, gone))
            .await
            .unwrap();
        start.elapsed()
    };
    let (stubborn, obedient) = tokio::join!(end("stubborn"), end("obedient"));
    assert!(stubborn >= Duration::from_secs(2), "{stubborn:?}");
    assert!(obedient < Duration::from_secs(50), "{obedient:?}");
}

async fn who_has_no_grace_gets_no_sigterm(pods: &Pods) {
    let ready = json!({"readinessProbe": {"tcpSocket": {"port": PORT}}});
    let last_words = |name: &'static str, grace: u32| {
        let ready = ready.clone();
        async move {
            pods.make(name, &["obey"], json!({}), ready).await;
            pods.main_is(name, |main| main.ready).await;
            let follow = LogParams {
                follow: true,
                ..LogParams::default()
            };
            let log = pods.api().log_stream(name, &follow).await.unwrap();
            let parameters = DeleteParams::default().grace_period(grace);
            pods.api().delete(name, &parameters).await.unwrap();
            let lines: Vec<String> = within(log.lines().try_collect()).await.unwrap();
            lines
        }
    };
    let (asked, killed) = tokio::join!(last_words("asked", 60), last_words("killed", 0));
    assert_eq!(asked, ["obeyed"]);
    assert_eq!(killed, Vec::<String>::new());
}

async fn sidecars_end_after_the_main_container(pods: &Pods) {
    let sidecar = json!({
        "name": "side", "image": IMAGE, "args": ["obey"], "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": PORT}},
    });
    let spec = json!({
        "restartPolicy": "Never", "initContainers": [sidecar], "terminationGracePeriodSeconds": 60,
    });
    pods.make("with-sidecar", &["exit", "0", "done"], spec, json!({}))
        .await;
    let over = |pod: Option<&Pod>| {
        let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
        phase == Some("Succeeded")
    };
    let pod = within(await_condition(pods.api(), "with-sidecar", over)).await;
    let status = pod.unwrap().unwrap().status.unwrap();
    let end = |statuses: Option<Vec<ContainerStatus>>| {
        let ended = statuses.unwrap()[0]
            .state
            .clone()
            .unwrap()
            .terminated
            .unwrap();
        (ended.exit_code, ended.finished_at.unwrap())
    };
    let side = end(status.init_container_statuses);
    let main = end(status.container_statuses);
    assert_eq!((side.0, main.0), (0, 0));
    assert!(side.1.0 >= main.1.0, "{side:?} {main:?}");
}

async fn a_sidecar_has_time_to_end_when_the_grace_is_used_up(pods: &Pods) {
    let sidecar = json!({
        "name": "side", "image": IMAGE, "args": ["obey"], "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": PORT}},
    });
    let spec = json!({"initContainers": [sidecar]});
    pods.make("late", &["hold"], spec, json!({})).await;
    pods.main_is("late", |main| main.ready).await;
    let config = watcher::Config::default().fields("metadata.name=late");
    let mut seen = std::pin::pin!(watcher(pods.api(), config));
    let mut listed = false;
    while !listed {
        let event = within(seen.next()).await.unwrap().unwrap();
        listed = matches!(event, watcher::Event::InitDone);
    }
    pods.delete("late").await;
    let ended = |pod: &Pod| {
        let status = pod
            .status
            .as_ref()?
            .init_container_statuses
            .as_ref()?
            .first()?;
        Some(status.state.as_ref()?.terminated.as_ref()?.exit_code)
    };
    let mut status = None;
    loop {
        match within(seen.next()).await.unwrap().unwrap() {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                status = ended(&pod).or(status);
            }
            watcher::Event::Delete(pod) => {
                status = ended(&pod).or(status);
                break;
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }
    assert_eq!(status, Some(0), "143 or 137: it was killed");
}

async fn a_config_map_is_followed(pods: &Pods) {
    let maps: Api<ConfigMap> = Api::namespaced(pods.0.clone(), "default");
    let map = json!({"metadata": {"name": "shown"}, "data": {"key": "one"}});
    let map = serde_json::from_value(map).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let volume = json!({"volumes": [{"name": "config", "configMap": {"name": "shown"}}]});
    let mount = json!({"volumeMounts": [{"name": "config", "mountPath": "/config"}]});
    pods.make("reader", &["show", "/config/key"], volume, mount)
        .await;
    pods.runs("reader").await;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let log = pods.api().log_stream("reader", &follow).await.unwrap();
    let mut lines = std::pin::pin!(log.lines());
    assert_eq!(within(lines.next()).await.unwrap().unwrap(), "one");
    let change = Patch::Merge(json!({"data": {"key": "two"}}));
    maps.patch("shown", &PatchParams::default(), &change)
        .await
        .unwrap();
    assert_eq!(within(lines.next()).await.unwrap().unwrap(), "two");
}

async fn a_lease_is_renewed(pods: &Pods) {
    let leases: Api<Lease> = Api::namespaced(pods.0.clone(), "kube-node-lease");
    let renewed = |lease: Option<&Lease>| lease?.spec.as_ref()?.renew_time.clone();
    let first = leases.get("zone-a-1").await.unwrap();
    let first = renewed(Some(&first)).unwrap();
    let later = |lease: Option<&Lease>| renewed(lease).is_some_and(|now| now.0 > first.0);
    within(await_condition(leases, "zone-a-1", later))
        .await
        .unwrap();
}

async fn diagnostics_tell_why_and_no_secrets(pods: &Pods, cluster: &LocalCluster) {
    pods.make("teller", &["tell-secret"], json!({}), json!({}))
        .await;
    pods.runs("teller").await;
    let follow = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let log = pods.api().log_stream("teller", &follow).await.unwrap();
    let mut lines = std::pin::pin!(log.lines());
    while within(lines.next()).await.unwrap().unwrap() != "after it" {}

    let folder = tempfile::tempdir().unwrap();
    cluster.collect_diagnostics(folder.path()).await.unwrap();
    let of = |file: &str| {
        let path = folder.path().join("pods/default").join(file);
        std::fs::read_to_string(&path).unwrap()
    };
    let why = of("crashing/description.txt");
    assert!(why.contains("before  ended with 3"), "{why}");
    assert!(why.contains(" BackOff x"), "{why}");
    let why = of("unknown/description.txt");
    assert!(why.contains("nowhere/none:1"), "{why}");
    let log = of("crashing/main.previous.log");
    assert!(log.ends_with(" last words\n"), "{log}");
    let log = of("teller/main.log");
    assert!(log.contains("[private key removed]"), "{log}");
    assert!(log.ends_with(" after it\n"), "{log}");
    no_secret_in(folder.path());
    let (client, namespaces) = (cluster.client(), ["default".to_owned()]);
    let search = exposure::keys_in_logs(&client, &namespaces).await;
    assert_eq!(search.found, ["the log of default/teller/main"]);
    assert!(search.not_searched.is_empty(), "{search:?}");

    // Killed as the act `podKill` does it: the API knows nothing of it any more, and its node has what it wrote.
    let beforehand = Timestamp::now();
    let at_once = DeleteParams::default().grace_period(0);
    let uid = pods
        .api()
        .get("teller")
        .await
        .unwrap()
        .metadata
        .uid
        .unwrap();
    pods.api().delete("teller", &at_once).await.unwrap();
    within(await_condition(pods.api(), "teller", is_deleted(&uid)))
        .await
        .unwrap();
    let search = exposure::keys_in_logs(&client, &namespaces).await;
    assert_eq!(search, exposure::Search::default());
    let gone = ["the log of default/teller/main, which is gone"];
    // The API server forgets it at once, the node only when its processes have ended.
    let kept = async {
        loop {
            let search = exposure::keys_in_kept_logs(&client, &namespaces, beforehand).await;
            assert!(search.not_searched.is_empty(), "{search:?}");
            if !search.found.is_empty() {
                return search.found;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(within(kept).await, gone);
    let others = ["another".to_owned()];
    let search = exposure::keys_in_kept_logs(&client, &others, beforehand).await;
    assert_eq!(search, exposure::Search::default());
    // What ended before is no matter of this run.
    let search = exposure::keys_in_kept_logs(&client, &namespaces, Timestamp::now()).await;
    assert_eq!(search, exposure::Search::default());
}

fn no_secret_in(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_secret_in(&path);
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let found = text.contains(SECRET) || text.contains("PRIVATE KEY");
        assert!(!found, "a key is in {}", path.display());
    }
}
