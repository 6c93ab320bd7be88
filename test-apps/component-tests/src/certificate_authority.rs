//! The certificate authority and its key service as containers, deployed as the mesh definition deploys them.

use crate::certificates::{Authority, Pair};
use crate::kubernetes::{Kubernetes, NAMESPACE};
use crate::session::{self, Session};
use identity_api::authority::service::certificate_authority_client::CertificateAuthorityClient;
use testcontainers::core::wait::HttpWaitStrategy;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};
use tokio::io::AsyncReadExt as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// The port of the authority's admin interface, in its container.
const ADMIN_PORT: u16 = 15016;
/// The same of the key service.
const KEY_ADMIN_PORT: u16 = 15018;

/// What the mesh definition applies before the authority.
const BEFORE_THE_AUTHORITY: [&str; 3] = [
    "namespaces.yaml",
    "key-service-rbac.yaml",
    "certificate-authority-rbac.yaml",
];

/// By which name agents know the authority.
const SERVER_NAME: &str = "certificate-authority.mesh-system.svc";

/// How long a new root is in the bundle here before anything leads to it.
pub const ROLL_AFTER: &str = "1s";

/// A key service and two replicas of the authority.
pub struct Authorities {
    /// The key service.
    pub key_service: ContainerAsync<GenericImage>,
    /// The replicas.
    pub replicas: Vec<Replica>,
}

/// One replica.
pub struct Replica {
    /// Its container.
    pub container: ContainerAsync<GenericImage>,
    /// Who signed its certificate, PEM.
    root: String,
    http: reqwest::Client,
}

impl Authorities {
    /// Starts all of it at once, with its own rights alone, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When something does not start or does not become ready.
    pub async fn deployed(session: &Session, kubernetes: &Kubernetes) -> Self {
        kubernetes.apply_files(&BEFORE_THE_AUTHORITY).await;
        let token = kubernetes.token("certificate-authority").await;
        let token_of_keys = kubernetes.token("key-service").await;
        let image = session.image_of_ours("identity").await;
        let servers = Authority::new().expect("an authority");
        let clients = Authority::new().expect("an authority");
        let name = session.name("key-service");
        let pair =
            |authority: &Authority, name: &str| authority.server(&[name]).expect("a certificate");

        let master = pair(&servers, "master").key;
        let request = ready_at(session, image.clone(), "key-service", KEY_ADMIN_PORT);
        let request = with_pair(
            kubernetes
                .known_to(request, &token_of_keys)
                .with_env_var("KEY_SECRET", "key-service-keys"),
            "/etc/key-service/tls",
            pair(&servers, &name),
        );
        let key_service = with_file(
            with_file(request, "/etc/key-service/master/key", master),
            "/etc/key-service/client/root.pem",
            clients.certificate.clone(),
        );
        let replica = |number: u8| {
            let request = ready_at(
                session,
                image.clone(),
                &format!("certificate-authority-{number}"),
                ADMIN_PORT,
            );
            let folder = "/etc/certificate-authority";
            let of_keys = format!("{folder}/key-service");
            let request = with_pair(request, &of_keys, pair(&clients, "authority"));
            let root = servers.certificate.clone();
            let request = with_file(request, &format!("{of_keys}/root.pem"), root);
            let request = with_pair(
                request,
                &format!("{folder}/tls"),
                pair(&servers, SERVER_NAME),
            );
            kubernetes
                .known_to(request, &token)
                .with_env_var("ROLL_AFTER", ROLL_AFTER)
                .with_env_var("KEY_SERVICE_ADDRESS", format!("{name}:15017"))
                .start()
        };
        let (key_service, first, second) =
            tokio::join!(key_service.start(), replica(0), replica(1));
        let replicas = [first, second].map(|container| Replica {
            container: container.expect("start the authority"),
            root: servers.certificate.clone(),
            http: session.http(),
        });
        Self {
            key_service: key_service.expect("start the key service"),
            replicas: replicas.into(),
        }
    }
}

impl Replica {
    /// A client, by whatever port it has now.
    ///
    /// # Panics
    ///
    /// When it cannot be reached.
    pub async fn client(&self) -> CertificateAuthorityClient<Channel> {
        let url = session::url(&self.container, identity_api::authority::PORT, "").await;
        let url = url.expect("a port").replacen("http:", "https:", 1);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.root))
            .domain_name(SERVER_NAME);
        let channel = Endpoint::from_shared(url)
            .and_then(|endpoint| endpoint.tls_config(tls))
            .expect("an endpoint")
            .connect()
            .await
            .expect("connect to the authority");
        CertificateAuthorityClient::new(channel)
    }

    /// What its admin interface answers: status and text.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn answer(&self, path: &str) -> Result<(u16, String), String> {
        session::answer(&self.http, &self.container, ADMIN_PORT, path).await
    }

    /// Everything that it has said so far.
    ///
    /// # Panics
    ///
    /// When the engine does not give its log.
    pub async fn log(&self) -> String {
        let mut text = String::new();
        let mut log = self.container.stderr(false);
        log.read_to_string(&mut text).await.expect("its log");
        text
    }
}

/// A pod of the mesh's own namespace, as tokens are bound to it.
#[must_use]
pub fn agent_pod(name: &str, account: &str, node: &str) -> serde_json::Value {
    pod(NAMESPACE, name, account, node)
}

/// A pod as the API server has it when it was scheduled: nobody runs it here.
#[must_use]
pub fn pod(namespace: &str, name: &str, account: &str, node: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": node,
            "serviceAccountName": account,
            "containers": [{"name": "one", "image": "none"}],
        },
    })
}

/// A program of the image `identity`, which is there when its admin interface says that it is ready.
fn ready_at(
    session: &Session,
    image: GenericImage,
    name: &str,
    port: u16,
) -> ContainerRequest<GenericImage> {
    let ready = HttpWaitStrategy::new("/readyz")
        .with_client(session.http())
        .with_port(port.tcp())
        .with_expected_status_code(200_u16);
    let program = name.trim_end_matches(|letter: char| letter == '-' || letter.is_ascii_digit());
    let image = image
        .with_entrypoint(&format!("/{program}"))
        .with_exposed_port(port.tcp())
        .with_exposed_port(identity_api::authority::PORT.tcp())
        .with_wait_for(WaitFor::http(ready));
    session
        .container(image, name)
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges")
}

fn with_pair(
    request: ContainerRequest<GenericImage>,
    folder: &str,
    pair: Pair,
) -> ContainerRequest<GenericImage> {
    let request = with_file(request, &format!("{folder}/tls.crt"), pair.certificate);
    with_file(request, &format!("{folder}/tls.key"), pair.key)
}

fn with_file(
    request: ContainerRequest<GenericImage>,
    path: &str,
    text: String,
) -> ContainerRequest<GenericImage> {
    request.with_copy_to(path, text.into_bytes())
}
