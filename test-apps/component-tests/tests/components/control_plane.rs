//! The control plane's image, with a real API server and its store.

use component_tests::control_plane::ControlPlane;
use component_tests::kubernetes::{Kubernetes, apply};
use component_tests::session::with_engine;
use component_tests::wait;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use mesh_api::{PolicyConfig, PolicyConfigStatus, ScopeConfig};
use serde_json::{Value, json};
use std::time::Duration;

/// For the control plane to notice something, or to do what it is there for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where workloads, scopes and policies are.
const NAMESPACE: &str = "mesh-workloads";

#[tokio::test(flavor = "multi_thread")]
async fn with_its_least_rights_it_is_ready_serves_metrics_and_writes_status() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let (control_plane, token) = ControlPlane::deployed(session, &kubernetes).await;
        assert_eq!(
            control_plane.answer("/readyz").await,
            Ok((200, "ready".to_owned()))
        );

        let before = control_plane.watch_failures().await;

        // Its token is good for what it needs, which it has just shown, and for nothing else.
        let own = kubernetes.client(&token).await.expect("a client");
        let secrets: Api<Secret> = Api::namespaced(own, "mesh-system");
        match secrets.list(&ListParams::default()).await {
            Err(kube::Error::Api(refusal)) => assert_eq!(refusal.code, 403, "{refusal:?}"),
            other => panic!("it reads Secrets: {other:?}"),
        }

        let client = kubernetes.administrator().await.expect("a client");
        make_workload(&client).await;
        let status = written(&client, "first").await;
        assert_eq!((status.matched, status.delivered), (1, 0), "{status:?}");
        let condition = |name: &str| {
            let found = status
                .conditions
                .iter()
                .find(|condition| condition.type_ == name);
            found.map(|condition| (condition.status.as_str(), condition.reason.as_str()))
        };
        assert_eq!(condition("ScopeResolved"), Some(("True", "Found")));
        // No sidecar is connected here.
        assert_eq!(condition("Ready"), Some(("False", "Pending")));

        let writes = control_plane
            .metric("mesh_control_plane_status_writes_total")
            .await;
        assert!(
            writes.as_ref().is_ok_and(|writes| *writes >= 2),
            "{writes:?}"
        );
        assert_eq!(
            control_plane.watch_failures().await,
            before,
            "{}",
            control_plane.log().await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_its_api_server_comes_back() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let (control_plane, _) = ControlPlane::deployed(session, &kubernetes).await;
        let client = kubernetes.administrator().await.expect("a client");
        make_workload(&client).await;
        written(&client, "before").await;

        // Silent, but there: connections stay, and nothing is answered.
        kubernetes
            .api_server
            .pause()
            .await
            .expect("pause the API server");
        control_plane
            .says("that it leads no more", PATIENCE, |line| {
                line.contains("leads=false")
            })
            .await;
        // What it has is served to sidecars all the same.
        assert_eq!(
            control_plane.answer("/readyz").await,
            Ok((200, "ready".to_owned()))
        );
        kubernetes
            .api_server
            .unpause()
            .await
            .expect("wake the API server");
        kubernetes.ready().await;
        written(&client, "after-a-pause").await;

        // Gone, with all connections, and started again.
        let before = control_plane.watch_failures().await.expect("a count");
        kubernetes
            .api_server
            .stop_with_timeout(Some(0))
            .await
            .expect("kill the API server");
        wait::until("its watches fail", PATIENCE, async || {
            match control_plane.watch_failures().await? {
                now if now > before => Ok(()),
                now => Err(format!("{now} failures as before")),
            }
        })
        .await;
        kubernetes
            .api_server
            .start()
            .await
            .expect("start the API server again");
        kubernetes.ready().await;
        let client = kubernetes.administrator().await.expect("a client");
        written(&client, "after-a-restart").await;
        assert_eq!(
            control_plane.container.exit_code().await.ok().flatten(),
            None,
            "it runs still"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_or_without_rights_it_is_not_ready_and_says_why() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        kubernetes.apply_rights().await;
        let stranger = kubernetes.token("stranger").await;
        let table = [
            ("no-token-of-this-server", "Unauthorized"),
            (
                stranger.as_str(),
                r#"policyconfigs.mesh.meshproof.io is forbidden: User "system:serviceaccount:mesh-system:stranger" cannot list"#,
            ),
        ];
        for (token, reason) in table {
            let control_plane = ControlPlane::start(session, &kubernetes, token, "/healthz").await;
            let is_reason = |line: &str| line.replace('\\', "").contains(reason);
            control_plane.says(reason, PATIENCE, is_reason).await;
            assert_eq!(
                control_plane.answer("/readyz").await,
                Ok((503, "lists are not complete".to_owned()))
            );
            let log = control_plane.log().await;
            assert!(!log.contains(token), "it writes its token into its log");
        }
    })
    .await;
}

/// A workload as the API server has it when it runs: nobody runs it here.
async fn make_workload(client: &Client) {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "node-a", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
    });
    apply(client, &object(node)).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "checkout-0", "namespace": NAMESPACE, "labels": {"app": "checkout"}},
        "spec": {
            "nodeName": "node-a",
            "containers": [{"name": "sidecar", "image": "none"}],
        },
    });
    apply(client, &object(pod)).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let status = json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}});
    pods.patch_status("checkout-0", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("say that the pod runs");
}

/// Writes a scope with the workload in it and a policy for it, and waits for the status of both as they are written.
async fn written(client: &Client, name: &str) -> PolicyConfigStatus {
    let api_version = "mesh.meshproof.io/v1alpha1";
    let metadata = json!({"name": name, "namespace": NAMESPACE});
    apply(
        client,
        &object(json!({
            "apiVersion": api_version, "kind": "ScopeConfig", "metadata": metadata,
            "spec": {"match": [{"application": "checkout", "dataCenter": "zone-a"}]},
        })),
    )
    .await;
    apply(
        client,
        &object(json!({
            "apiVersion": api_version, "kind": "PolicyConfig", "metadata": metadata,
            "spec": {"scopeRef": name, "toggles": {"checkout.fast": "on"}},
        })),
    )
    .await;
    let scopes: Api<ScopeConfig> = Api::namespaced(client.clone(), NAMESPACE);
    let policies: Api<PolicyConfig> = Api::namespaced(client.clone(), NAMESPACE);
    wait::until(
        &format!("scope and policy {name} have a status"),
        PATIENCE,
        async || {
            let scope = scopes.get(name).await.map_err(|error| error.to_string())?;
            let policy = policies
                .get(name)
                .await
                .map_err(|error| error.to_string())?;
            let generations = (scope.metadata.generation, policy.metadata.generation);
            match (scope.status, policy.status) {
                (Some(of_scope), Some(of_policy))
                    if generations
                        == (
                            Some(of_scope.observed_generation),
                            Some(of_policy.observed_generation),
                        )
                        && (of_scope.matched, of_scope.policies, of_policy.matched)
                            == (1, 1, 1) =>
                {
                    Ok(of_policy)
                }
                (of_scope, of_policy) => {
                    Err(format!("{of_scope:?} and {of_policy:?} of {generations:?}"))
                }
            }
        },
    )
    .await
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).expect("an object")
}
