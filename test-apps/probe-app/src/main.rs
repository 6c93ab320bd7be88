//! The probe application: the workload that scenarios speak of, and the window to the sidecar beside it.
//!
//! Invariant: nothing here knows one mesh from another; what is specific is Envoy's admin interface.

mod anybody;
mod application;
mod canonical;
mod connection;
mod control;
mod handshake;
mod identity;
mod load;
mod local_client;
mod own_tls;
mod reading;
mod sender;
mod settings;
mod watcher;

use application::bytes::Manner;
use application::counted::Counted;
use connection::Told;
use control::Shared;
use load::Loads;
use own_tls::OwnTls;
use probe_api::state::Identity;
use settings::Settings;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use watcher::Watcher;

/// The probe could not do its work.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("listen on port {port}: {source}")]
    Listen { port: u16, source: std::io::Error },
    #[error("serve port {port}: {source}")]
    Serve { port: u16, source: std::io::Error },
    #[error("make a certificate of its own: {0}")]
    OwnTls(Box<dyn std::error::Error + Send + Sync>),
    #[error("watch for signals: {0}")]
    Signals(std::io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("failed to {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), ProbeError> {
    let settings = Settings::from_variables(|name| std::env::var(name).ok());
    let identity = Arc::new(settings.identity.clone());
    let told = Told::by(settings.launcher.as_deref());
    let watcher = Watcher::new(settings);
    tokio::spawn(Arc::clone(&watcher).run());
    tokio::spawn(Arc::clone(&watcher).follow());
    let counted = Counted::default();
    let shared = Shared {
        watcher,
        loads: Arc::new(Loads::default()),
        told: told.clone(),
        counted: counted.clone(),
        kept: handshake::Kept::default(),
    };
    let control = serve(probe_api::CONTROL_PORT, control::router(shared));
    let router = application::router(Arc::clone(&identity), counted);
    let application = serve(probe_api::APPLICATION_PORT, router.clone());
    let application_http2 = serve(probe_api::HTTP2_PORT, router);
    let own_tls = OwnTls::new().map_err(ProbeError::OwnTls)?;
    let bytes = [
        (probe_api::TCP_PORT, Manner::Asked),
        (probe_api::SERVER_FIRST_PORT, Manner::Greeting),
        (probe_api::APPLICATION_TLS_PORT, Manner::Tls(own_tls)),
    ]
    .map(|(port, manner)| serve_bytes(port, manner, Arc::clone(&identity), told.clone()));
    let bytes = futures::future::try_join_all(bytes);
    let mut terminate = signal(SignalKind::terminate()).map_err(ProbeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProbeError::Signals)?;
    tokio::select! {
        result = async { tokio::try_join!(control, application, application_http2, bytes).map(drop) } => result,
        // Requests under way are answered within a moment; nothing is kept that could be lost.
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn listen(port: u16) -> Result<TcpListener, ProbeError> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .await
        .map_err(|source| ProbeError::Listen { port, source })
}

async fn serve_bytes(
    port: u16,
    manner: Manner,
    identity: Arc<Identity>,
    told: Told,
) -> Result<(), ProbeError> {
    let listener = listen(port).await?;
    application::bytes::serve(listener, manner, identity, told)
        .await
        .map_err(|source| ProbeError::Serve { port, source })
}

async fn serve(port: u16, router: axum::Router) -> Result<(), ProbeError> {
    let listener = listen(port).await?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not switch delayed sending off");
        }
    });
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await
    .map_err(|source| ProbeError::Serve { port, source })
}
