//! The mesh definition: how a mesh is deployed, written to and read. `fixtures/meshes/reference/mesh.yaml` is an example
//! with every field explained.

mod component;
mod identity;

pub use component::{ClientList, Component, ComponentKind, Counter};
pub use identity::{
    AuditForm, AuthorityForm, HandshakeForm, IdentityForm, KeyServiceForm, NodeAgentForm,
    PublishedForm, RotationForm,
};

use crate::template;
use crate::variables::NumberForm;
use harness_model::capability::Capability;
use harness_model::history::RefusalCause;
use harness_model::protocol::Protocol;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything the harness knows about one mesh.
#[derive(Clone, Debug)]
pub struct MeshDefinition {
    /// Name, as in `--mesh NAME`.
    pub name: String,
    /// What it is, in one sentence.
    pub description: String,
    /// Where it was read from, for messages.
    pub source: PathBuf,
    /// Component → image reference. `--image COMPONENT=TAR` replaces one.
    pub images: BTreeMap<String, String>,
    /// Free values for the templates; the caller may replace them by name.
    pub variables: BTreeMap<String, String>,
    /// Variable → the values that it can have, where not any will do.
    pub choices: BTreeMap<String, Vec<String>>,
    /// Variable → what it can be, where that is a whole number.
    pub numbers: BTreeMap<String, NumberForm>,
    /// Certificates that the harness makes for the templates, each with a root of its own.
    pub certificates: BTreeMap<String, CertificateRequest>,
    /// What is applied, in order.
    pub manifests: Vec<ManifestGroup>,
    /// The control plane; none where the mesh has none.
    pub control_plane: Option<ControlPlane>,
    /// Further parts that must run completely before anything is tested.
    pub components: Vec<Component>,
    /// The workloads that scenarios speak of.
    pub workloads: Workloads,
    /// How the state of a sidecar is read.
    pub state: State,
    /// What a request that passed a sidecar carries.
    pub evidence: Evidence,
    /// How a configuration is written.
    pub configuration: ConfigurationForm,
    /// How what certificates lead to is replaced; absent where it cannot be.
    pub rotation: Option<RotationForm>,
    /// How identities are asked for; absent where the probe cannot.
    pub identity: Option<IdentityForm>,
    /// How sidecars speak TLS to each other; absent where the probe cannot do as they do.
    pub handshake: Option<HandshakeForm>,
    /// What the mesh offers to scenarios.
    pub capabilities: Vec<Capability>,
    /// What is assumed of the order of events, for people: proofs of non-delivery rest on it.
    pub assumed_order: Vec<String>,
    /// The text of every file the definition names, by the name it is given there.
    pub(crate) files: BTreeMap<String, String>,
}

impl MeshDefinition {
    /// The applications that scenarios can speak of, the canary's among them.
    #[must_use]
    pub fn applications(&self) -> Vec<String> {
        let workloads = &self.workloads;
        let canary = workloads.canary.iter().map(|canary| &canary.application);
        workloads
            .applications
            .iter()
            .chain(canary)
            .cloned()
            .collect()
    }

    /// The services that workloads can call: one for each application, and the further ones.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let mut services = self.applications();
        services.extend(self.workloads.services.iter().cloned());
        services
    }

    /// SPIFFE ID → the application whose workloads have it.
    pub(crate) fn identities(&self) -> BTreeMap<String, String> {
        let identity = self.workloads.identity.iter();
        identity
            .flat_map(|identity| {
                self.applications().into_iter().map(move |application| {
                    (
                        template::of_application(identity, &application),
                        application,
                    )
                })
            })
            .collect()
    }
}

/// A certificate made for a part of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRequest {
    /// The names it is valid for.
    pub dns_names: Vec<String>,
    /// Which end of a connection shows it. Absent: the server.
    #[serde(default)]
    pub usage: CertificateUsage,
}

/// Which end of a connection shows a certificate (extended key usage: RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateUsage {
    /// A server.
    #[default]
    Server,
    /// A client.
    Client,
}

/// Manifests that are applied together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestGroup {
    /// Files, relative to the definition; each is a minijinja template of any number of YAML documents.
    pub files: Vec<String>,
    /// What must hold before the next group is applied. Absent: nothing.
    #[serde(default)]
    pub wait_for: Option<WaitFor>,
}

/// What must hold before the next group of manifests is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitFor {
    /// The API server serves the group's CustomResourceDefinitions.
    Established,
}

/// The control plane of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlPlane {
    /// Its namespace.
    pub namespace: String,
    /// Its Deployment.
    pub deployment: String,
    /// Selects its pods.
    pub selector: BTreeMap<String, String>,
    /// The port on which each pod serves xDS.
    pub xds_port: u16,
    /// The component (in `images`) that its pods run.
    pub component: String,
    /// Images with seeded bugs for `meshproof selftest`; none where the mesh has none.
    #[serde(default)]
    pub mutants: Vec<Mutants>,
    /// The manifest files that deploy it and whatever else has seeded bugs: they are applied again when a mutant is chosen.
    pub files: Vec<String>,
}

impl ControlPlane {
    /// The image that has this mutant.
    #[must_use]
    pub fn mutants_with(&self, name: &str) -> Option<&Mutants> {
        let begins = |mutants: &&Mutants| {
            let begin = mutants.names.as_deref();
            begin.is_some_and(|begin| name.starts_with(begin))
        };
        let others = || self.mutants.iter().find(|mutants| mutants.names.is_none());
        self.mutants.iter().find(begins).or_else(others)
    }
}

/// An image with seeded bugs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mutants {
    /// The component (in `images`) that takes another's place; templates see its image as that of the other one, and the
    /// mutant's name as `mutant`.
    pub component: String,
    /// The component whose place it takes.
    pub replaces: String,
    /// How the names of its mutants begin. Absent: those that no other image has.
    #[serde(default)]
    pub names: Option<String>,
}

/// The workloads that scenarios speak of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workloads {
    /// Their namespace.
    pub namespace: String,
    /// The pod label whose value is the application.
    pub application_label: String,
    /// The applications with one Deployment in each data center, as templates see them.
    pub applications: Vec<String>,
    /// Further services that workloads can call.
    #[serde(default)]
    pub services: Vec<String>,
    /// The Deployment of an application in a data center, rendered with `application` and `dataCenter`.
    pub deployment: String,
    /// The application whose pods serve as extra recipients, one for each replica; none where the mesh has no
    /// such pods.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// How a workload calls a service, rendered with `service`, `port` and `path`.
    pub service_url: String,
    /// What services speak → the port on which they do. Absent: HTTP/1.1, on the port that `serviceUrl` names.
    #[serde(default)]
    pub ports: BTreeMap<Protocol, u16>,
    /// Workloads have a sidecar.
    pub sidecar: bool,
    /// The SPIFFE ID of a workload's certificate, rendered with `application`; absent where the mesh gives none.
    #[serde(default)]
    pub identity: Option<String>,
}

/// Pods that serve as extra recipients.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Canary {
    /// Their application.
    pub application: String,
    /// Their Deployment.
    pub deployment: String,
    /// How many there are.
    pub replicas: u32,
}

/// How the state of a sidecar is read from what the probe reports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// The runtime layer whose keys are toggles.
    pub runtime_layer: String,
    /// The route configuration whose routes carry the names of rules.
    pub route_configuration: String,
    /// The name under which a sidecar gets its own certificate over SDS; absent where the mesh gives none.
    #[serde(default)]
    pub certificate: Option<String>,
    /// The name under which it gets the roots that it trusts; absent where the mesh gives none over SDS.
    #[serde(default)]
    pub roots: Option<String>,
    /// What the names of the clusters begin with that lead to a service, and those of no others, rendered with `service`;
    /// absent: readings do not tell which services a sidecar knows.
    #[serde(default)]
    pub services: Option<String>,
    /// Where it shows how a sidecar is set up for TLS; absent: readings do not tell.
    #[serde(default)]
    pub tls: Option<TlsForm>,
}

/// Where it shows how a sidecar is set up for TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsForm {
    /// The listener whose filter chains lead to the application.
    pub inbound_listener: String,
    /// What the names of the clusters contain that lead to services, and those of no others.
    pub service_clusters: String,
}

/// What a request that passed a sidecar carries when it arrives. Absent: the mesh leaves no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    /// The request header in which the caller's sidecar names the caller's pod.
    #[serde(default)]
    pub caller_header: Option<String>,
    /// The request header in which the callee's sidecar names the callee's pod.
    #[serde(default)]
    pub callee_header: Option<String>,
    /// The request header in which the callee's sidecar tells how the request came to it, as
    /// `version=TLSv1.3;cipher=NAME;peer=SPIFFE-ID;serial=HEX`. What there is not is empty or `-`; without a version it
    /// came in plaintext.
    #[serde(default)]
    pub tls_header: Option<String>,
    /// The versions of TLS that sidecars speak to each other, as that header tells them. Empty: any.
    #[serde(default)]
    pub tls_versions: Vec<String>,
    /// The response header in which a sidecar that answers in the callee's place tells why.
    #[serde(default)]
    pub failure_header: Option<String>,
    /// Cause → texts one of which is in that header for this cause.
    #[serde(default)]
    pub causes: BTreeMap<RefusalCause, Vec<String>>,
}

/// How a configuration is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigurationForm {
    /// The objects of one configuration in the order in which they are applied; they are deleted in the
    /// opposite order.
    pub objects: Vec<ObjectForm>,
    /// Where the mesh reports who got it; absent where it does not.
    #[serde(default)]
    pub status: Option<StatusForm>,
    /// The rule of the marker, as an object with the fields of a scenario's rule; it must never match.
    pub marker_rule: serde_json::Value,
}

/// One object of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectForm {
    /// API group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Plural name in URLs.
    pub plural: String,
    /// The template, rendered with `name`, `namespace` and `configuration`; the harness adds its labels.
    pub file: String,
}

/// Where the mesh reports who got a configuration: JSON pointers into one of its objects.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusForm {
    /// The kind that carries it.
    pub kind: String,
    /// The generation that the status is about.
    pub observed_generation: String,
    /// How many sidecars are in scope.
    pub matched: String,
    /// To how many it was sent.
    pub delivered: String,
    /// How many acknowledged it.
    pub acknowledged: String,
    /// The list of those who rejected it.
    pub rejected: String,
    /// The field of an entry of that list that names the pod.
    pub rejected_pod: String,
    /// The field of an entry of that list with the sidecar's words.
    pub rejected_message: String,
}
