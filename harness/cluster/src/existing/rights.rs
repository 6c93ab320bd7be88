//! Which rights a run needs in a cluster that is not ours; asked for before anything is done.

use crate::{ClusterError, failed};
use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

/// Verb, API group and resource (`resource/subresource`), in all namespaces.
const NEEDED: [(&str, &str, &str); 16] = [
    ("list", "", "nodes"),
    ("create", "", "namespaces"),
    ("delete", "", "namespaces"),
    ("watch", "", "pods"),
    ("delete", "", "pods"),
    ("create", "", "pods/portforward"),
    ("get", "", "pods/log"),
    ("create", "", "services"),
    ("create", "", "secrets"),
    ("patch", "apps", "deployments"),
    ("create", "coordination.k8s.io", "leases"),
    (
        "create",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
    ),
    (
        "delete",
        "apiextensions.k8s.io",
        "customresourcedefinitions",
    ),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("list", "discovery.k8s.io", "endpointslices"),
];

/// Asks for all of them and names those that are missing.
pub(super) async fn check(client: &Client) -> Result<(), ClusterError> {
    let asked = NEEDED.iter().map(|right| has(client, *right));
    let missing: Vec<String> = try_join_all(asked)
        .await
        .map_err(failed("ask which rights we have in the cluster"))?
        .into_iter()
        .zip(NEEDED)
        .filter(|(has, _)| !has)
        .map(|(_, (verb, group, resource))| match group {
            "" => format!("{verb} {resource}"),
            group => format!("{verb} {resource}.{group}"),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ClusterError::because(
        "use the cluster",
        format!("these rights are missing: {}", missing.join(", ")),
    )
    .hint("use a context whose user may do that"))
}

async fn has(
    client: &Client,
    (verb, group, resource): (&str, &str, &str),
) -> Result<bool, kube::Error> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SelfSubjectAccessReview = serde_json::from_value(json!({
        "spec": { "resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": subresource,
        } },
    }))
    .map_err(kube::Error::SerdeError)?;
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
