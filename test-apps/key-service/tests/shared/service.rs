//! A key service in this process, over loopback with real TLS, and what it logs.

use certificate_authority::behaviour::Faithful as FaithfulAuthority;
use certificate_authority::keys::Keys;
use certificate_authority::settings::KeyServiceSettings;
use identity_api::keys::service::key_service_client::KeyServiceClient;
use key_service::behaviour::{Behaviour, Faithful};
use key_service::run::{KeyService, RunError};
use key_service::settings::{Settings, StoreSettings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// For whom the service's certificate is; clients on this machine know it by either name.
pub(crate) const SERVER: [&str; 2] = ["key-service.mesh-system.svc", "localhost"];

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

pub(crate) fn log() -> String {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).into_owned()
}

/// A root and what it signs.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self {
            certificate: params.self_signed(&key).expect("a root").pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn pair(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A service that runs in this process.
pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) clients: Authority,
    pub(crate) servers: Authority,
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    pub(crate) end: oneshot::Sender<()>,
    pub(crate) served: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// With the store that these settings make of a folder for everything.
    pub(crate) async fn start(store: impl FnOnce(&Path) -> StoreSettings) -> Self {
        Self::behaving(Arc::new(Faithful), store).await
    }

    /// The same, with these decisions.
    pub(crate) async fn behaving(
        behaviour: Arc<dyn Behaviour>,
        store: impl FnOnce(&Path) -> StoreSettings,
    ) -> Self {
        static LOGGING: OnceLock<()> = OnceLock::new();
        LOGGING.get_or_init(|| {
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(|| Log)
                .init();
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (clients, servers) = (Authority::new(), Authority::new());
        let (certificate, key) = servers.pair(&SERVER);
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("tls.crt", &certificate);
        write("tls.key", &key);
        write("root.pem", &clients.certificate);
        let store = store(folder.path());
        let service = KeyService::open(&settings(folder.path(), store), behaviour)
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

    /// The certificate authority's client, with a certificate for this name.
    pub(crate) fn authority(&self, name: &str) -> Keys {
        let folder = self.folder.path().join("authority");
        std::fs::create_dir(&folder).expect("made");
        let (certificate, key) = self.clients.pair(&[name]);
        for (name, text) in [
            ("tls.crt", &certificate),
            ("tls.key", &key),
            ("root.pem", &self.servers.certificate),
        ] {
            std::fs::write(folder.join(name), text).expect("written");
        }
        let settings = KeyServiceSettings {
            address: format!("{}:{}", SERVER[1], self.address.port()),
            root_file: folder.join("root.pem"),
            tls_directory: folder,
        };
        Keys::connect(&settings, &FaithfulAuthority, Arc::default()).expect("a client")
    }

    /// A client with this certificate.
    pub(crate) async fn client(
        &self,
        pair: Option<(String, String)>,
    ) -> Result<KeyServiceClient<Channel>, tonic::transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.servers.certificate))
            .domain_name(SERVER[0]);
        if let Some((certificate, key)) = pair {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let channel = Endpoint::from_shared(format!("https://{}", self.address))?
            .tls_config(tls)?
            .connect()
            .await?;
        Ok(KeyServiceClient::new(channel))
    }
}

/// The file with the names of clients, in the folder for everything: where a test has written it, they alone are served.
pub(crate) const NAMES: &str = "names";

/// Everything in one folder but the store.
pub(crate) fn settings(folder: &Path, store: StoreSettings) -> Settings {
    let any = "127.0.0.1:0".parse().expect("an address");
    Settings {
        listen: any,
        admin_listen: any,
        tls_directory: folder.to_owned(),
        client_root_file: folder.join("root.pem"),
        client_names_file: Some(folder.join(NAMES)).filter(|file| file.exists()),
        store,
    }
}
