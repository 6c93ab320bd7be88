//! Replacing what certificates lead to, and trusting roots of others, as the mesh definition says an operator does it.

use crate::error::MeshError;
use crate::site::Site;
use crate::write::{is_not_found, resource};
use harness_model::rotation::Rotation;
use kube::api::{Api, DynamicObject, Patch, PatchParams};

impl Site {
    /// Patches the object that says it. The patch is refused when somebody else has changed the object meanwhile.
    ///
    /// # Errors
    ///
    /// When the mesh does not say how, the patch cannot be rendered, or the API server does not take it.
    pub(crate) async fn rotate(
        &self,
        rotation: &Rotation,
        partner: Option<&str>,
    ) -> Result<(), MeshError> {
        let missing = || {
            let missing = "replace what certificates lead to: the mesh does not say how";
            MeshError::Missing(missing.to_owned())
        };
        let form = self.definition.rotation.as_ref().ok_or_else(missing)?;
        let template = match rotation {
            Rotation::NewRoot | Rotation::NewIntermediate | Rotation::DropOldRoots => &form.patch,
            Rotation::TrustPartner(_) | Rotation::DropPartner => {
                form.partner.as_ref().ok_or_else(missing)?
            }
        };
        let act = || format!("patch {} {}/{}", form.kind, form.namespace, form.name);
        let resource = resource(&form.api_version, &form.kind, &form.plural);
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &form.namespace, &resource);
        let object = objects
            .get(&form.name)
            .await
            .map_err(|source| MeshError::api(act(), source))?;
        let mut patch = self
            .context
            .render_rotation(&self.definition, template, rotation, partner, &object)
            .map_err(|message| MeshError::Missing(format!("{}: {message}", act())))?;
        patch["metadata"]["resourceVersion"] = object.metadata.resource_version.into();
        objects
            .patch(&form.name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map(drop)
            .map_err(|source| MeshError::api(act(), source))
    }

    /// Takes out of trust what a scenario of a killed run has left there. Fine where nothing is left or deployed yet, or the
    /// mesh cannot have it.
    ///
    /// # Errors
    ///
    /// As [`rotate`](Self::rotate).
    pub(crate) async fn drop_partner_left(&self) -> Result<(), MeshError> {
        let form = self.definition.rotation.as_ref();
        if form.is_none_or(|form| form.partner.is_none()) {
            return Ok(());
        }
        match self.rotate(&Rotation::DropPartner, None).await {
            Err(MeshError::Api { source, .. }) if is_not_found(&source) => Ok(()),
            outcome => outcome,
        }
    }
}
