//! Rendering the templates of a mesh definition.

use crate::certificate::Certificates;
use crate::definition::MeshDefinition;
use crate::deploy::DeployOptions;
use crate::error::DeployMeshError;
use crate::manifest;
use harness_cluster::{Cluster, clusters};
use harness_model::causes::chain;
use harness_model::configuration::Configuration;
use harness_model::rotation::Rotation;
use kube::api::DynamicObject;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What templates see.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Context {
    /// The run.
    run: String,
    /// The cluster's name.
    cluster: String,
    /// It goes when we are done with it, and what is left in it harms nobody.
    is_ours: bool,
    /// The addresses of services.
    service_cidr: String,
    /// The data centers in the topology's order.
    data_centers: Vec<String>,
    /// Component → image reference.
    images: BTreeMap<String, String>,
    /// Those that nodes pull by themselves.
    #[serde(skip)]
    pulled: BTreeSet<String>,
    /// The definition's variables.
    variables: BTreeMap<String, String>,
    /// Certificates by name.
    certificates: Certificates,
    /// The applications with a workload in each data center.
    applications: Vec<String>,
}

impl Context {
    pub(crate) fn new(
        cluster: &dyn Cluster,
        definition: &MeshDefinition,
        options: &DeployOptions,
        certificates: Certificates,
    ) -> Self {
        let data_centers = cluster
            .topology()
            .data_centers()
            .map(|data_center| data_center.name.clone())
            .collect();
        let name = clusters::name(cluster).to_owned();
        let service_cidr = cluster.service_cidr().to_owned();
        let context = Self::of_environment(
            name,
            service_cidr,
            data_centers,
            definition,
            options,
            certificates,
        );
        // A cluster of somebody else has none.
        if cluster.kubeconfig().is_some() {
            context.of_ours()
        } else {
            context
        }
    }

    /// The same for a cluster that is ours.
    pub(crate) fn of_ours(self) -> Self {
        Self {
            is_ours: true,
            ..self
        }
    }

    /// That of a cluster that is somebody else's.
    pub(crate) fn of_environment(
        cluster: String,
        service_cidr: String,
        data_centers: Vec<String>,
        definition: &MeshDefinition,
        options: &DeployOptions,
        certificates: Certificates,
    ) -> Self {
        let mut images = definition.images.clone();
        images.extend(options.images.clone());
        let mut variables = definition.variables.clone();
        variables.extend(options.variables.clone());
        Self {
            run: options.run.clone(),
            cluster,
            is_ours: false,
            service_cidr,
            data_centers,
            images,
            pulled: options.pulled.clone(),
            variables,
            certificates,
            applications: definition.workloads.applications.clone(),
        }
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(crate) fn data_centers(&self) -> &[String] {
        &self.data_centers
    }

    pub(crate) fn pulled(&self) -> &BTreeSet<String> {
        &self.pulled
    }

    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    pub(crate) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Renders a manifest file; with a mutant its image stands in for that of what it replaces.
    pub(crate) fn render_manifest(
        &self,
        definition: &MeshDefinition,
        file: &str,
        mutant: Option<&str>,
    ) -> Result<String, DeployMeshError> {
        let mut images = self.images.clone();
        if let Some(name) = mutant {
            let replaced = definition.control_plane.as_ref().and_then(|control_plane| {
                let mutants = control_plane.mutants_with(name)?;
                let image = images.get(&mutants.component)?.clone();
                images.insert(mutants.replaces.clone(), image)
            });
            if replaced.is_none() {
                return Err(DeployMeshError::NoMutants(name.to_owned()));
            }
        }
        let context = minijinja::context! {
            images,
            mutant => mutant.unwrap_or_default(),
            ..minijinja::Value::from_serialize(self)
        };
        render(definition, file, context).map_err(|source| DeployMeshError::Render {
            file: file.to_owned(),
            source,
        })
    }

    /// Renders the object of a configuration.
    pub(crate) fn render_object(
        &self,
        definition: &MeshDefinition,
        file: &str,
        name: &str,
        configuration: &Configuration,
    ) -> Result<serde_json::Value, String> {
        let context = minijinja::context! {
            name,
            namespace => definition.workloads.namespace,
            configuration,
            ..minijinja::Value::from_serialize(self)
        };
        let text = render(definition, file, context).map_err(|error| chain(&error))?;
        serde_saphyr::from_str_with_options(&text, manifest::options())
            .map_err(|error| format!("{file}: {error}"))
    }

    /// Renders the patch of a rotation. `partner` is the root that comes into trust by it, PEM.
    pub(crate) fn render_rotation(
        &self,
        definition: &MeshDefinition,
        file: &str,
        rotation: &Rotation,
        partner: Option<&str>,
        object: &DynamicObject,
    ) -> Result<serde_json::Value, String> {
        let context = minijinja::context! {
            rotation,
            partner,
            object,
            ..minijinja::Value::from_serialize(self)
        };
        let text = render(definition, file, context).map_err(|error| chain(&error))?;
        serde_saphyr::from_str_with_options(&text, manifest::options())
            .map_err(|error| format!("{file}: {error}"))
    }

    /// The name of a workload's Deployment.
    pub(crate) fn deployment(
        &self,
        template: &str,
        application: &str,
        data_center: &str,
    ) -> String {
        short(
            template,
            minijinja::context! { application, dataCenter => data_center },
        )
    }
}

/// What is said of an application's workloads: their SPIFFE ID, the server name that is sent to them.
pub(crate) fn of_application(template: &str, application: &str) -> String {
    short(template, minijinja::context! { application })
}

/// What is said of a service: how the names of clusters begin that lead there.
pub(crate) fn of_service(template: &str, service: &str) -> String {
    short(template, minijinja::context! { service })
}

/// How a workload calls a service.
pub(crate) fn service_url(template: &str, service: &str, port: u16, path: &str) -> String {
    short(template, minijinja::context! { service, port, path })
}

fn environment<'a>() -> Environment<'a> {
    let mut environment = Environment::new();
    // A misspelt name must not become an empty text in a manifest.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Values stand within words too (names of Deployments); templates quote with `tojson` where it matters.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // What is kept in a ConfigMap may be JSON itself.
    environment.add_filter("fromjson", |text: &str| {
        let value = serde_json::from_str::<serde_json::Value>(text);
        value
            .map(minijinja::Value::from_serialize)
            .map_err(|error| {
                let kind = minijinja::ErrorKind::BadSerialization;
                minijinja::Error::new(kind, "this is no JSON").with_source(error)
            })
    });
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment
}

fn render(
    definition: &MeshDefinition,
    file: &str,
    context: minijinja::Value,
) -> Result<String, minijinja::Error> {
    let text = definition.files.get(file).ok_or_else(|| {
        minijinja::Error::new(
            minijinja::ErrorKind::TemplateNotFound,
            format!("the mesh definition has no file {file}"),
        )
    })?;
    environment().render_named_str(file, text, context)
}

/// Checks that a text is a template.
pub(crate) fn check(name: &str, text: &str) -> Result<(), minijinja::Error> {
    environment().template_from_named_str(name, text).map(drop)
}

/// The short templates of a definition were rendered once when it was loaded, with names of the same form.
fn short(template: &str, context: minijinja::Value) -> String {
    environment()
        .render_str(template, context)
        .unwrap_or_else(|error| {
            tracing::error!(template, %error, "a checked template does not render");
            String::new()
        })
}
