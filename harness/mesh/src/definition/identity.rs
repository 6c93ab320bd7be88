//! How identities are asked for and shown, and how what certificates lead to is replaced.

use harness_model::asking::DenialCause;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How identities are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityForm {
    /// What gives the sidecars of a node their certificates.
    pub node_agent: NodeAgentForm,
    /// What signs certificates.
    pub authority: AuthorityForm,
    /// What keeps the keys that sign certificates. Absent: nobody can come to it.
    #[serde(default)]
    pub key_service: Option<KeyServiceForm>,
    /// An audience that neither of them takes.
    pub other_audience: String,
    /// Cause → texts one of which is in a refusal for this cause.
    pub causes: BTreeMap<DenialCause, Vec<String>>,
}

/// What serves SDS on each node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeAgentForm {
    /// Its component (in `components`).
    pub component: String,
    /// The path of its socket in the probe's container.
    pub socket: String,
    /// The audience of the tokens that it takes.
    pub audience: String,
}

/// What signs certificates, by the reference mesh's protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityForm {
    /// Its component (in `components`).
    pub component: String,
    /// The port that its pods serve.
    pub port: u16,
    /// The certificate (in `certificates`) that it shows; its first name is what it must be for.
    pub certificate: String,
    /// The audience of the tokens that it takes.
    pub audience: String,
}

/// What keeps the keys that sign certificates, by the reference mesh's protocol. It serves nobody without a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyServiceForm {
    /// Its component (in `components`).
    pub component: String,
    /// The port that its pods serve. What a probe sends there must not be captured on its way out.
    pub port: u16,
    /// The certificate (in `certificates`) that it shows; its first name is what it must be for.
    pub certificate: String,
    /// Where it writes each call down. Absent: where nobody can read it.
    #[serde(default)]
    pub audit: Option<AuditForm>,
}

/// An audit log: lines in the log of each pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditForm {
    /// The container of a pod. Absent: the only one.
    #[serde(default)]
    pub container: Option<String>,
    /// Texts that are all in a line about something that was signed.
    pub served: Vec<String>,
    /// Texts that are all in a line about somebody who had nothing signed, since he is denied.
    pub refused: Vec<String>,
}

/// How sidecars speak TLS to each other, for a probe that does as they do. What it sends to the address of a pod must not be
/// captured on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandshakeForm {
    /// The TCP port of workloads' pods on which the callee's sidecar takes HTTP/1.1.
    pub port: u16,
    /// What callers offer in ALPN (RFC 7301), in order of preference. Absent: nothing.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// The server name (RFC 6066, 3) that callers send, rendered with the callee's `application`. Absent: none.
    #[serde(default)]
    pub server_name: Option<String>,
    /// The shortest lifetime that the authority grants, in seconds: certificates are waited for to end.
    pub shortest_lifetime_s: u32,
}

/// How what certificates lead to is replaced: an object is read and patched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationForm {
    /// API group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Plural name in URLs.
    pub plural: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The template of a merge patch (RFC 7386), rendered with `rotation` (`newRoot`, `newIntermediate` or
    /// `dropOldRoots`) and the `object` as it is then.
    pub patch: String,
    /// The template of a merge patch by which a root of somebody else's comes into trust, beside what is trusted, or goes out
    /// again; rendered with the `object` as it is then and `partner`, the root's certificate in PEM, or none where it goes out.
    /// Absent: the mesh cannot.
    #[serde(default)]
    pub partner: Option<String>,
    /// Where the roots that are trusted are published, beside what sidecars get. Absent: nowhere.
    #[serde(default)]
    pub published: Option<PublishedForm>,
}

/// Where the trust bundle is published: a ConfigMap of one name in each of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishedForm {
    /// The name of the ConfigMaps.
    pub config_map: String,
    /// The key in them under which all roots are, PEM.
    pub key: String,
    /// The namespaces that they are in.
    pub namespaces: Vec<String>,
    /// Namespaces that are not the mesh's, and that have one too where the cluster is ours. Absent: none that is read.
    #[serde(default)]
    pub others: Vec<String>,
}
