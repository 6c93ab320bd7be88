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
mod serving;
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
use std::net::Ipv4Addr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use watcher::Watcher;

/// How long answers that have begun may take when the probe is told to end: less than its pod gives it, since the sidecar ends
/// after it.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

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
    let own_tls = OwnTls::new(settings.spiffe_id.as_deref()).map_err(ProbeError::OwnTls)?;
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
    let ending = CancellationToken::new();
    // The harness may ask until the end.
    let never = CancellationToken::new();
    let control = serve(probe_api::CONTROL_PORT, control::router(shared), never);
    let router = application::router(Arc::clone(&identity), counted);
    let application = serve(probe_api::APPLICATION_PORT, router.clone(), ending.clone());
    let application_http2 = serve(probe_api::HTTP2_PORT, router, ending.clone());
    let bytes = [
        (probe_api::TCP_PORT, Manner::Asked),
        (probe_api::SERVER_FIRST_PORT, Manner::Greeting),
        (probe_api::APPLICATION_TLS_PORT, Manner::Tls(own_tls)),
    ]
    .map(|(port, manner)| serve_bytes(port, manner, Arc::clone(&identity), told.clone()));
    let bytes = futures::future::try_join_all(bytes);
    let mut terminate = signal(SignalKind::terminate()).map_err(ProbeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProbeError::Signals)?;
    let mut requests = pin!(async { tokio::try_join!(application, application_http2).map(drop) });
    // Bytes are answered within a moment.
    let mut others = pin!(async { tokio::try_join!(control, bytes).map(drop) });
    tokio::select! {
        result = &mut requests => return result,
        result = &mut others => return result,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    ending.cancel();
    let last = async {
        tokio::select! {
            result = &mut requests => result,
            result = &mut others => result,
        }
    };
    let in_time = tokio::time::timeout(LAST_ANSWERS, last).await;
    in_time.unwrap_or(Ok(()))
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

async fn serve(
    port: u16,
    router: axum::Router,
    ending: CancellationToken,
) -> Result<(), ProbeError> {
    let listener = listen(port).await?;
    serving::serve(listener, router, ending)
        .await
        .map_err(|source| ProbeError::Serve { port, source })
}
