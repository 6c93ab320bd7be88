//! The kinds of Kubernetes objects that are put into a cluster and can be removed from it again: one table, from which
//! the names in URLs, the rights that are asked for and the removal follow.
//!
//! Invariant: what is not in the table is never put where it would not go away with something of ours that is.

use kube::api::{ApiResource, GroupVersionKind, TypeMeta};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Name in URLs and rules.
    pub plural: &'static str,
    /// Where its objects are.
    pub scope: Scope,
}

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In no namespace.
    Cluster,
    /// In a namespace, with which they go.
    Namespace,
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

/// The table.
pub const KINDS: &[Kind] = &[
    cluster(
        ADMISSION,
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    ),
    cluster(
        ADMISSION,
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    cluster(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings"),
    cluster(RBAC, "v1", "ClusterRole", "clusterroles"),
    cluster("", "v1", "Namespace", "namespaces"),
    cluster(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    ),
    cluster(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
    ),
    namespaced("", "v1", "ConfigMap", "configmaps"),
    namespaced("", "v1", "Pod", "pods"),
    namespaced("", "v1", "Secret", "secrets"),
    namespaced("", "v1", "Service", "services"),
    namespaced("", "v1", "ServiceAccount", "serviceaccounts"),
    namespaced("apps", "v1", "DaemonSet", "daemonsets"),
    namespaced("apps", "v1", "Deployment", "deployments"),
    namespaced("apps", "v1", "StatefulSet", "statefulsets"),
    namespaced(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    namespaced("batch", "v1", "CronJob", "cronjobs"),
    namespaced("batch", "v1", "Job", "jobs"),
    namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    namespaced(NETWORKING, "v1", "Ingress", "ingresses"),
    namespaced(NETWORKING, "v1", "NetworkPolicy", "networkpolicies"),
    namespaced(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    namespaced(RBAC, "v1", "Role", "roles"),
    namespaced(RBAC, "v1", "RoleBinding", "rolebindings"),
];

const fn cluster(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
        scope: Scope::Cluster,
    }
}

const fn namespaced(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        scope: Scope::Namespace,
        ..cluster(group, version, kind, plural)
    }
}

impl Kind {
    /// As the client addresses it.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        let types = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&types, self.plural)
    }
}

/// The row of the table for objects of these types, in whatever version; none when there is no such row.
#[must_use]
pub fn find(types: &TypeMeta) -> Option<&'static Kind> {
    let group = types
        .api_version
        .split_once('/')
        .map_or("", |(group, _)| group);
    KINDS
        .iter()
        .find(|kind| kind.group == group && kind.kind == types.kind)
}

/// As the client addresses objects of these types. Of a kind that is not in the table the plural is the English one.
#[must_use]
pub fn resource(types: &TypeMeta) -> ApiResource {
    let (group, version) = types
        .api_version
        .split_once('/')
        .unwrap_or(("", &types.api_version));
    let named = GroupVersionKind::gvk(group, version, &types.kind);
    match find(types) {
        Some(kind) => ApiResource::from_gvk_with_plural(&named, kind.plural),
        None => ApiResource::from_gvk(&named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_another_group_is_not_taken_for_the_one_of_the_table() {
        let types = |api_version: &str, kind: &str| TypeMeta {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        assert_eq!(
            find(&types("networking.k8s.io/v1", "NetworkPolicy")).map(|kind| kind.plural),
            Some("networkpolicies")
        );
        assert_eq!(find(&types("serving.knative.dev/v1", "Service")), None);
        let other = resource(&types("serving.knative.dev/v1", "Service"));
        assert_eq!(
            (other.group.as_str(), other.plural.as_str()),
            ("serving.knative.dev", "services")
        );
    }
}
