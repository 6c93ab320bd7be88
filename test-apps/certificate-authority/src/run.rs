//! Puts everything together and takes it down again.

use crate::admin::Admin;
use crate::authenticate::TokenReviews;
use crate::behaviour::Behaviour;
use crate::bundle::Announcements;
use crate::keeping::Keeping;
use crate::keys::{ConnectKeysError, Keys};
use crate::metrics::Metrics;
use crate::pods::Pods;
use crate::pulse;
use crate::service::Service;
use crate::settings::{ReadSettingsError, Settings};
use api_client::{ConnectError, connect};
use identity_api::authority::service::certificate_authority_server::CertificateAuthorityServer;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// A node agent that is silent for this long, a ping included, is gone.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_ANSWERED: Duration = Duration::from_secs(3);
/// How long calls and streams may take to end.
const GOODBYE: Duration = Duration::from_millis(500);
/// The most bytes of a request.
const REQUEST_LIMIT: usize = 64 * 1024;

/// The authority ended though nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The environment is not complete.
    #[error("read the settings")]
    Settings(#[source] ReadSettingsError),
    /// A certificate or key file cannot be read.
    #[error("read {path}")]
    ReadCertificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or key is of no use.
    #[error("use the certificate")]
    UseCertificate(#[source] tonic::transport::Error),
    /// A port cannot be opened.
    #[error("listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// There is no API server to ask.
    #[error("reach the API server")]
    Connect(#[source] ConnectError),
    /// There is no key service to ask.
    #[error("reach the key service")]
    Keys(#[source] ConnectKeysError),
    /// The threads that everything runs on cannot be started.
    #[error("start threads")]
    Threads(#[source] std::io::Error),
    /// A signal cannot be waited for.
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
    /// The server ended.
    #[error("serve node agents")]
    Serve(#[source] tonic::transport::Error),
    /// The admin server ended.
    #[error("serve the admin interface")]
    ServeAdmin(#[source] std::io::Error),
    /// A part that never ends has ended, by a panic.
    #[error("keep {0} running")]
    Ended(&'static str),
}

/// Starts logging (`LOG`, default `info`), runs until SIGTERM or SIGINT and returns the exit code.
pub fn main(behaviour: Arc<dyn Behaviour>) -> ExitCode {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    // A provider that is there already is the same one: no other is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RunError::Threads)
        .and_then(|runtime| {
            runtime.block_on(async {
                let settings =
                    Settings::read(|name| std::env::var(name).ok()).map_err(RunError::Settings)?;
                run(settings, behaviour).await
            })
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the certificate authority cannot go on"
            );
            ExitCode::FAILURE
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// When it cannot start or a server ends by itself.
pub async fn run(settings: Settings, behaviour: Arc<dyn Behaviour>) -> Result<(), RunError> {
    let shutdown = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let announcements = Arc::new(Announcements::default());
    let pods = Pods::default();
    let doubt = Arc::new(Notify::new());
    let (signs, can_sign) = watch::channel(false);
    let issuer = watch::Sender::new(None);
    let issuers = issuer.subscribe();
    let client = connect().await.map_err(RunError::Connect)?;
    let keys = Keys::connect(&settings.key_service, behaviour.as_ref(), metrics.clone())
        .map_err(RunError::Keys)?;

    let admin = Admin {
        metrics: metrics.clone(),
        announcements: announcements.clone(),
        pods: pods.clone(),
        can_sign,
        shutdown: shutdown.clone(),
    };
    let server = server(&settings)?;
    let listener = listen(settings.listen).await?;
    let admin_listener = listen(settings.admin_listen).await?;
    let mut admin = std::pin::pin!(axum::serve(admin_listener, admin.router()).into_future());

    let following = pods.clone().follow(
        client.clone(),
        settings.workload_namespace.clone(),
        metrics.clone(),
    );
    let mut following = tokio::spawn(following);
    let keeping = Keeping::new(
        client.clone(),
        settings.clone(),
        behaviour.clone(),
        keys.clone(),
        announcements.clone(),
        issuer,
        metrics.clone(),
    );
    let mut keeping = tokio::spawn(keeping.run());
    let pulse = pulse::run(keys.clone(), issuers.clone(), doubt.clone(), signs);
    let mut pulse = tokio::spawn(pulse);

    info!(address = %settings.listen, "serving node agents");
    let service = Service {
        reviews: TokenReviews::new(
            client,
            behaviour.clone(),
            settings.node_agent_account.clone(),
        ),
        settings,
        behaviour,
        pods,
        keys,
        issuer: issuers,
        announcements,
        doubt,
        metrics,
        shutdown: shutdown.clone(),
    };
    let service = CertificateAuthorityServer::new(service).max_decoding_message_size(REQUEST_LIMIT);
    let mut server = std::pin::pin!(serve(server, service, listener, shutdown.clone()));
    let outcome = tokio::select! {
        signal = terminated() => signal.map_err(RunError::Signals),
        ended = &mut server => return ended,
        ended = &mut admin => ended.map_err(RunError::ServeAdmin),
        // What does not see the world any more must not go on as if it did.
        _ = &mut following => Err(RunError::Ended("the watch of pods")),
        _ = &mut keeping => Err(RunError::Ended("the keeping of roots")),
        _ = &mut pulse => Err(RunError::Ended("the watch of the key service")),
    };
    info!("going");
    shutdown.cancel();
    following.abort();
    keeping.abort();
    pulse.abort();
    let _ = tokio::time::timeout(GOODBYE, server).await;
    outcome
}

fn server(settings: &Settings) -> Result<Server, RunError> {
    let file = |name: &str| {
        let path = settings.tls_directory.join(name);
        std::fs::read(&path).map_err(|source| RunError::ReadCertificate { path, source })
    };
    let identity = Identity::from_pem(file("tls.crt")?, file("tls.key")?);
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .map_err(RunError::UseCertificate)?
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_ANSWERED));
    Ok(server)
}

async fn serve(
    mut server: Server,
    service: CertificateAuthorityServer<Service>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    server
        .add_service(service)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            shutdown.cancelled_owned(),
        )
        .await
        .map_err(RunError::Serve)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| RunError::Listen(address, error))
}

async fn terminated() -> Result<(), std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
