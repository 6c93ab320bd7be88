//! Writing configurations and markers, reading the mesh's own status, and removing what a scenario wrote.

use crate::definition::{MeshDefinition, ObjectForm};
use crate::error::{MeshError, WriteError, WriteFailure};
use crate::site::Site;
use crate::{FIELD_MANAGER, Keys, RUN_LABEL, SCENARIO_LABEL, keys, status};
use futures::future;
use harness_model::configuration::{Configuration, Rule, Scope, ScopeEntry};
use harness_model::history::DeliveryStatus;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use std::collections::BTreeMap;

/// The API server acknowledged a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Kind → resource version after the write; for a delete the version of the object that was removed,
    /// and nothing for an object that was not there.
    pub objects: BTreeMap<String, String>,
}

impl Site {
    /// Creates or replaces a configuration: its scope, toggles and rules, under the scenario's keys.
    ///
    /// # Errors
    ///
    /// When the API server refuses an object, or when the fate of a write is unknown.
    pub(crate) async fn write(
        &self,
        keys: &Keys,
        configuration: &Configuration,
    ) -> Result<Written, WriteError> {
        let mut written = BTreeMap::new();
        for form in &self.definition.configuration.objects {
            let name = keys.object(&configuration.name);
            let fail = |source, written: &BTreeMap<String, String>| WriteError {
                act: "apply",
                object: format!("{} {name}", form.kind),
                written: written.clone(),
                source,
            };
            let object = self
                .render(form, keys, configuration)
                .map_err(|message| fail(WriteFailure::Render(message), &written))?;
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            let applied = self
                .objects(form)
                .patch(&name, &parameters, &Patch::Apply(&object))
                .await
                .map_err(|error| fail(failure(error), &written))?;
            written.insert(
                form.kind.clone(),
                applied.metadata.resource_version.unwrap_or_default(),
            );
        }
        Ok(Written { objects: written })
    }

    /// Deletes a configuration; fine when it is not there.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub(crate) async fn delete(
        &self,
        keys: &Keys,
        configuration: &str,
    ) -> Result<Written, WriteError> {
        let name = keys.object(configuration);
        let mut written = BTreeMap::new();
        for form in self.definition.configuration.objects.iter().rev() {
            let deleted = self
                .objects(form)
                .delete(&name, &DeleteParams::default())
                .await;
            match deleted {
                Ok(removed) => {
                    let version = removed
                        .left()
                        .and_then(|object| object.metadata.resource_version)
                        .unwrap_or_default();
                    written.insert(form.kind.clone(), version);
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    return Err(WriteError {
                        act: "delete",
                        object: format!("{} {name}", form.kind),
                        written,
                        source: failure(error),
                    });
                }
            }
        }
        Ok(Written { objects: written })
    }

    /// The mesh's own status of a configuration; none where the mesh reports none, or not yet.
    ///
    /// # Errors
    ///
    /// When the object is not there, cannot be read, or its status has another form than the definition says.
    pub(crate) async fn status(
        &self,
        keys: &Keys,
        configuration: &str,
    ) -> Result<Option<DeliveryStatus>, MeshError> {
        let Some(form) = &self.definition.configuration.status else {
            return Ok(None);
        };
        let carrier = self
            .definition
            .configuration
            .objects
            .iter()
            .find(|object| object.kind == form.kind)
            .expect("the kind of the status was checked when the definition was loaded");
        let name = keys.object(configuration);
        let act = || format!("read the status of {} {name}", form.kind);
        let object = self
            .objects(carrier)
            .get(&name)
            .await
            .map_err(|source| MeshError::api(act(), source))?;
        status::read(&object, form)
            .map_err(|message| MeshError::Missing(format!("{}: {message}", act())))
    }

    /// Removes every object of one scenario, markers included. Fine when there is none.
    ///
    /// # Errors
    ///
    /// When the API server does not answer or refuses.
    pub(crate) async fn delete_scenario(&self, keys: &Keys) -> Result<(), MeshError> {
        let selector = format!("{SCENARIO_LABEL}={}", keys.prefix());
        self.delete_labelled(&selector, &format!("of scenario `{}`", keys.prefix()))
            .await
    }

    /// Removes what scenarios of a killed run have left.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub(crate) async fn delete_leftovers(&self) -> Result<(), MeshError> {
        self.delete_labelled(SCENARIO_LABEL, "that scenarios left")
            .await
    }

    async fn delete_labelled(&self, labels: &str, whose: &str) -> Result<(), MeshError> {
        let selector = ListParams::default().labels(labels);
        // The policies go first, so that nobody sees a scope vanish below a policy that is still there.
        for form in self.definition.configuration.objects.iter().rev() {
            let act = format!("delete the {} {whose}", form.plural);
            self.objects(form)
                .delete_collection(&DeleteParams::default(), &selector)
                .await
                .map_err(|source| MeshError::api(act, source))?;
        }
        Ok(())
    }

    /// Objects of scenarios that are still there, `Kind namespace/name`; empty when everything was removed.
    ///
    /// # Errors
    ///
    /// When the API server cannot be read.
    pub(crate) async fn leftovers(&self) -> Result<Vec<String>, MeshError> {
        let selector = ListParams::default().labels(SCENARIO_LABEL);
        let selector = &selector;
        let lists = self
            .definition
            .configuration
            .objects
            .iter()
            .map(|form| async move { (form, self.objects(form).list(selector).await) });
        let mut found = Vec::new();
        for (form, listed) in future::join_all(lists).await {
            let objects =
                listed.map_err(|source| MeshError::api("list what scenarios left", source))?;
            found.extend(objects.items.into_iter().map(|object| {
                format!(
                    "{} {}/{}",
                    form.kind,
                    object.metadata.namespace.unwrap_or_default(),
                    object.metadata.name.unwrap_or_default()
                )
            }));
        }
        Ok(found)
    }

    fn objects(&self, form: &ObjectForm) -> Api<DynamicObject> {
        let namespace = &self.definition.workloads.namespace;
        let resource = resource(&form.api_version, &form.kind, &form.plural);
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// The object of a configuration, with the scenario's keys and our labels.
    fn render(
        &self,
        form: &ObjectForm,
        keys: &Keys,
        configuration: &Configuration,
    ) -> Result<serde_json::Value, String> {
        let prefixed = prefixed(keys, configuration);
        let mut object = self.context.render_object(
            &self.definition,
            &form.file,
            &keys.object(&configuration.name),
            &prefixed,
        )?;
        let metadata = object
            .get_mut("metadata")
            .and_then(serde_json::Value::as_object_mut)
            .ok_or("the rendered object has no metadata")?;
        let labels = metadata
            .entry("labels")
            .or_insert_with(|| serde_json::json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(RUN_LABEL.to_owned(), self.context.run().into());
            labels.insert(SCENARIO_LABEL.to_owned(), keys.prefix().into());
        }
        Ok(object)
    }
}

/// The marker of a scenario: for everybody, a toggle and a rule, so that it shows up in every resource that a payload
/// could leak into.
pub(crate) fn marker(definition: &MeshDefinition, value: &str) -> Configuration {
    let rule: Rule = serde_json::from_value(definition.configuration.marker_rule.clone())
        .expect("the marker's rule was checked when the definition was loaded");
    Configuration {
        name: keys::MARKER.to_owned(),
        scope: Scope {
            entries: vec![ScopeEntry::default()],
            except: Vec::new(),
        },
        priority: 0,
        toggles: BTreeMap::from([(keys::MARKER.to_owned(), value.to_owned())]),
        rules: BTreeMap::from([(Keys::marker_rule(value), rule)]),
        tls: None,
    }
}

/// As the client addresses objects that a mesh definition tells of.
pub(crate) fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// The configuration with toggle keys and rule names as they stand in the cluster.
fn prefixed(keys: &Keys, configuration: &Configuration) -> Configuration {
    Configuration {
        toggles: configuration
            .toggles
            .iter()
            .map(|(key, value)| (keys.key(key), value.clone()))
            .collect(),
        rules: configuration
            .rules
            .iter()
            .map(|(name, rule)| (keys.key(name), rule.clone()))
            .collect(),
        ..configuration.clone()
    }
}

/// A client error of the API server (4xx) is a refusal, but for those that say nothing about the object.
fn failure(error: kube::Error) -> WriteFailure {
    match error {
        kube::Error::Api(status)
            if (400..500).contains(&status.code) && !matches!(status.code, 408 | 429) =>
        {
            WriteFailure::Refused(status.message)
        }
        other => WriteFailure::Unknown(Box::new(other)),
    }
}

/// Whether the API server has no such object.
pub(crate) fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
