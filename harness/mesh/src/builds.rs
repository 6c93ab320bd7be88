//! Which build of an image a rollout puts in place, and putting that under test back.

use crate::definition::Component;
use crate::error::MeshError;
use crate::site::Site;
use crate::{FIELD_MANAGER, restart, wait};
use futures::future::join_all;
use harness_model::history::ImageReplaced;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// The annotation that `kubectl rollout restart` sets in a pod template.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// The lists of containers in a pod's specification.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// A build of what is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The one that is in place: only pods are replaced, as by `kubectl rollout restart`.
    Same,
    /// The one before that under test.
    Before,
    /// The one under test.
    UnderTest,
}

/// A container of a pod template that gets another image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replaced {
    list: &'static str,
    container: String,
    from: String,
    to: String,
}

impl Site {
    /// Whether any of these runs an image under test that another build is known to come before.
    pub(crate) async fn has_build_before(&self, parts: &[Component]) -> Result<bool, MeshError> {
        for part in parts {
            if !self.replaced(part, Build::Before).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins the rollout of one part and tells the images that it replaces. What takes a part back is noted first, and
    /// forgotten by [`forget_taken_back`](Self::forget_taken_back).
    pub(crate) async fn roll(
        &self,
        part: &Component,
        build: Build,
    ) -> Result<Vec<ImageReplaced>, MeshError> {
        let replaced = self.replaced(part, build).await?;
        if build == Build::Before && !replaced.is_empty() {
            self.taken_back
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(part.path(), part.clone());
        }
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Strategic: lists of containers are merged by their names, and nothing else of them becomes ours.
        let patch = Patch::Strategic(patch(&replaced, &jiff::Timestamp::now().to_string()));
        wait::api(self, part)
            .patch(&part.name, &parameters, &patch)
            .await
            .map_err(|source| MeshError::api(format!("roll {} out", part.name), source))?;
        let told = |replaced: Replaced| ImageReplaced {
            of: part.name.clone(),
            container: replaced.container,
            from: replaced.from,
            to: replaced.to,
        };
        Ok(replaced.into_iter().map(told).collect())
    }

    /// The names of what runs the build before, or may do so.
    pub(crate) fn taken_back(&self) -> Vec<String> {
        let taken_back = self
            .taken_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken_back.values().map(|part| part.name.clone()).collect()
    }

    /// These run what is under test again.
    pub(crate) fn forget_taken_back(&self, parts: &[Component]) {
        let mut taken_back = self
            .taken_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            taken_back.remove(&part.path());
        }
    }

    /// Puts what is under test back where a rollout was broken off before it did, and waits until it runs.
    pub(crate) async fn restore_builds(&self, patience: Duration) -> Result<(), MeshError> {
        let parts: Vec<Component> = {
            let taken_back = self
                .taken_back
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            taken_back.values().cloned().collect()
        };
        if parts.is_empty() {
            return Ok(());
        }
        let rolled = parts.iter().map(|part| self.roll(part, Build::UnderTest));
        // One that cannot be written keeps no other from it.
        let rolled: Vec<_> = join_all(rolled).await;
        rolled.into_iter().collect::<Result<Vec<_>, _>>()?;
        wait::until_restarted(self, &parts, patience).await?;
        self.forget_taken_back(&parts);
        // The rollout that was broken off has given no names.
        restart::rename(self, &BTreeMap::new()).await
    }

    async fn replaced(&self, part: &Component, build: Build) -> Result<Vec<Replaced>, MeshError> {
        let by: BTreeMap<&str, &str> = match build {
            Build::Same => return Ok(Vec::new()),
            Build::Before => pairs(&self.before).collect(),
            Build::UnderTest => pairs(&self.before).map(|(of, it)| (it, of)).collect(),
        };
        let object = wait::api(self, part).get(&part.name).await;
        let object = object
            .map_err(|source| MeshError::api(format!("read what runs {}", part.name), source))?;
        Ok(replaced(&object.data, &by))
    }
}

fn pairs(before: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    before.iter().map(|(of, it)| (of.as_str(), it.as_str()))
}

/// The containers of an object's pod template that run one of these images, and what is to stand in its place.
fn replaced(object: &Value, by: &BTreeMap<&str, &str>) -> Vec<Replaced> {
    let pod = &object["spec"]["template"]["spec"];
    let containers = LISTS.iter().flat_map(|&list| {
        let containers = pod[list].as_array().into_iter().flatten();
        containers.map(move |container| (list, container))
    });
    containers
        .filter_map(|(list, container)| {
            let from = container["image"].as_str()?;
            Some(Replaced {
                list,
                container: container["name"].as_str()?.to_owned(),
                from: from.to_owned(),
                to: (*by.get(from)?).to_owned(),
            })
        })
        .collect()
}

/// What makes the controller replace all pods.
fn patch(replaced: &[Replaced], now: &str) -> Value {
    let mut pod = Map::new();
    for list in LISTS {
        let those = replaced.iter().filter(|one| one.list == list);
        let those: Vec<Value> = those
            .map(|one| json!({ "name": one.container, "image": one.to }))
            .collect();
        if !those.is_empty() {
            pod.insert(list.to_owned(), Value::Array(those));
        }
    }
    let annotations = json!({ "annotations": { RESTARTED_AT: now } });
    let mut template = json!({ "metadata": annotations });
    if !pod.is_empty() {
        template["spec"] = Value::Object(pod);
    }
    json!({ "spec": { "template": template } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Value {
        json!({ "spec": { "template": { "spec": {
            "containers": [
                { "name": "app", "image": "shop:1", "env": [] },
                { "name": "proxy", "image": "proxy:2" },
            ],
            "initContainers": [{ "name": "capture", "image": "proxy:2" }],
        } } } })
    }

    #[test]
    fn only_containers_of_images_that_have_another_build_get_it() {
        let there = BTreeMap::from([("proxy:2", "proxy:1"), ("else:2", "else:1")]);
        let down = replaced(&object(), &there);
        let told: Vec<(&str, &str, &str)> = down
            .iter()
            .map(|one| (one.list, one.container.as_str(), one.to.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("containers", "proxy", "proxy:1"),
                ("initContainers", "capture", "proxy:1")
            ]
        );
        assert_eq!(
            patch(&down, "now"),
            json!({ "spec": { "template": {
                "metadata": { "annotations": { RESTARTED_AT: "now" } },
                "spec": {
                    "containers": [{ "name": "proxy", "image": "proxy:1" }],
                    "initContainers": [{ "name": "capture", "image": "proxy:1" }],
                },
            } } })
        );
        assert_eq!(replaced(&object(), &BTreeMap::from([("app", "x")])), []);
    }

    #[test]
    fn without_another_build_only_the_annotation_changes() {
        assert_eq!(
            patch(&[], "now"),
            json!({ "spec": { "template": {
                "metadata": { "annotations": { RESTARTED_AT: "now" } },
            } } })
        );
        assert_eq!(replaced(&json!({}), &BTreeMap::from([("a", "b")])), []);
    }
}
