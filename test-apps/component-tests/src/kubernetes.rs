//! A real API server with its store, as containers, with what the mesh definition says about a control plane's rights.
//!
//! Invariant: nobody schedules or runs pods here; who is allowed what is decided by RBAC alone.

use crate::certificates::Authority;
use crate::session::Session;
use crate::wait;
use anyhow::Context as _;
use harness_assets::Asset;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::AuthInfo;
use kube::{Client, Config, ResourceExt as _};
use mesh_api::{PolicyConfig, ScopeConfig};
use rcgen::KeyPair;
use std::time::Duration;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};

/// The port of the API server, in its container.
pub const PORT: u16 = 6443;

/// How long an API server may take to become ready: ten seconds are usual, and the machine may be busy.
pub const READY: Duration = Duration::from_secs(120);

/// What the API server reads stands here in its container.
const FOLDER: &str = "/etc/kubernetes";

/// What the API server's certificate is for, by whatever address it is reached.
const SERVER_NAME: &str = "kube-apiserver";

/// Where the parts of the mesh itself are.
pub const NAMESPACE: &str = "mesh-system";

/// Where a pod has what it needs to speak to the API server.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the mesh definition applies before the control plane itself.
const BEFORE_THE_CONTROL_PLANE: [&str; 4] = [
    "namespaces.yaml",
    "../../crds/scopeconfigs.yaml",
    "../../crds/policyconfigs.yaml",
    "control-plane-rbac.yaml",
];

/// An API server.
pub struct Kubernetes {
    /// The API server itself.
    pub api_server: ContainerAsync<GenericImage>,
    /// The network that it and its store are in, and whoever wants to reach it by name.
    pub network: String,
    /// Its name there.
    pub name: String,
    /// Who signed its certificate.
    pub authority: Authority,
    /// Who knows it may do everything; the port may be open to others for a while.
    administrator: String,
    _etcd: ContainerAsync<GenericImage>,
}

impl Kubernetes {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When a container does not start or the API server does not become ready.
    pub async fn start(session: &Session) -> Self {
        let network = session.network().await;
        let etcd = session
            .image_of(Asset::Etcd)
            .await
            .with_wait_for(WaitFor::message_on_stderr("ready to serve client requests"));
        let etcd_name = session.name("etcd");
        let etcd = session
            .container(etcd, "etcd")
            .with_network(&network)
            .with_cmd([
                "--data-dir=/tmp/etcd".to_owned(),
                "--listen-client-urls=http://0.0.0.0:2379".to_owned(),
                format!("--advertise-client-urls=http://{etcd_name}:2379"),
                // Nothing outlives the test, so nothing needs to reach a disk.
                "--unsafe-no-fsync=true".to_owned(),
            ])
            .start()
            .await
            .expect("start etcd");
        let name = session.name("kube-apiserver");
        let authority = Authority::new().expect("an authority");
        let administrator = format!("{:032x}", rand::random::<u128>());
        let image = session
            .image_of(Asset::KubeApiserver)
            .await
            .with_exposed_port(PORT.tcp());
        let mut request = session
            .container(image, "kube-apiserver")
            .with_network(&network);
        for (file, text) in files(&authority, &name, &administrator) {
            request = request.with_copy_to(format!("{FOLDER}/{file}"), text.into_bytes());
        }
        let api_server = request
            .with_cmd(flags(&etcd_name))
            .start()
            .await
            .expect("start kube-apiserver");
        let kubernetes = Self {
            api_server,
            network,
            name,
            authority,
            administrator,
            _etcd: etcd,
        };
        kubernetes.ready().await;
        kubernetes
    }

    /// Waits until the API server says that it is ready.
    ///
    /// # Panics
    ///
    /// When it does not within [`READY`].
    pub async fn ready(&self) {
        wait::until("the API server is ready", READY, async || {
            let client = self.administrator().await?;
            let request = http::Request::get("/readyz").body(Vec::new());
            let request = request.map_err(|error| error.to_string())?;
            let answer = client.request_text(request).await;
            answer.map_err(|error| error.to_string())
        })
        .await;
    }

    /// A client that may do everything. Its port is another one each time the API server starts.
    ///
    /// # Errors
    ///
    /// When the API server does not run.
    pub async fn administrator(&self) -> Result<Client, String> {
        self.client(&self.administrator).await
    }

    /// A client with a token.
    ///
    /// # Errors
    ///
    /// When the API server does not run.
    pub async fn client(&self, token: &str) -> Result<Client, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let host = self
            .api_server
            .get_host()
            .await
            .map_err(|error| said(&error))?;
        let port = self
            .api_server
            .get_host_port_ipv4(PORT.tcp())
            .await
            .map_err(|error| said(&error))?;
        let url = format!("https://{host}:{port}").parse();
        let mut config = Config::new(url.map_err(|error: http::uri::InvalidUri| said(&error))?);
        config.root_cert = Some(vec![self.authority.certificate_der.clone()]);
        config.tls_server_name = Some(SERVER_NAME.to_owned());
        config.auth_info = AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).map_err(|error| said(&error))
    }

    /// Applies what the mesh definition applies before the control plane: namespaces, its kinds, its rights.
    ///
    /// # Panics
    ///
    /// When the API server refuses something.
    pub async fn apply_rights(&self) {
        apply_rights(&self.administrator().await.expect("a client")).await;
    }

    /// Applies files of the reference mesh that are no templates.
    ///
    /// # Panics
    ///
    /// When there is no such file, or the API server refuses something.
    pub async fn apply_files(&self, names: &[&str]) {
        apply_files(&self.administrator().await.expect("a client"), names).await;
    }

    /// A container that finds this API server and shows it a token, as in a pod of the control plane's namespace.
    pub fn known_to(
        &self,
        request: ContainerRequest<GenericImage>,
        token: &str,
    ) -> ContainerRequest<GenericImage> {
        let mut request = request
            .with_network(&self.network)
            .with_env_var("POD_NAMESPACE", NAMESPACE)
            .with_env_var("KUBERNETES_SERVICE_HOST", &self.name)
            .with_env_var("KUBERNETES_SERVICE_PORT", PORT.to_string());
        for (file, text) in [
            ("token", token),
            ("ca.crt", &self.authority.certificate),
            ("namespace", NAMESPACE),
        ] {
            let target = format!("{SERVICE_ACCOUNT}/{file}");
            request = request.with_copy_to(target, text.as_bytes().to_vec());
        }
        request
    }

    /// A token of a service account in the control plane's namespace; the account is made where it is missing.
    ///
    /// # Panics
    ///
    /// When the API server gives none.
    pub async fn token(&self, account: &str) -> String {
        let client = self.administrator().await.expect("a client");
        let object = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": NAMESPACE},
        }));
        apply(&client, &object.expect("well-formed")).await;
        self.token_of(account, TokenRequestSpec::default()).await
    }

    /// A token of a service account in the control plane's namespace, as it is asked for.
    ///
    /// # Panics
    ///
    /// When the API server gives none.
    pub async fn token_of(&self, account: &str, spec: TokenRequestSpec) -> String {
        let client = self.administrator().await.expect("a client");
        let made = request_token(&client, NAMESPACE, account, spec).await;
        made.expect("a token")
    }
}

/// What the API server reads.
fn files(authority: &Authority, name: &str, administrator: &str) -> [(&'static str, String); 5] {
    let serving = authority
        .server(&[SERVER_NAME, name])
        .expect("a certificate");
    let accounts = KeyPair::generate().expect("a key");
    [
        ("serving.crt", serving.certificate),
        ("serving.key", serving.key),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
        (
            "tokens.csv",
            format!("{administrator},administrator,administrator,system:masters\n"),
        ),
    ]
}

fn flags(etcd: &str) -> Vec<String> {
    let flags = [
        ("etcd-servers", format!("http://{etcd}:2379")),
        ("secure-port", PORT.to_string()),
        ("cert-dir", "/tmp/certificates".to_owned()),
        ("tls-cert-file", format!("{FOLDER}/serving.crt")),
        ("tls-private-key-file", format!("{FOLDER}/serving.key")),
        ("token-auth-file", format!("{FOLDER}/tokens.csv")),
        ("authorization-mode", "RBAC".to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local".to_owned(),
        ),
        ("service-account-key-file", format!("{FOLDER}/accounts.pub")),
        (
            "service-account-signing-key-file",
            format!("{FOLDER}/accounts.key"),
        ),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        // Nobody makes the accounts that it would ask for.
        ("disable-admission-plugins", "ServiceAccount".to_owned()),
        ("endpoint-reconciler-type", "none".to_owned()),
        ("enable-priority-and-fairness", "false".to_owned()),
    ];
    let line = |(name, value)| format!("--{name}={value}");
    flags.into_iter().map(line).collect()
}

/// A token of a service account, as it is asked for.
///
/// # Errors
///
/// When the API server gives none.
pub async fn request_token(
    client: &Client,
    namespace: &str,
    account: &str,
    spec: TokenRequestSpec,
) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .with_context(|| format!("ask for a token of {account}"))?;
    Ok(made.status.context("a token has a status")?.token)
}

/// A request for a token that is bound to a pod, for so many seconds.
#[must_use]
pub fn bound_to(pod: &Pod, audience: &str, seconds: i64) -> TokenRequestSpec {
    TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        expiration_seconds: Some(seconds),
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.uid(),
        }),
    }
}

/// Applies what the mesh definition applies before the control plane: namespaces, its kinds, its rights.
///
/// # Panics
///
/// When the API server refuses something.
pub async fn apply_rights(client: &Client) {
    apply_files(client, &BEFORE_THE_CONTROL_PLANE).await;
    let scopes: Api<ScopeConfig> = Api::all(client.clone());
    let policies: Api<PolicyConfig> = Api::all(client.clone());
    // A definition is established a moment before its kind is served.
    wait::until("the kinds of the mesh are served", READY, async || {
        let all = ListParams::default();
        let refused = |error: kube::Error| error.to_string();
        scopes.list(&all).await.map_err(refused)?;
        policies.list(&all).await.map_err(refused)
    })
    .await;
}

/// Applies files of the reference mesh that are no templates.
///
/// # Panics
///
/// When there is no such file, or the API server refuses something.
pub async fn apply_files(client: &Client, names: &[&str]) {
    let reference = &fixtures::meshes::ALL[0];
    for name in names {
        let (_, text) = reference
            .files
            .iter()
            .find(|(file, _)| file == name)
            .unwrap_or_else(|| panic!("the reference mesh has no file {name}"));
        let objects: Vec<DynamicObject> =
            serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for object in objects {
            apply(client, &object).await;
        }
    }
}

/// Applies an object by what it says of itself.
///
/// # Panics
///
/// When the API server refuses it.
pub async fn apply(client: &Client, object: &DynamicObject) {
    let types = object.types.clone().expect("an object has a kind");
    let kind = ApiResource::from_gvk(&types.try_into().expect("a kind"));
    let name = object
        .metadata
        .name
        .as_deref()
        .expect("an object has a name");
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let patch = PatchParams::apply("component-test").force();
    if let Err(error) = api.patch(name, &patch, &Patch::Apply(object)).await {
        panic!("apply {} {name}: {error}", kind.kind);
    }
}
