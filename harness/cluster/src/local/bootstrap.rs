//! What a new cluster needs before anybody can use it, and how we know that it is ready.

use super::plan::{API_PORT, API_SERVER, KUBERNETES_SERVICE, Plan};
use super::{components, failed, pki};
use crate::{ClusterError, nodes};
use futures::StreamExt;
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use std::time::Duration;

/// How often the API server is asked whether it serves. It tells nobody by itself; a refused connection or a 500 costs it next to
/// nothing as long as nobody else asks anything.
const ASK: Duration = Duration::from_millis(10);
/// How often it is asked whether it is ready, while a mesh is deployed that needs its answers.
const ASK_SERVING: Duration = Duration::from_millis(50);
/// What is asked for whether the API server serves: all that makes it ready, but for two things that it makes for itself a
/// second after everything else works. A server without one of these checks takes no notice of its name.
const SERVES: &str = "/readyz?exclude=poststarthook/rbac/bootstrap-roles&\
                      exclude=poststarthook/scheduling/bootstrap-system-priority-classes";
/// How long the API server may take to be ready once it serves, and the nodes once they may start.
const READY: Duration = Duration::from_secs(120);
/// For how long an object is sent again that the API server does not take as soon as it serves.
const SOON: Duration = Duration::from_secs(30);
/// The role by which nodes read services and endpoints, and its binding.
const NODE_PROXIER: &str = "meshproof:node-proxier";

/// A client with all rights, inside the fabric.
pub(super) async fn client(ca: &str, user: &pki::Pair) -> Result<kube::Client, ClusterError> {
    let server = format!("https://{API_SERVER}:{API_PORT}");
    crate::api::client::from_text(&components::kubeconfig("local", &server, ca, user)).await
}

/// Waits until the API server serves. Who is an administrator needs no more: the roles of Kubernetes, for which it waits a whole
/// second before it makes them (`EnsureRBACPolicy`), are for others, as are its classes of priority.
pub(super) async fn api_server_serves(client: &kube::Client) {
    says_yes(client, SERVES, ASK).await;
}

/// Waits until the API server says that it is ready, which is not long after it serves.
pub(super) async fn api_server_ready(client: kube::Client) -> Result<(), ClusterError> {
    let ready = tokio::time::timeout(READY, says_yes(&client, "/readyz", ASK_SERVING));
    ready.await.map_err(|_| {
        ClusterError::because(
            "wait until the API server is ready",
            format!("it was not within {} s", READY.as_secs()),
        )
    })
}

async fn says_yes(client: &kube::Client, path: &str, every: Duration) {
    let mut ask = tokio::time::interval(every);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ask.tick().await;
        let request = http::Request::get(path).body(Vec::new());
        let Ok(request) = request else { return };
        if client.request_text(request).await.is_ok() {
            return;
        }
    }
}

/// Lets nodes read services and endpoints: our kubelet gives services their addresses, as kube-proxy would. Before
/// the nodes start, or their first reading is refused. The role is our own, since that of Kubernetes may not be there yet.
pub(super) async fn allow_nodes(client: &kube::Client) -> Result<(), ClusterError> {
    let role = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": NODE_PROXIER},
        "rules": [
            {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    });
    let binding = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": NODE_PROXIER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": NODE_PROXIER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group",
            "name": "system:nodes"}],
    });
    apply(client, role).await?;
    apply(client, binding).await
}

/// Makes the objects that nobody else makes, and the service of the API server, which would make it when it is ready itself:
/// pods that start before would not be told where it is.
pub(super) async fn make_objects(client: &kube::Client) -> Result<(), ClusterError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    wait_for_default(&namespaces).await;
    let objects = [
        serde_json::json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"provider": "kubernetes", "component": "apiserver"}},
            "spec": {"type": "ClusterIP", "clusterIP": KUBERNETES_SERVICE,
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT}]},
        }),
        serde_json::json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [API_SERVER], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": API_PORT, "protocol": "TCP"}],
        }),
        serde_json::json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default",
                // Without it the mirroring controller would make a second slice.
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [{"addresses": [{"ip": API_SERVER}],
                "ports": [{"name": "https", "port": API_PORT, "protocol": "TCP"}]}],
        }),
    ];
    let applied = objects.into_iter().map(|object| apply_soon(client, object));
    futures::future::try_join_all(applied).await.map(drop)
}

/// As [`apply`], again for a while: what gives services their addresses may come a moment after the API server serves.
async fn apply_soon(client: &kube::Client, object: serde_json::Value) -> Result<(), ClusterError> {
    let mut ask = tokio::time::interval(ASK);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = None;
    let taken = async {
        loop {
            ask.tick().await;
            match apply(client, object.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "not taken yet");
                    last = Some(error);
                }
            }
        }
    };
    let taken = tokio::time::timeout(SOON, taken).await;
    taken.map_err(|_| {
        last.unwrap_or_else(|| {
            let why = format!("no answer within {} s", SOON.as_secs());
            ClusterError::because("make the service of the API server", why)
        })
    })
}

async fn apply(client: &kube::Client, object: serde_json::Value) -> Result<(), ClusterError> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let (group, version) = match object["apiVersion"]
        .as_str()
        .unwrap_or_default()
        .split_once('/')
    {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), "v1".to_owned()),
    };
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let resource = ApiResource::from_gvk(&GroupVersionKind {
        group,
        version,
        kind: kind.clone(),
    });
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(
        &name,
        &PatchParams::apply("meshproof").force(),
        &Patch::Apply(object),
    )
    .await
    .map(drop)
    .map_err(failed(format!("make {kind} {name}")))
}

/// The API server makes the namespace `default` shortly after it serves.
async fn wait_for_default(namespaces: &Api<Namespace>) {
    let config = watcher::Config::default().fields("metadata.name=default");
    let seen = watcher(namespaces.clone(), config)
        .default_backoff()
        .applied_objects();
    futures::pin_mut!(seen);
    // Errors are retried: the bring-up as a whole has a bound.
    while let Some(Err(error)) = seen.next().await {
        tracing::debug!(%error, "watch again");
    }
}

/// Waits until every node of the plan is ready.
pub(super) async fn nodes_ready(client: &kube::Client, plan: &Plan) -> Result<(), ClusterError> {
    nodes::wait_until_ready(client, plan.nodes().count(), READY)
        .await
        .map_err(failed("bring up the nodes"))
}
