//! Puts everything together and takes it down again.

use crate::admin::Admin;
use crate::authenticate::TokenReviews;
use crate::authority::{Authority, RemoteAuthority};
use crate::behaviour::Behaviour;
use crate::bundle::{self, Bundle};
use crate::identities::{Identities, Sources, Terms};
use crate::metrics::Metrics;
use crate::pods::{Following, Pods};
use crate::service::{SecretService, Shared};
use crate::settings::{ReadSettingsError, Settings};
use crate::socket::{BindError, Socket};
use api_client::{ConnectError, connect};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// How long streams may take to end: a sidecar that does not listen must not keep the agent from being replaced.
const GOODBYE: Duration = Duration::from_millis(700);

/// The node agent ended though nobody asked for it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The environment is not complete.
    #[error("read the settings")]
    Settings(#[source] ReadSettingsError),
    /// The admin port cannot be opened.
    #[error("listen on {0}")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// The socket cannot be bound.
    #[error("serve SDS")]
    Bind(#[source] BindError),
    /// There is no API server to ask.
    #[error("reach the API server")]
    Connect(#[source] ConnectError),
    /// The threads that everything runs on cannot be started.
    #[error("start threads")]
    Threads(#[source] std::io::Error),
    /// A signal cannot be waited for.
    #[error("wait for signals")]
    Signals(#[source] std::io::Error),
    /// The SDS server ended.
    #[error("serve SDS")]
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
        Ok(runtime) => {
            let outcome = runtime.block_on(async {
                let settings =
                    Settings::read(|name| std::env::var(name).ok()).map_err(RunError::Settings)?;
                run(settings, behaviour).await
            });
            // Whatever is left is not worth waiting for.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(RunError::Threads(error)),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the node agent cannot go on"
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
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let client = connect().await.map_err(RunError::Connect)?;
    let asked_to_go = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked_to_go.cancel();
    });
    serve(settings, client, behaviour, Arc::default(), shutdown).await
}

/// Runs until `shutdown`, with this API server, and counts in `metrics`.
///
/// # Errors
///
/// When it cannot start or a server ends by itself.
pub async fn serve(
    settings: Settings,
    client: Client,
    behaviour: Arc<dyn Behaviour>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let pods = watch::Sender::new(Arc::default());
    let roots = watch::Sender::new(None);
    let bound = watch::Sender::new(false);
    let signed = Arc::new(Notify::new());
    let authority = behaviour.asks(Arc::new(RemoteAuthority::new(&settings)));
    let shared = shared(
        &settings,
        &client,
        &behaviour,
        &authority,
        &metrics,
        Told {
            pods: pods.subscribe(),
            bundle: roots.subscribe(),
            signed: signed.clone(),
        },
        &shutdown,
    );

    let admin = Admin {
        metrics: metrics.clone(),
        pods: pods.subscribe(),
        bound: bound.subscribe(),
        shutdown: shutdown.clone(),
    };
    let admin_listener = TcpListener::bind(settings.admin_listen)
        .await
        .map_err(|error| RunError::Listen(settings.admin_listen, error))?;
    let admin = tokio::spawn(axum::serve(admin_listener, admin.router()).into_future());
    let following = Following {
        client,
        namespace: settings.workload_namespace.clone(),
        node: settings.node_name.clone(),
        pods,
        metrics: metrics.clone(),
    };
    let mut following = tokio::spawn(following.run());
    let mut roots = tokio::spawn(bundle::follow(
        authority,
        behaviour.clone(),
        roots,
        signed,
        metrics.clone(),
    ));

    let (sender, connections) = mpsc::channel(16);
    let socket = Socket {
        path: settings.socket.clone(),
        mode: settings.socket_mode,
        behaviour,
        bound,
        metrics,
    };
    let mut socket = tokio::spawn(socket.serve(sender, shutdown.clone()));
    let server = Server::builder()
        .add_service(SecretDiscoveryServiceServer::new(SecretService::new(
            shared,
        )))
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections),
            shutdown.clone().cancelled_owned(),
        );
    let mut server = tokio::spawn(server);
    let mut admin = admin;
    let outcome = tokio::select! {
        // The others end by it, too.
        biased;
        () = shutdown.cancelled() => Ok(()),
        ended = &mut socket => match ended {
            Ok(Err(error)) => Err(RunError::Bind(error)),
            _ => Err(RunError::Ended("the socket")),
        },
        ended = &mut server => match ended {
            Ok(Err(error)) => Err(RunError::Serve(error)),
            _ => Err(RunError::Ended("the SDS server")),
        },
        ended = &mut admin => match ended {
            Ok(Err(error)) => Err(RunError::ServeAdmin(error)),
            _ => Err(RunError::Ended("the admin server")),
        },
        // An agent that does not see pods or roots any more must not go on as if it did.
        _ = &mut following => Err(RunError::Ended("the watch of pods")),
        _ = &mut roots => Err(RunError::Ended("the watch of the trust bundle")),
    };
    info!("going");
    shutdown.cancel();
    let goodbye = async {
        // What has ended already must not be waited for again.
        if !socket.is_finished() {
            let _ = (&mut socket).await;
        }
        if !server.is_finished() {
            let _ = (&mut server).await;
        }
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    server.abort();
    following.abort();
    roots.abort();
    admin.abort();
    outcome
}

/// What the tasks of an agent tell each other.
struct Told {
    pods: watch::Receiver<Arc<Pods>>,
    bundle: watch::Receiver<Option<Arc<Bundle>>>,
    signed: Arc<Notify>,
}

fn shared(
    settings: &Settings,
    client: &Client,
    behaviour: &Arc<dyn Behaviour>,
    authority: &Arc<dyn Authority>,
    metrics: &Arc<Metrics>,
    told: Told,
    shutdown: &CancellationToken,
) -> Arc<Shared> {
    let terms = Terms {
        trust_domain: settings.trust_domain.clone(),
        lifetime: settings.certificate_lifetime,
    };
    let sources = Sources {
        authority: authority.clone(),
        behaviour: behaviour.clone(),
        pods: told.pods.clone(),
        bundle: told.bundle.clone(),
        signed: told.signed,
        metrics: metrics.clone(),
    };
    let reviews = TokenReviews::new(client.clone(), behaviour.audiences());
    Arc::new(Shared {
        node: settings.node_name.clone(),
        namespace: settings.workload_namespace.clone(),
        authenticator: behaviour.vouches(Arc::new(reviews)),
        identities: Identities::new(terms, sources),
        behaviour: behaviour.clone(),
        pods: told.pods,
        bundle: told.bundle,
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    })
}
