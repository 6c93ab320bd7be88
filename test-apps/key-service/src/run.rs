//! Puts everything together and takes it down again.

use crate::access::Access;
use crate::admin;
use crate::behaviour::Behaviour;
use crate::keep::folder::Folder;
use crate::keep::secret::KeptSecret;
use crate::metrics::Metrics;
use crate::pkcs11::{TokenError, TokenStore};
use crate::sealed_store::{OpenStoreError, SealedStore};
use crate::sealing::{MasterKey, ReadMasterKeyError};
use crate::service::{Keys, MESSAGE_LIMIT};
use crate::settings::{KeepSettings, ReadSettingsError, Settings, StoreSettings};
use crate::store::KeyStore;
use api_client::ConnectError;
use identity_api::keys::service::key_service_server::KeyServiceServer;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// A client that is silent for this long, a ping included, is gone.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_ANSWERED: Duration = Duration::from_secs(3);
/// How long a client may take to show its certificate.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long calls may take to end.
const GOODBYE: Duration = Duration::from_millis(500);
/// The most bytes of a request: a message with what is around it.
const REQUEST_LIMIT: usize = MESSAGE_LIMIT + 4096;

/// The key service cannot start, or ended though nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The environment is not complete.
    #[error("read the settings")]
    Settings(#[source] ReadSettingsError),
    /// There is no master key.
    #[error("obtain the master key")]
    MasterKey(#[source] ReadMasterKeyError),
    /// There is no API server to ask for the Secret with the keys.
    #[error("reach the API server")]
    Connect(#[source] ConnectError),
    /// The keys cannot be used. A new store in their place would hide that they are lost.
    #[error("open the store of keys")]
    Store(#[source] OpenStoreError),
    /// The token cannot be used, or the keys on it.
    #[error("open the token with the keys")]
    Token(#[source] TokenError),
    /// The opening of the store ended by a panic.
    #[error("open the store of keys to its end")]
    Opening(#[source] tokio::task::JoinError),
    /// A certificate or key file cannot be read.
    #[error("read {path}")]
    ReadCertificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate, key or root is of no use.
    #[error("use the certificates")]
    UseCertificate(#[source] tonic::transport::Error),
    /// A port cannot be opened.
    #[error("listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The threads that everything runs on cannot be started.
    #[error("start threads")]
    Threads(#[source] std::io::Error),
    /// A signal cannot be waited for.
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
    /// The server ended.
    #[error("serve keys")]
    Serve(#[source] tonic::transport::Error),
    /// The admin server ended.
    #[error("serve the admin interface")]
    ServeAdmin(#[source] std::io::Error),
}

/// Starts logging (`LOG`, default `info`; the audit log always), runs until SIGTERM or SIGINT and returns the exit code.
#[must_use]
pub fn main(behaviour: Arc<dyn Behaviour>) -> ExitCode {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = match "audit=info".parse() {
        Ok(audit) => filter.add_directive(audit),
        Err(_) => filter,
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RunError::Threads)
        .and_then(|runtime| {
            let outcome = runtime.block_on(async {
                let settings =
                    Settings::read(|name| std::env::var(name).ok()).map_err(RunError::Settings)?;
                let service = KeyService::open(&settings, behaviour).await?;
                service.run(terminated()).await
            });
            // What is being written is whole or not there.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the key service cannot go on"
            );
            ExitCode::FAILURE
        }
    }
}

/// A key service whose store is open and whose ports are taken.
pub struct KeyService {
    server: Server,
    keys: Keys,
    access: Access,
    metrics: Arc<Metrics>,
    listener: TcpListener,
    admin_listener: TcpListener,
}

impl KeyService {
    /// Opens the store and takes the ports; connections wait until [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// When the store cannot be opened, a certificate is of no use or a port is taken.
    pub async fn open(
        settings: &Settings,
        behaviour: Arc<dyn Behaviour>,
    ) -> Result<Self, RunError> {
        // A provider that is there already is the same one: no other is compiled in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = match settings.store.clone() {
            StoreSettings::Sealed {
                keep,
                master_key_file,
            } => sealed_store(keep, &master_key_file, behaviour.clone()).await?,
            StoreSettings::Token(token) => {
                let runtime = Handle::current();
                let store = opened(move || TokenStore::open(&token, runtime), RunError::Token);
                store.await?
            }
        };
        Self::with_store(settings, store, behaviour).await
    }

    async fn with_store(
        settings: &Settings,
        store: Arc<dyn KeyStore>,
        behaviour: Arc<dyn Behaviour>,
    ) -> Result<Self, RunError> {
        let tls = &settings.tls_directory;
        let identity = Identity::from_pem(file(&tls.join("tls.crt"))?, file(&tls.join("tls.key"))?);
        let clients = Certificate::from_pem(file(&settings.client_root_file)?);
        let mut tls = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE);
        if behaviour.asks_for_certificates() {
            tls = tls.client_ca_root(clients);
        }
        let server = Server::builder()
            .tls_config(tls)
            .map_err(RunError::UseCertificate)?
            .http2_keepalive_interval(Some(PING_EVERY))
            .http2_keepalive_timeout(Some(PING_ANSWERED));
        let metrics = Arc::new(Metrics::default());
        let access = Access::new(settings.client_names_file.clone());
        Ok(Self {
            server,
            keys: Keys::new(store, access.clone(), behaviour, metrics.clone()),
            access,
            metrics,
            listener: listen(settings.listen).await?,
            admin_listener: listen(settings.admin_listen).await?,
        })
    }

    /// Where keys are served.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where the admin interface is.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin_listener.local_addr()
    }

    /// Serves until `end` is over.
    ///
    /// # Errors
    ///
    /// When a server ends by itself, or with the error of `end`.
    pub async fn run(
        mut self,
        end: impl Future<Output = std::io::Result<()>>,
    ) -> Result<(), RunError> {
        let shutdown = CancellationToken::new();
        let admin = admin::router(self.metrics, self.access, shutdown.clone());
        let mut admin = std::pin::pin!(axum::serve(self.admin_listener, admin).into_future());
        if let Ok(address) = self.listener.local_addr() {
            info!(%address, "serving keys");
        }
        let keys = KeyServiceServer::new(self.keys).max_decoding_message_size(REQUEST_LIMIT);
        let server = self.server.add_service(keys).serve_with_incoming_shutdown(
            TcpIncoming::from(self.listener).with_nodelay(Some(true)),
            shutdown.clone().cancelled_owned(),
        );
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return ended.map_err(RunError::Serve),
            ended = &mut admin => return ended.map_err(RunError::ServeAdmin),
            signal = end => signal.map_err(RunError::Signals)?,
        }
        info!("going");
        shutdown.cancel();
        let _ = tokio::time::timeout(GOODBYE, async {
            tokio::select! {
                _ = &mut server => {}
                _ = &mut admin => {}
            }
        })
        .await;
        Ok(())
    }
}

async fn sealed_store(
    keep: KeepSettings,
    master_key_file: &Path,
    behaviour: Arc<dyn Behaviour>,
) -> Result<Arc<dyn KeyStore>, RunError> {
    let master = MasterKey::read(master_key_file).map_err(RunError::MasterKey)?;
    match keep {
        KeepSettings::Secret { namespace, name } => {
            let client = api_client::connect().await.map_err(RunError::Connect)?;
            let keep = KeptSecret::new(client, &namespace, &name, Handle::current());
            let open = move || SealedStore::open(keep, master, behaviour);
            opened(open, RunError::Store).await
        }
        KeepSettings::Folder(folder) => {
            let open = move || SealedStore::open(Folder::take(&folder)?, master, behaviour);
            opened(open, RunError::Store).await
        }
    }
}

/// Opens a store where blocking harms nobody.
async fn opened<S: KeyStore, E: Send + 'static>(
    open: impl FnOnce() -> Result<S, E> + Send + 'static,
    failed: impl FnOnce(E) -> RunError,
) -> Result<Arc<dyn KeyStore>, RunError> {
    let opened = tokio::task::spawn_blocking(open).await;
    let store = opened.map_err(RunError::Opening)?.map_err(failed)?;
    Ok(Arc::new(store))
}

fn file(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|source| RunError::ReadCertificate {
        path: path.to_owned(),
        source,
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| RunError::Listen(address, error))
}

async fn terminated() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
