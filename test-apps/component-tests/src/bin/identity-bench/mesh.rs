//! The part of the mesh that identities need: accounts and rights, pods that nobody runs, the authority with its key
//! service, and the agent of one node.

use anyhow::{Context as _, ensure};
use component_tests::certificate_authority::{agent_pod, pod};
use component_tests::certificates::Authority;
use component_tests::kubernetes::{NAMESPACE, apply, bound_to, request_token};
use component_tests::programs::{Program, Programs};
use futures::{StreamExt as _, TryStreamExt as _};
use identity_api::authority::service::certificate_authority_client::CertificateAuthorityClient;
use identity_api::authority::{AUDIENCE, NODE_AGENT_AUDIENCE, PORT, PodReference};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::json;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Who every pod is: one service account for all, as in a Deployment of ten thousand.
pub(crate) const SPIFFE_ID: &str = "spiffe://mesh.local/ns/mesh-workloads/sa/workload";
const WORKLOADS: &str = "mesh-workloads";
const NODE: &str = "node-1";
/// The certificate of the authority's server is for it.
const HOST: &str = "localhost";
/// Longer than any bench takes, in seconds.
const TOKEN_LIFETIME: i64 = 6 * 60 * 60;
const AUTHORITY_ADMIN: u16 = 15016;
const KEY_SERVICE: u16 = 15017;
const KEY_SERVICE_ADMIN: u16 = 15018;
const AGENT_ADMIN: u16 = 15019;

/// A pod and the token that its sidecar would show.
pub(crate) struct Identity {
    pub(crate) pod: PodReference,
    pub(crate) token: String,
}

/// What there is in the API server.
pub(crate) struct Mesh {
    client: Client,
    /// The agent's token for the authority.
    pub(crate) agent_token: String,
}

/// The authority and its key service.
pub(crate) struct Authorities {
    authority: Program,
    key_service: Program,
}

impl Mesh {
    /// Makes accounts and rights, those that the mesh definition gives and no more, and the pod of the agent.
    pub(crate) async fn make(programs: &Programs) -> anyhow::Result<Self> {
        let client = Client::try_default()
            .await
            .context("reach the API server")?;
        for file in [
            "namespaces.yaml",
            "certificate-authority-rbac.yaml",
            "key-service-rbac.yaml",
            "node-agent.yaml",
        ] {
            for object in rights(file)? {
                apply(&client, &object).await;
            }
        }
        for (namespace, account) in [
            (NAMESPACE, "certificate-authority"),
            (NAMESPACE, "node-agent"),
            (WORKLOADS, "workload"),
        ] {
            let object = json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": account, "namespace": namespace},
            });
            apply(
                &client,
                &serde_json::from_value(object).context("write an account")?,
            )
            .await;
        }
        write_certificates(programs)?;
        let mut mesh = Self {
            client,
            agent_token: String::new(),
        };
        let pods: Api<Pod> = Api::namespaced(mesh.client.clone(), NAMESPACE);
        let agent = serde_json::from_value(agent_pod("node-agent-0", "node-agent", NODE));
        let agent = pods
            .create(&PostParams::default(), &agent.context("write a pod")?)
            .await
            .context("make the agent's pod")?;
        mesh.agent_token = mesh
            .bound(NAMESPACE, "node-agent", &agent, AUDIENCE)
            .await?;
        programs.write("agent/token", &mesh.agent_token)?;
        Ok(mesh)
    }

    /// As many pods on the node, each with a token of its own.
    pub(crate) async fn identities(&self, count: usize) -> anyhow::Result<Vec<Identity>> {
        let pods: &Api<Pod> = &Api::namespaced(self.client.clone(), WORKLOADS);
        futures::stream::iter(0..count)
            .map(async |number| {
                let name = format!("workload-{number}");
                let object = serde_json::from_value(pod(WORKLOADS, &name, "workload", NODE))
                    .context("write a pod")?;
                let made = pods
                    .create(&PostParams::default(), &object)
                    .await
                    .with_context(|| format!("make pod {name}"))?;
                Ok(Identity {
                    token: self
                        .bound(WORKLOADS, "workload", &made, NODE_AGENT_AUDIENCE)
                        .await?,
                    pod: PodReference {
                        namespace: WORKLOADS.to_owned(),
                        name,
                        uid: made.uid().context("a pod has a UID")?,
                    },
                })
            })
            .buffer_unordered(crate::AT_ONCE)
            .try_collect()
            .await
    }

    async fn bound(
        &self,
        namespace: &str,
        account: &str,
        pod: &Pod,
        audience: &str,
    ) -> anyhow::Result<String> {
        let spec = bound_to(pod, audience, TOKEN_LIFETIME);
        request_token(&self.client, namespace, account, spec).await
    }

    /// Starts the key service and one replica of the authority.
    pub(crate) async fn start_authority(&self, programs: &Programs) -> anyhow::Result<Authorities> {
        let key_service = programs
            .start(
                "key-service",
                KEY_SERVICE_ADMIN,
                &[
                    (
                        "KUBECONFIG",
                        programs.kubeconfig(&self.client, "key-service").await?,
                    ),
                    ("POD_NAMESPACE", NAMESPACE.to_owned()),
                    ("TLS_DIRECTORY", programs.path("key-service")),
                    ("CLIENT_ROOT_FILE", programs.path("client-root.pem")),
                    ("MASTER_KEY_FILE", programs.path("master-key")),
                    ("KEY_SECRET", "key-service-keys".to_owned()),
                ],
            )
            .await?;
        let authority = programs
            .start(
                "certificate-authority",
                AUTHORITY_ADMIN,
                &[
                    (
                        "KUBECONFIG",
                        programs
                            .kubeconfig(&self.client, "certificate-authority")
                            .await?,
                    ),
                    ("POD_NAMESPACE", NAMESPACE.to_owned()),
                    ("TLS_DIRECTORY", programs.path("authority")),
                    ("KEY_SERVICE_ADDRESS", format!("{HOST}:{KEY_SERVICE}")),
                    ("KEY_SERVICE_ROOT_FILE", programs.path("server-root.pem")),
                    ("KEY_SERVICE_TLS_DIRECTORY", programs.path("client")),
                ],
            )
            .await?;
        Ok(Authorities {
            authority,
            key_service,
        })
    }

    /// Starts the agent of the node.
    pub(crate) async fn start_agent(
        &self,
        programs: &Programs,
        lifetime: Duration,
    ) -> anyhow::Result<Program> {
        programs
            .start(
                "node-agent",
                AGENT_ADMIN,
                &[
                    (
                        "KUBECONFIG",
                        programs.kubeconfig(&self.client, "node-agent").await?,
                    ),
                    ("NODE_NAME", NODE.to_owned()),
                    ("SOCKET", programs.socket().display().to_string()),
                    ("CERTIFICATE_LIFETIME", lifetime.as_secs().to_string()),
                    ("AUTHORITY_ADDRESS", format!("{HOST}:{PORT}")),
                    ("AUTHORITY_ROOT_FILE", programs.path("server-root.pem")),
                    ("TOKEN_FILE", programs.path("agent/token")),
                ],
            )
            .await
    }
}

impl Authorities {
    /// A client of the authority.
    pub(crate) async fn client(
        &self,
        programs: &Programs,
    ) -> anyhow::Result<CertificateAuthorityClient<Channel>> {
        let root =
            std::fs::read_to_string(programs.path("server-root.pem")).context("read the root")?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(root))
            .domain_name(HOST);
        let channel = Endpoint::from_shared(format!("https://127.0.0.1:{PORT}"))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .context("name the authority")?
            .connect()
            .await
            .context("reach the authority")?;
        Ok(CertificateAuthorityClient::new(channel))
    }

    /// Of the authority and of the key service.
    pub(crate) fn processor_time(&self) -> anyhow::Result<[Duration; 2]> {
        Ok([
            self.authority.processor_time()?,
            self.key_service.processor_time()?,
        ])
    }

    /// The same, since then.
    pub(crate) fn processor_time_since(
        &self,
        before: [Duration; 2],
    ) -> anyhow::Result<[Duration; 2]> {
        let [authority, key_service] = self.processor_time()?;
        Ok([
            authority.saturating_sub(before[0]),
            key_service.saturating_sub(before[1]),
        ])
    }
}

/// Objects of a file of the reference mesh that are accounts and rights, as they are: a template is none.
fn rights(file: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let reference = &fixtures::meshes::ALL[0];
    let (_, text) = reference
        .files
        .iter()
        .find(|(name, _)| *name == file)
        .with_context(|| format!("the reference mesh has no file {file}"))?;
    let mut objects = Vec::new();
    for document in text.split("\n---\n").filter(|text| !text.contains("{{")) {
        let object: DynamicObject =
            serde_saphyr::from_str(document).with_context(|| format!("read {file}"))?;
        let types = object
            .types
            .as_ref()
            .with_context(|| format!("{file}: an object has no kind"))?;
        if matches!(
            types.kind.as_str(),
            "Namespace"
                | "ServiceAccount"
                | "Secret"
                | "Role"
                | "ClusterRole"
                | "RoleBinding"
                | "ClusterRoleBinding"
        ) {
            objects.push(object);
        }
    }
    ensure!(!objects.is_empty(), "{file} has no rights");
    Ok(objects)
}

fn write_certificates(programs: &Programs) -> anyhow::Result<()> {
    let (servers, clients) = (
        Authority::new().context("make an authority")?,
        Authority::new().context("make an authority")?,
    );
    programs.write("server-root.pem", &servers.certificate)?;
    programs.write("client-root.pem", &clients.certificate)?;
    for (folder, authority) in [
        ("key-service", &servers),
        ("authority", &servers),
        ("client", &clients),
    ] {
        let pair = authority.server(&[HOST]).context("make a certificate")?;
        programs.write(&format!("{folder}/tls.crt"), &pair.certificate)?;
        programs.write(&format!("{folder}/tls.key"), &pair.key)?;
    }
    let master = servers.server(&["master"]).context("make a key")?.key;
    programs.write("master-key", &master)?;
    Ok(())
}

/// A request for the certificate of any of the pods.
pub(crate) fn certificate_request() -> anyhow::Result<Vec<u8>> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.subject_alt_names =
        vec![SanType::URI(SPIFFE_ID.try_into().context("write a name")?)];
    let key = KeyPair::generate().context("make a key")?;
    let request = parameters
        .serialize_request(&key)
        .context("sign a request")?;
    Ok(request.der().to_vec())
}
