//! Tests of the cluster of somebody else, on an API server in memory.

use super::fake_api::FakeApi;
use super::*;
use futures::FutureExt as _;
use serde_json::json;

fn kubeconfig(current: &str) -> Kubeconfig {
    Kubeconfig::from_yaml(&format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current}\ncontexts:\n  - {{name: a, context: {{cluster: a, user: a}}}}\n  - {{name: b, context: {{cluster: b, user: b}}}}\n"
    ))
    .unwrap()
}

#[test]
fn the_named_context_is_used_else_the_current_one_and_a_wrong_one_is_answered_with_those_there_are()
{
    assert_eq!(context(&kubeconfig("a"), None).unwrap(), "a");
    assert_eq!(context(&kubeconfig("a"), Some("b")).unwrap(), "b");
    let wrong = context(&kubeconfig("a"), Some("c")).unwrap_err();
    assert!(wrong.hint.unwrap().contains("a, b"));
    let none = context(&kubeconfig("\"\""), None).unwrap_err();
    assert!(none.hint.unwrap().contains("--context"));
}

#[test]
fn contexts_become_names() {
    assert_eq!(as_name("kind-Dev_1"), "kind-dev-1");
    assert_eq!(as_name("arn:aws:eks"), "arn-aws-eks");
    assert_eq!(as_name("@"), "existing");
}

/// The cluster of this API server, held.
async fn held(server: &Arc<FakeApi>) -> Arc<ExistingCluster> {
    let client = server.client();
    let lease = Held::take(&client, "r1", &mut |_: &str| ()).await.unwrap();
    Arc::new(ExistingCluster {
        client: lease.gated(&client),
        topology: crate::topology::load("one-zone").unwrap(),
        service_cidr: String::new(),
        run: "r1".to_owned(),
        registry: None,
        unseen: BTreeSet::from(["list cronjobs.batch".to_owned()]),
        lease: std::sync::Mutex::new(Some(lease)),
    })
}

/// A namespace of ours with something in it that does not go.
fn with_what_stays() -> Arc<FakeApi> {
    let metadata = json!({
        "name": "mesh-system", "uid": "1", "resourceVersion": "1", "labels": { RUN_LABEL: "r1" },
    });
    Arc::new(FakeApi {
        stuck: [("namespaces", metadata)].into(),
        ..FakeApi::default()
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_left_when_the_lease_was_lost_before_the_end_is_told_as_the_loss() {
    let server = with_what_stays();
    let cluster = held(&server).await;
    server.delete_lease();
    let reason = cluster.lost().await;
    assert_eq!(Arc::clone(&cluster).down().await, Vec::<String>::new());
    let known = cluster.lost().now_or_never().expect("it is still lost");
    let words = |error: ClusterError| error.source.unwrap().to_string();
    assert!(words(reason).contains("somebody deleted the Lease"));
    assert!(words(known).contains("somebody deleted the Lease"));
    assert_eq!(*server.listed.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_while_everything_is_removed_ends_the_removal_and_is_told() {
    let server = with_what_stays();
    let cluster = held(&server).await;
    let began = tokio::time::Instant::now();
    let down = tokio::spawn(Arc::clone(&cluster).down());
    server.delete_lease();
    assert_eq!(down.await.unwrap(), Vec::<String>::new());
    assert!(
        began.elapsed() < REMOVAL,
        "nobody waits for what is not ours any more"
    );
    assert!(cluster.lost().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_while_the_lease_is_ours_is_told_and_nothing_is_lost() {
    let server = with_what_stays();
    let cluster = held(&server).await;
    let left = Arc::clone(&cluster).down().await;
    assert_eq!(left, ["Namespace mesh-system: still there after 180 s"]);
    assert!(cluster.lost().now_or_never().is_none());
    assert!(server.lease.lock().unwrap().is_none(), "it is given back");
}

#[tokio::test(start_paused = true)]
async fn kinds_that_may_not_be_listed_are_told_before_the_run_and_not_as_left_at_its_end() {
    let server = Arc::new(FakeApi {
        forbidden: ["cronjobs"].into(),
        ..FakeApi::default()
    });
    let mut said = Vec::new();
    let client = server.client();
    let mut progress = |line: &str| said.push(line.to_owned());
    let unseen = remove_dead(&client, &mut progress).await.unwrap();
    assert_eq!(unseen, ["list cronjobs.batch".to_owned()].into());
    let [line] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(
        line.ends_with("lacks the rights to list cronjobs.batch"),
        "{line}"
    );
    assert_eq!(held(&server).await.down().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_taken_away_during_the_run_leaves_nobody_knowing_what_is_left() {
    let server = Arc::new(FakeApi {
        forbidden: ["cronjobs", "secrets"].into(),
        ..FakeApi::default()
    });
    let left = held(&server).await.down().await;
    assert_eq!(left, ["unknown: the right to list secrets is missing"]);
}
