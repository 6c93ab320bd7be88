//! Replacing what certificates lead to, as the mesh definition says an operator does it.

use crate::definition::RotationForm;
use crate::error::MeshError;
use crate::site::Site;
use harness_model::rotation::Rotation;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};

impl Site {
    /// Patches the object that says it. The patch is refused when somebody else has changed the object meanwhile.
    ///
    /// # Errors
    ///
    /// When the mesh does not say how, the patch cannot be rendered, or the API server does not take it.
    pub(crate) async fn rotate(&self, rotation: Rotation) -> Result<(), MeshError> {
        let Some(form) = &self.definition.rotation else {
            let missing = "replace what certificates lead to: the mesh does not say how";
            return Err(MeshError::Missing(missing.to_owned()));
        };
        let act = || format!("patch {} {}/{}", form.kind, form.namespace, form.name);
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &form.namespace, &resource(form));
        let object = objects
            .get(&form.name)
            .await
            .map_err(|source| MeshError::api(act(), source))?;
        let mut patch = self
            .context
            .render_rotation(&self.definition, &form.patch, rotation, &object)
            .map_err(|message| MeshError::Missing(format!("{}: {message}", act())))?;
        patch["metadata"]["resourceVersion"] = object.metadata.resource_version.into();
        objects
            .patch(&form.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map(drop)
            .map_err(|source| MeshError::api(act(), source))
    }
}

fn resource(form: &RotationForm) -> ApiResource {
    let (group, version) = form
        .api_version
        .split_once('/')
        .unwrap_or(("", &form.api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: form.api_version.clone(),
        kind: form.kind.clone(),
        plural: form.plural.clone(),
    }
}
