//! Rights as roles grant them and as requests need them
//! ([RBAC](https://kubernetes.io/docs/reference/access-authn-authz/rbac/)).

use crate::Asked;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// To do one thing with objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Empty for the whole cluster.
    pub namespace: String,
    /// `GROUP/RESOURCE[/SUBRESOURCE]`; the group is empty for the core.
    pub resource: String,
    /// The one object; none for all of them.
    pub name: Option<String>,
    /// `get`, `list`, `watch`, `create`, `update` or `patch`.
    pub verb: String,
}

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    metadata: Value,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

/// What the roles of a manifest grant. Its other documents may be templates.
///
/// # Panics
///
/// A role that is not well-formed.
#[must_use]
pub fn granted(manifest: &str) -> BTreeSet<Right> {
    let documents = manifest.split("\n---\n");
    let roles = documents.filter(|text| text.contains("\nrules:\n"));
    let mut granted = BTreeSet::new();
    for role in roles.map(|text| serde_saphyr::from_str::<Role>(text).expect("well-formed")) {
        let namespace = role.metadata["namespace"].as_str().unwrap_or_default();
        for rule in role.rules {
            let names = match rule.resource_names.as_slice() {
                [] => vec![None],
                names => names.iter().cloned().map(Some).collect(),
            };
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    for name in &names {
                        granted.extend(rule.verbs.iter().map(|verb| Right {
                            namespace: namespace.to_owned(),
                            resource: format!("{group}/{resource}"),
                            name: name.clone(),
                            verb: verb.clone(),
                        }));
                    }
                }
            }
        }
    }
    granted
}

/// The rights that a request needs: of those that would do, the smallest one that is granted; where none is, the smallest.
///
/// # Panics
///
/// A request of a form that no component of the mesh makes.
#[must_use]
pub fn needed(asked: &Asked, granted: &BTreeSet<Right>) -> Vec<Right> {
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => panic!("{} is no API", asked.path),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (resource, name) = match rest {
        [resource] => (format!("{group}/{resource}"), None),
        [resource, name] => (format!("{group}/{resource}"), Some(*name)),
        [resource, name, part] => (format!("{group}/{resource}/{part}"), Some(*name)),
        _ => panic!("{} is not expected", asked.path),
    };
    let verbs: &[&str] = match (asked.method.as_str(), name) {
        ("GET", None) if asked.query.contains("watch=true") => &["watch"],
        ("GET", None) => &["list"],
        ("GET", Some(_)) => &["get"],
        ("POST", None) => &["create"],
        ("PUT", Some(_)) => &["update"],
        // Server-side apply creates an object of this name where there is none.
        ("PATCH", Some(_)) if rest.len() == 2 => &["patch", "create"],
        ("PATCH", Some(_)) => &["patch"],
        (method, _) => panic!("{method} {} is not expected", asked.path),
    };
    // An API server takes the name that a list or watch is restricted to for the name of the request.
    let selected = asked
        .query
        .split('&')
        .find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
    let name = name.or(selected);
    let smallest = |verb: &&str| {
        let places = [(namespace, name), (namespace, None), ("", name), ("", None)];
        let rights = places.map(|(namespace, name)| Right {
            namespace: namespace.to_owned(),
            resource: resource.clone(),
            name: name.map(str::to_owned),
            verb: (*verb).to_owned(),
        });
        let found = rights.iter().find(|right| granted.contains(right));
        found.unwrap_or(&rights[0]).clone()
    };
    verbs.iter().map(smallest).collect()
}
