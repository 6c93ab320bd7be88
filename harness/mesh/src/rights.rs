//! Which rights deploying, writing and reading a mesh takes in a cluster, from what its definition applies.
//!
//! Invariant: no kind stands here: the manifests say which there are, [`harness_cluster::kinds`] what is known of them.

use crate::definition::MeshDefinition;
use crate::deploy::{self, DeployOptions};
use crate::error::DeployMeshError;
use crate::template::Context;
use crate::{apply, certificate};
use harness_cluster::kinds::{self, Scope};
use harness_cluster::rights::{self, Needs, Right};
use kube::api::DynamicObject;
use serde::Deserialize;
use std::collections::BTreeSet;

/// What applying an object takes: looking who made the one that may be there, and server-side apply.
const APPLIED: &[&str] = &["get", "create", "patch"];
/// What removing an object takes, beyond [`APPLIED`]: finding it by its label, and waiting until it is gone.
const REMOVED: &[&str] = &["list", "watch", "delete"];

/// What deploying and reading a mesh takes in a cluster of somebody else, where everything is removed afterwards.
///
/// # Errors
///
/// When a template or manifest is wrong, and when something is applied that could not be removed again: all of it is
/// listed.
pub fn needed(
    definition: &MeshDefinition,
    options: &DeployOptions,
) -> Result<Needs, DeployMeshError> {
    let objects = sample(definition, options)?;
    let own = own_namespaces(&objects);
    removable(definition, &objects, &own)?;
    let mut needs = Needs::default();
    for object in &objects {
        let stays = !goes_with(object.metadata.namespace.as_deref(), &own);
        let verbs = [APPLIED, if stays { REMOVED } else { &[] }].concat();
        needs.used.extend(of_object(object, &verbs));
        needs.granted.extend(granted(object));
    }
    needs.used.extend(reading(definition));
    Ok(needs)
}

/// Everything that is applied, rendered for a cluster of three data centers.
fn sample(
    definition: &MeshDefinition,
    options: &DeployOptions,
) -> Result<Vec<DynamicObject>, DeployMeshError> {
    let certificates = certificate::obtain(&definition.certificates, Default::default())?;
    let context = Context::of_environment(
        "cluster".to_owned(),
        "10.96.0.0/16".to_owned(),
        ["a", "b", "c"].map(str::to_owned).to_vec(),
        definition,
        options,
        certificates,
    );
    let waves = deploy::waves(definition, &context, options.mutant.as_deref())?;
    Ok(waves.into_iter().flat_map(|wave| wave.objects).collect())
}

/// The namespaces that the mesh brings along.
fn own_namespaces(objects: &[DynamicObject]) -> BTreeSet<&str> {
    objects
        .iter()
        .filter(|object| apply::kind(object) == "Namespace")
        .filter_map(|object| object.metadata.name.as_deref())
        .collect()
}

fn goes_with(namespace: Option<&str>, own: &BTreeSet<&str>) -> bool {
    namespace.is_some_and(|namespace| own.contains(namespace))
}

/// Refuses what would stay for good: it is found by the table of kinds, or goes with a namespace of ours.
fn removable(
    definition: &MeshDefinition,
    objects: &[DynamicObject],
    own: &BTreeSet<&str>,
) -> Result<(), DeployMeshError> {
    let is_found = |object: &DynamicObject| {
        let types = object.types.clone().unwrap_or_default();
        let scope = kinds::find(&types).map(|kind| kind.scope);
        let expected = match object.metadata.namespace {
            Some(_) => Scope::Namespace,
            None => Scope::Cluster,
        };
        scope == Some(expected)
    };
    let mut stuck: Vec<String> = objects
        .iter()
        .filter(|object| !goes_with(object.metadata.namespace.as_deref(), own))
        .filter(|object| !is_found(object))
        .map(apply::words)
        .collect();
    let workloads = &definition.workloads.namespace;
    if !own.contains(workloads.as_str()) {
        let forms = &definition.configuration.objects;
        stuck.extend(
            forms
                .iter()
                .map(|form| format!("{} {workloads}/*", form.kind)),
        );
    }
    if stuck.is_empty() {
        Ok(())
    } else {
        Err(DeployMeshError::Unremovable { objects: stuck })
    }
}

fn of_object(object: &DynamicObject, verbs: &[&str]) -> Vec<Right> {
    let resource = kinds::resource(&object.types.clone().unwrap_or_default());
    let namespace = object.metadata.namespace.as_deref();
    rights::verbs(verbs, &resource.group, &resource.plural, namespace)
}

/// A rule of a Role or ClusterRole; what it says of URLs is left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

/// The rights that an object grants to others: only a role does.
fn granted(object: &DynamicObject) -> Vec<Right> {
    if !matches!(apply::kind(object), "Role" | "ClusterRole") {
        return Vec::new();
    }
    let rules = object.data.get("rules").cloned().unwrap_or_default();
    // What cannot be read is refused by the API server when it is applied.
    let rules: Vec<Rule> = serde_json::from_value(rules).unwrap_or_default();
    let mut granted = Vec::new();
    for rule in &rules {
        let mut names: Vec<Option<String>> =
            rule.resource_names.iter().cloned().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                for name in &names {
                    granted.extend(rule.verbs.iter().map(|verb| Right {
                        namespace: object.metadata.namespace.clone(),
                        name: name.clone(),
                        ..Right::new(verb, group, resource)
                    }));
                }
            }
        }
    }
    granted
}

/// What reading the pods, speaking to them, and writing configurations takes.
fn reading(definition: &MeshDefinition) -> Vec<Right> {
    let workloads = &definition.workloads.namespace;
    let mut needed = rights::verbs(&["list", "watch"], "", "pods", Some(workloads));
    // Whether their newest template runs.
    needed.extend(rights::verbs(
        &["get", "list", "watch"],
        "apps",
        "deployments",
        Some(workloads),
    ));
    needed.extend(rights::to_connect(workloads));
    if let Some(control_plane) = &definition.control_plane {
        let namespace = Some(control_plane.namespace.as_str());
        needed.extend(rights::verbs(&["list", "watch"], "", "pods", namespace));
        needed.extend(rights::verbs(
            &["get", "list", "watch"],
            "apps",
            "deployments",
            namespace,
        ));
    }
    for component in &definition.components {
        needed.extend(rights::verbs(
            &["get", "list", "watch"],
            "apps",
            component.kind.plural(),
            Some(&component.namespace),
        ));
    }
    for form in &definition.configuration.objects {
        let group = form
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        needed.extend(rights::verbs(
            &[
                "get",
                "list",
                "create",
                "patch",
                "delete",
                "deletecollection",
            ],
            group,
            &form.plural,
            Some(workloads),
        ));
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::options;

    fn words(rights: &BTreeSet<Right>) -> BTreeSet<String> {
        rights.iter().map(Right::to_string).collect()
    }

    #[test]
    fn every_kind_of_the_shipped_meshes_is_in_the_table_where_its_manifests_put_it() {
        for shipped in fixtures::meshes::ALL {
            let definition = MeshDefinition::load(shipped.name).unwrap();
            let objects = sample(&definition, &options()).unwrap();
            assert!(!objects.is_empty());
            for object in objects {
                let kind = kinds::find(&object.types.clone().unwrap())
                    .unwrap_or_else(|| panic!("{} is in no row", apply::words(&object)));
                let scope = match object.metadata.namespace {
                    Some(_) => Scope::Namespace,
                    None => Scope::Cluster,
                };
                assert_eq!(kind.scope, scope, "{}", apply::words(&object));
            }
        }
    }

    #[test]
    fn rights_follow_from_what_is_applied_where_it_stays_and_what_roles_grant() {
        let definition = MeshDefinition::load("reference").unwrap();
        let needs = needed(&definition, &options()).unwrap();
        let used = words(&needs.used);
        for right in [
            "delete namespaces",
            "watch customresourcedefinitions.apiextensions.k8s.io",
            "patch deployments.apps in the namespace mesh-workloads",
            "watch deployments.apps in the namespace mesh-workloads",
            "get secrets in the namespace mesh-system",
            "create pods/portforward in the namespace mesh-workloads",
            "deletecollection scopeconfigs.mesh.meshproof.io in the namespace mesh-workloads",
        ] {
            assert!(used.contains(right), "{right} is not in {used:#?}");
        }
        for right in [
            "delete secrets in the namespace mesh-system",
            "delete pods in the namespace mesh-workloads",
        ] {
            assert!(
                !used.contains(right),
                "{right} goes with its namespace or is not done"
            );
        }
        let granted = words(&needs.granted);
        let lease =
            "update leases.coordination.k8s.io `control-plane` in the namespace mesh-system";
        assert!(granted.contains(lease), "{granted:#?}");
    }

    #[test]
    fn what_could_not_be_removed_is_refused_with_all_names() {
        let mut definition = MeshDefinition::load("reference").unwrap();
        definition.files.insert(
            "namespaces.yaml".to_owned(),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: mesh-system}\n---\napiVersion: example.org/v1\nkind: Gadget\nmetadata: {name: g}\n".to_owned(),
        );
        let error = needed(&definition, &options()).unwrap_err();
        let DeployMeshError::Unremovable { objects } = error else {
            panic!("{error}");
        };
        assert_eq!(
            objects,
            [
                "Gadget g",
                "ScopeConfig mesh-workloads/*",
                "PolicyConfig mesh-workloads/*"
            ]
        );
    }
}
