//! Puts everything together and takes it down again.

use crate::admin::Admin;
use crate::authenticate::TokenReviews;
use crate::behaviour::Behaviour;
use crate::leading::Candidate;
use crate::metrics::Metrics;
use crate::service::{DiscoveryService, Shared};
use crate::settings::{ReadSettingsError, Settings};
use crate::statuses::Statuses;
use crate::watching::Watching;
use crate::world::WorldStore;
use crate::writing::Writing;
use api_client::{ConnectError, connect};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// A sidecar that is silent for this long, a ping included, is gone.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_ANSWERED: Duration = Duration::from_secs(3);
/// How long streams may take to end.
const GOODBYE: Duration = Duration::from_secs(3);

/// The control plane ended though nobody asked for it.
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
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// There is no API server to ask.
    #[error("reach the API server")]
    Connect(#[source] ConnectError),
    /// The threads that everything runs on cannot be started.
    #[error("start threads")]
    Threads(#[source] std::io::Error),
    /// A signal cannot be waited for.
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
    /// The xDS server ended.
    #[error("serve xDS")]
    Serve(#[source] tonic::transport::Error),
    /// The admin server ended.
    #[error("serve the admin interface")]
    ServeAdmin(#[source] std::io::Error),
    /// A part that never ends has ended, by a panic.
    #[error("keep {0} running")]
    Ended(&'static str),
}

/// Starts logging (`LOG`, default `info`), runs until SIGTERM or SIGINT and returns the exit code.
pub fn main(behaviour: Arc<dyn Behaviour>) -> std::process::ExitCode {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    // A provider that is there already is the same one: no other is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(async {
            let settings =
                Settings::read(|name| std::env::var(name).ok()).map_err(RunError::Settings)?;
            run(settings, behaviour).await
        }),
        Err(error) => Err(RunError::Threads(error)),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the control plane cannot go on"
            );
            std::process::ExitCode::FAILURE
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
    let metrics = Arc::new(Metrics::new());
    let store = WorldStore::new();
    let statuses = Arc::new(Statuses::default());
    let synced = watch::Sender::new(false);
    let (listening, listens) = watch::channel(false);
    let client = connect().await.map_err(RunError::Connect)?;
    behaviour.attach(&store);
    let shared = Arc::new(Shared::new(
        &settings.pod_name,
        store.clone(),
        behaviour.clone(),
        Arc::new(TokenReviews::new(client.clone())),
        metrics.clone(),
        shutdown.clone(),
    ));

    let admin = Admin {
        metrics: metrics.clone(),
        acknowledgements: shared.acknowledgements.clone(),
        synced: synced.subscribe(),
        listening: listens,
        shutdown: shutdown.clone(),
    };
    let admin_listener = listen(settings.admin_listen).await?;
    let admin = tokio::spawn(axum::serve(admin_listener, admin.router()).into_future());

    let watching = Watching {
        client: client.clone(),
        settings: settings.clone(),
        behaviour: behaviour.clone(),
        store: store.clone(),
        statuses: statuses.clone(),
        metrics: metrics.clone(),
        synced,
    };
    let mut watching = tokio::spawn(watching.run());

    let (leads, is_leading) = watch::channel(false);
    let candidate = Candidate::new(
        client.clone(),
        &settings.pod_namespace,
        &settings.pod_name,
        behaviour.clone(),
    );
    let mut candidate = tokio::spawn(candidate.run(leads, shutdown.clone()));
    let writing = Writing {
        client,
        settings: settings.clone(),
        behaviour,
        store,
        statuses,
        acknowledgements: shared.acknowledgements.clone(),
        metrics,
    };
    let mut writing = tokio::spawn(writing.run(is_leading));

    let mut server = tokio::spawn(serve(settings, shared, listening));
    let outcome = tokio::select! {
        signal = terminated() => signal.map_err(RunError::Signals),
        ended = &mut server => ended.unwrap_or(Err(RunError::Ended("the xDS server"))),
        ended = admin => match ended {
            Ok(ended) => ended.map_err(RunError::ServeAdmin),
            Err(_) => Err(RunError::Ended("the admin server")),
        },
        // A replica that does not see the world any more must not go on as if it did.
        _ = &mut watching => Err(RunError::Ended("the watches")),
        _ = &mut writing => Err(RunError::Ended("the writer of status")),
        _ = &mut candidate => Err(RunError::Ended("the election")),
    };
    info!("going");
    shutdown.cancel();
    writing.abort();
    watching.abort();
    let goodbye = async {
        // What has ended already must not be waited for again.
        if !server.is_finished() {
            let _ = (&mut server).await;
        }
        if !candidate.is_finished() {
            let _ = (&mut candidate).await;
        }
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    outcome
}

async fn serve(
    settings: Settings,
    shared: Arc<Shared>,
    listening: watch::Sender<bool>,
) -> Result<(), RunError> {
    let file = |name: &str| {
        let path = settings.tls_directory.join(name);
        std::fs::read(&path).map_err(|source| RunError::ReadCertificate { path, source })
    };
    let identity = Identity::from_pem(file("tls.crt")?, file("tls.key")?);
    let shutdown = shared.shutdown.clone();
    let mut server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .map_err(RunError::UseCertificate)?
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_ANSWERED));
    let listener = listen(settings.xds_listen).await?;
    listening.send_replace(true);
    info!(address = %settings.xds_listen, "serving xDS");
    server
        .add_service(DiscoveryService::new(shared))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            shutdown.cancelled_owned(),
        )
        .await
        .map_err(RunError::Serve)
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener, RunError> {
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
