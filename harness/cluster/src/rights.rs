//! Rights in a cluster: asked of the API server before they are used, and written as rules for whoever can grant them.
//!
//! Invariant: asking changes nothing in the cluster.

use crate::{ClusterError, failed};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// So many questions are asked at once.
const AT_ONCE: usize = 16;

/// The right to do one thing with one kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right {
    /// Where; without one in all namespaces, and for objects in none.
    pub namespace: Option<String>,
    /// API group; empty for the core.
    pub group: String,
    /// Plural name, `resource` or `resource/subresource`.
    pub resource: String,
    /// Of one object only.
    pub name: Option<String>,
    /// What is done, in the words of Kubernetes.
    pub verb: String,
}

/// The rights without which a run cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// What is done.
    pub used: BTreeSet<Right>,
    /// What roles of ours grant to others. Who grants a right must have it, or may `escalate` and `bind`.
    pub granted: BTreeSet<Right>,
}

impl Right {
    /// A right in the whole cluster.
    #[must_use]
    pub fn new(verb: &str, group: &str, resource: &str) -> Self {
        Self {
            namespace: None,
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: None,
            verb: verb.to_owned(),
        }
    }

    /// The same right in one namespace.
    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in the namespace {namespace}"),
            None => Ok(()),
        }
    }
}

/// What several verbs on one resource take, in one namespace or the whole cluster.
#[must_use]
pub fn verbs(verbs: &[&str], group: &str, resource: &str, namespace: Option<&str>) -> Vec<Right> {
    let each = |verb: &&str| {
        let right = Right::new(verb, group, resource);
        match namespace {
            Some(namespace) => right.within(namespace),
            None => right,
        }
    };
    verbs.iter().map(each).collect()
}

/// What [`connect`](crate::Cluster::connect) takes for pods of a namespace where the API server forwards the
/// connection. It is a GET that is upgraded, for which newer API servers ask for `create` as well.
#[must_use]
pub fn to_connect(namespace: &str) -> Vec<Right> {
    verbs(&["get", "create"], "", "pods/portforward", Some(namespace))
}

/// Those of the rights that the client's user does not have.
pub(crate) async fn missing(
    client: &Client,
    asked: &BTreeSet<Right>,
) -> Result<Vec<Right>, ClusterError> {
    stream::iter(asked.iter().cloned())
        .map(|right| async move { Ok(has(client, &right).await?.then_some(right)) })
        .buffered(AT_ONCE)
        .try_collect::<Vec<Option<Right>>>()
        .await
        .map(|held| {
            let held: BTreeSet<Right> = held.into_iter().flatten().collect();
            asked.difference(&held).cloned().collect()
        })
        .map_err(|error: kube::Error| failed("ask which rights we have in the cluster")(error))
}

async fn has(client: &Client, right: &Right) -> Result<bool, kube::Error> {
    let (resource, subresource) = right
        .resource
        .split_once('/')
        .unwrap_or((&right.resource, ""));
    let review: SelfSubjectAccessReview = serde_json::from_value(json!({
        "spec": { "resourceAttributes": {
            "verb": right.verb, "group": right.group, "resource": resource,
            "subresource": subresource, "namespace": right.namespace, "name": right.name,
        } },
    }))
    .map_err(kube::Error::SerdeError)?;
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Refuses a cluster in which some of the rights are missing; the error lists all of them and the rules that grant
/// them.
pub(crate) async fn check(client: &Client, needs: &Needs) -> Result<(), ClusterError> {
    let mut lacking = missing(client, &needs.used).await?;
    lacking.extend(missing(client, &needs.granted).await?);
    if lacking.iter().any(|right| needs.granted.contains(right)) {
        let instead: BTreeSet<Right> = ["escalate", "bind"]
            .into_iter()
            .flat_map(|verb| {
                ["roles", "clusterroles"]
                    .map(|roles| Right::new(verb, "rbac.authorization.k8s.io", roles))
            })
            .collect();
        if missing(client, &instead).await?.is_empty() {
            lacking.retain(|right| needs.used.contains(right));
        }
    }
    lacking.sort();
    lacking.dedup();
    if lacking.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = lacking.iter().map(Right::to_string).collect();
    Err(ClusterError::because(
        "use the cluster",
        format!("these rights are missing: {}", words.join(", ")),
    )
    .hint(format!(
        "use a context whose user may do that, or bind a ClusterRole with these rules to the user:\n{}",
        rules(&lacking).join("\n")
    )))
}

/// The rules of a ClusterRole that grant the rights, one on each line.
fn rules(rights: &[Right]) -> Vec<String> {
    let mut by_resource: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for right in rights {
        by_resource
            .entry((&right.group, &right.name, &right.resource))
            .or_default()
            .insert(&right.verb);
    }
    let mut merged: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for ((group, name, resource), verbs) in by_resource {
        merged
            .entry((group, name, verbs))
            .or_default()
            .push(resource);
    }
    merged
        .into_iter()
        .map(|((group, name, verbs), resources)| {
            let mut rule = json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
            if let Some(name) = name {
                rule["resourceNames"] = json!([name]);
            }
            format!("  - {rule}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_names_verb_resource_and_namespace() {
        assert_eq!(
            Right::new("delete", "", "pods").within("mesh").to_string(),
            "delete pods in the namespace mesh"
        );
        assert_eq!(
            Right::new("patch", "apps", "deployments").to_string(),
            "patch deployments.apps"
        );
    }

    #[test]
    fn rules_hold_every_right_once_and_no_other() {
        let mut rights = verbs(&["get", "create"], "", "pods", Some("a"));
        rights.extend(verbs(&["create", "get"], "", "secrets", None));
        rights.extend(verbs(&["get"], "", "pods", Some("b")));
        rights.extend(verbs(&["get"], "apps", "deployments", None));
        rights.push(Right {
            name: Some("one".to_owned()),
            ..Right::new("update", "coordination.k8s.io", "leases")
        });
        assert_eq!(
            rules(&rights),
            [
                r#"  - {"apiGroups":[""],"resources":["pods","secrets"],"verbs":["create","get"]}"#,
                r#"  - {"apiGroups":["apps"],"resources":["deployments"],"verbs":["get"]}"#,
                r#"  - {"apiGroups":["coordination.k8s.io"],"resources":["leases"],"verbs":["update"],"resourceNames":["one"]}"#,
            ]
        );
    }
}
