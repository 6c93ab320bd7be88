//! Limits of containers, where this machine lets a cluster make control groups; elsewhere that the node says why not.

use crate::pods::{Pods, within};
use harness_cluster::figures;
use k8s_openapi::api::core::v1::{ContainerStatus, Node, NodeCondition};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(crate) async fn limits_are_in_force_or_the_node_says_why_not(pods: &Pods, cluster: &str) {
    let condition = condition(pods).await;
    let groups = groups_of(cluster);
    if condition.status != "True" {
        assert!(!groups_can_be_made(), "{condition:?}");
        assert!(groups.is_empty(), "{groups:?}");
        let message = condition.message.unwrap_or_default();
        assert!(
            message.starts_with("limits are not in force: "),
            "{message}"
        );
        return;
    }
    assert!(!groups.is_empty(), "nothing at {condition:?}");
    who_takes_more_memory_than_allowed_is_killed(pods).await;
    who_wants_more_time_than_allowed_waits(pods, &groups).await;
}

async fn condition(pods: &Pods) -> NodeCondition {
    let nodes: Api<Node> = Api::all(pods.client());
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    let status = nodes.items.into_iter().next().unwrap().status.unwrap();
    let mut conditions = status.conditions.unwrap().into_iter();
    conditions
        .find(|known| known.type_ == "ResourceLimits")
        .unwrap()
}

async fn who_takes_more_memory_than_allowed_is_killed(pods: &Pods) {
    let name = "greedy";
    let limited = json!({"resources": {"limits": {"memory": "24Mi"}}});
    pods.make(name, &["use", "0", "64"], json!({}), limited)
        .await;
    let killed = |main: &ContainerStatus| {
        let last = main.last_state.as_ref();
        last.and_then(|last| last.terminated.clone())
    };
    // More than once: the limit holds for each start anew.
    let main = pods
        .main_is(name, |main| {
            main.restart_count >= 2 && killed(main).is_some()
        })
        .await;
    let killed = killed(&main).unwrap();
    assert_eq!(killed.reason.as_deref(), Some("OOMKilled"), "{killed:?}");
    assert_eq!(killed.exit_code, 137);
    pods.delete(name).await;
    // Within its limit it runs.
    let name = "modest";
    let limited = json!({"resources": {"limits": {"memory": "64Mi"}}});
    pods.make(name, &["use", "0", "16"], json!({}), limited)
        .await;
    pods.runs(name).await;
    pods.delete(name).await;
}

/// Periods in which a tenth of a processor was given out, before anything is compared.
const PERIODS: u64 = 20;

async fn who_wants_more_time_than_allowed_waits(pods: &Pods, groups: &[PathBuf]) {
    let name = "busy";
    let limited = json!({"resources": {"limits": {"cpu": "100m"}}});
    pods.make(name, &["use", "1000000", "1"], json!({}), limited)
        .await;
    pods.runs(name).await;
    let pod = pods.api().get(name).await.unwrap();
    let (uid, node) = (
        pod.metadata.uid.unwrap(),
        pod.spec.unwrap().node_name.unwrap(),
    );
    let own = format!("{uid}-main-0");
    let group = groups.iter().map(|group| group.join(&own));
    let group = group
        .into_iter()
        .find(|group| group.join("cpu.stat").exists());
    let group = group.unwrap();
    let used = within(async {
        loop {
            let told = figures::of_node(&pods.client(), &node).await.unwrap();
            let used = told
                .iter()
                .find(|told| told.pod_uid == uid)
                .unwrap()
                .cpu_nanos;
            // Asked after what was used: more periods can only allow more.
            if stat(&group, "nr_periods ") >= PERIODS {
                return used;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let periods = stat(&group, "nr_periods ");
    // Hundredths of a second are what the clock tells, and what is over in one period is taken from the next.
    let allowed = (periods + 3) * 10_000_000;
    assert!(used <= allowed, "{used} ns in {periods} periods");
    assert!(stat(&group, "nr_throttled ") > 0);
    pods.delete(name).await;
}

fn stat(group: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(group.join("cpu.stat")).unwrap();
    let mut lines = text.lines();
    let number = lines.find_map(|line| line.strip_prefix(name)).unwrap();
    number.parse().unwrap()
}

/// Whether this process may make groups of version 1 where it is itself, found without asking meshproof. Of version 2
/// nothing is said.
fn groups_can_be_made() -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let here = |controller: &str| -> Option<PathBuf> {
        let group = own.lines().find_map(|line| {
            let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
            let is_it = controllers.split(',').any(|known| known == controller);
            is_it.then_some(group)
        })?;
        let hierarchy = Path::new("/sys/fs/cgroup").join(controller);
        Some(hierarchy.join(group.trim_start_matches('/')))
    };
    ["memory", "cpu"].into_iter().all(|controller| {
        let Some(folder) = here(controller) else {
            return false;
        };
        let try_out = folder.join(format!("test-of-limits-{}", std::process::id()));
        let made = std::fs::create_dir(&try_out).is_ok();
        if made {
            std::fs::remove_dir(&try_out).unwrap();
        }
        made
    })
}

/// The folders of the cluster's control groups, wherever they are.
pub(crate) fn groups_of(cluster: &str) -> Vec<PathBuf> {
    let begin = format!("meshproof-{cluster}-");
    let mut found = Vec::new();
    let mut folders = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(&begin) {
                found.push(entry.path());
            } else if depth < 8 {
                folders.push((entry.path(), depth + 1));
            }
        }
    }
    found
}
