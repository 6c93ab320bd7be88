//! The key service as a client sees it, over loopback with real TLS: who is let in, what it answers, what the audit log
//! says.

use identity_api::keys::service::key_service_client::KeyServiceClient;
use identity_api::keys::{CreateKeyRequest, ListKeysRequest, RotateKeyRequest, SignRequest};
use key_service::behaviour::Faithful;
use key_service::run::{KeyService, RunError};
use key_service::settings::Settings;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

const SERVER: &str = "key-service.mesh-system.svc";

/// What has been logged by this process.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log() -> String {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).into_owned()
}

/// A root and what it signs.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self {
            certificate: params.self_signed(&key).expect("a root").pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn pair(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A service that runs in this process.
struct Running {
    folder: TempDir,
    clients: Authority,
    servers: Authority,
    address: SocketAddr,
    admin_address: SocketAddr,
    end: oneshot::Sender<()>,
    served: JoinHandle<Result<(), RunError>>,
}

impl Running {
    async fn start() -> Self {
        static LOGGING: OnceLock<()> = OnceLock::new();
        LOGGING.get_or_init(|| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(|| Log)
                .init();
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (clients, servers) = (Authority::new(), Authority::new());
        let (certificate, key) = servers.pair(SERVER);
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("tls.crt", &certificate);
        write("tls.key", &key);
        write("root.pem", &clients.certificate);
        write(
            "master",
            &KeyPair::generate().expect("a key").serialize_pem(),
        );
        let service = KeyService::open(&settings(folder.path()), Arc::new(Faithful))
            .await
            .expect("it starts");
        let address = service.address().expect("an address");
        let admin_address = service.admin_address().expect("an address");
        let (end, ended) = oneshot::channel();
        let served = tokio::spawn(service.run(async {
            let _ = ended.await;
            Ok(())
        }));
        Self {
            folder,
            clients,
            servers,
            address,
            admin_address,
            end,
            served,
        }
    }

    /// A client with this certificate.
    async fn client(
        &self,
        pair: Option<(String, String)>,
    ) -> Result<KeyServiceClient<Channel>, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.servers.certificate))
            .domain_name(SERVER);
        if let Some((certificate, key)) = pair {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let channel = Endpoint::from_shared(format!("https://{}", self.address))?
            .tls_config(tls)?
            .connect()
            .await?;
        Ok(KeyServiceClient::new(channel))
    }

    /// The outcome of a call that a client with this certificate makes: with TLS 1.3 a client learns with its first
    /// answer only that it was refused.
    async fn outcome(&self, pair: Option<(String, String)>) -> Result<(), String> {
        let mut client = self.client(pair).await.map_err(|error| error.to_string())?;
        let answer = client.list_keys(ListKeysRequest {}).await;
        answer.map(drop).map_err(|status| status.to_string())
    }
}

fn settings(folder: &Path) -> Settings {
    Settings::read(|name| {
        let value = match name {
            "LISTEN" | "ADMIN_LISTEN" => "127.0.0.1:0".to_owned(),
            "TLS_DIRECTORY" => folder.display().to_string(),
            "CLIENT_ROOT_FILE" => folder.join("root.pem").display().to_string(),
            "KEY_FOLDER" => folder.join("keys").display().to_string(),
            "MASTER_KEY_FILE" => folder.join("master").display().to_string(),
            _ => return None,
        };
        Some(value)
    })
    .expect("complete")
}

#[tokio::test]
async fn only_clients_below_its_root_are_served() {
    let running = Running::start().await;
    assert!(running.outcome(None).await.is_err(), "no certificate");
    let stranger = Authority::new().pair("stranger.svc");
    assert!(running.outcome(Some(stranger)).await.is_err(), "other root");
    let server = running.servers.pair("server.svc");
    assert!(
        running.outcome(Some(server)).await.is_err(),
        "servers' root"
    );
    let client = running.clients.pair("only.svc");
    assert_eq!(running.outcome(Some(client)).await, Ok(()));
    // Whom TLS refuses does not come so far that there is a call.
    assert!(!log().contains("stranger.svc"), "{}", log());
}

#[tokio::test]
async fn it_makes_keys_signs_and_writes_each_call_down() {
    let running = Running::start().await;
    let mut client = running
        .client(Some(running.clients.pair("authority.svc")))
        .await
        .expect("connected");
    let create = |name: &str| CreateKeyRequest {
        name: name.to_owned(),
    };
    let key = client
        .create_key(create("root"))
        .await
        .expect("made")
        .into_inner();
    let again = client.create_key(create("root")).await.expect("the same");
    assert_eq!(key, again.into_inner());
    let rotate = |after| RotateKeyRequest {
        name: "root".to_owned(),
        after,
    };
    let second = client
        .rotate_key(rotate(1))
        .await
        .expect("made")
        .into_inner();
    assert_eq!(second.version, 2);
    let again = client.rotate_key(rotate(1)).await.expect("the same");
    assert_eq!(second, again.into_inner());

    let sign = |version, length| SignRequest {
        name: "root".to_owned(),
        version,
        message: vec![7; length],
    };
    let signature = client.sign(sign(1, 64 * 1024)).await.expect("signed");
    let point = &key.public_key[key.public_key.len() - 65..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&[7; 64 * 1024], &signature.into_inner().signature)
        .expect("its signature");

    let refusals = [
        (client.sign(sign(3, 1)).await.map(drop), Code::NotFound),
        (
            client.sign(sign(1, 64 * 1024 + 1)).await.map(drop),
            Code::InvalidArgument,
        ),
        (
            client.create_key(create("Root\n")).await.map(drop),
            Code::InvalidArgument,
        ),
        (client.rotate_key(rotate(3)).await.map(drop), Code::NotFound),
    ];
    for (outcome, code) in refusals {
        assert_eq!(outcome.expect_err("refused").code(), code);
    }

    let log = log();
    for (method, key, version, outcome) in [
        ("CreateKey", "root", 1, "ok"),
        ("RotateKey", "root", 2, "ok"),
        ("Sign", "root", 1, "ok"),
        (
            "Sign",
            "root",
            3,
            "find version 3 of key `root`: the newest is 2",
        ),
        (
            "CreateKey",
            "",
            0,
            "a key's name is 1 to 63 lower-case letters, digits and `-`",
        ),
    ] {
        let entry = format!(
            "audit: call caller=\"authority.svc\" method=\"{method}\" key=\"{key}\" version={version} outcome=\"{outcome}\""
        );
        assert!(log.contains(&entry), "{entry} is not in\n{log}");
    }
}

#[tokio::test]
async fn it_ends_within_a_second_though_clients_stay() {
    let running = Running::start().await;
    let mut client = running
        .client(Some(running.clients.pair("staying.svc")))
        .await
        .expect("connected");
    client.list_keys(ListKeysRequest {}).await.expect("a list");
    let admin = tokio::net::TcpStream::connect(running.admin_address)
        .await
        .expect("connected");
    let started = Instant::now();
    running.end.send(()).expect("it runs");
    running
        .served
        .await
        .expect("no panic")
        .expect("it was asked to end");
    assert!(started.elapsed() < Duration::from_secs(1));
    drop(admin);

    // Nothing of it is left: another one opens the same folder.
    let again = KeyService::open(&settings(running.folder.path()), Arc::new(Faithful)).await;
    assert!(again.is_ok(), "{:?}", again.err());
}

#[tokio::test]
async fn with_another_master_key_it_does_not_start() {
    let running = Running::start().await;
    running.end.send(()).expect("it runs");
    let _ = running.served.await.expect("no panic");
    let master = running.folder.path().join("master");
    std::fs::write(&master, [1; 32]).expect("written");
    let error = KeyService::open(&settings(running.folder.path()), Arc::new(Faithful)).await;
    assert!(
        matches!(error.as_ref().err(), Some(RunError::Store(_))),
        "{:?}",
        error.err()
    );
    std::fs::write(&master, [1; 31]).expect("written");
    let error = KeyService::open(&settings(running.folder.path()), Arc::new(Faithful)).await;
    assert!(matches!(error.err(), Some(RunError::MasterKey(_))));
}
