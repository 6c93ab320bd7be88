//! What the tests of several modules deploy with.

use crate::certificate;
use crate::definition::MeshDefinition;
use crate::deploy::DeployOptions;
use crate::template::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// No image but the mesh's own, nothing set and no seeded bug.
pub(crate) fn options() -> DeployOptions {
    DeployOptions {
        run: "r1".to_owned(),
        images: BTreeMap::new(),
        pulled: BTreeSet::new(),
        before: BTreeMap::new(),
        variables: BTreeMap::new(),
        mutant: None,
        ready: Duration::ZERO,
    }
}

/// Three data centers of one cluster.
pub(crate) fn context(definition: &MeshDefinition) -> Context {
    context_with(definition, &options())
}

/// The same with other options.
pub(crate) fn context_with(definition: &MeshDefinition, options: &DeployOptions) -> Context {
    Context::of_environment(
        "one".to_owned(),
        "10.96.0.0/16".to_owned(),
        ["zone-a", "zone-b", "zone-c"].map(str::to_owned).to_vec(),
        definition,
        options,
        certificate::obtain(&definition.certificates, BTreeMap::new()).unwrap(),
    )
}
