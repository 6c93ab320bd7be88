//! The kubelet's HTTPS server: what the API server asks of a node. Clients must hold a certificate of the cluster.

use crate::NodeConfig;
use crate::channels::not_here;
use crate::exec::exec;
use crate::logs;
use crate::node::Node;
use crate::port_forward::port_forward;
use crate::stats;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The serving certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or nothing of the kind in it.
    #[error("read a certificate or key")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The authority cannot judge clients.
    #[error("use the cluster's authority to judge clients")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// Certificate and key do not fit together.
    #[error("use the serving certificate")]
    Certificate(#[source] rustls::Error),
}

/// TLS with the node's serving certificate, for clients with a certificate of the cluster.
pub(crate) fn tls(config: &NodeConfig) -> Result<TlsAcceptor, TlsError> {
    let certificates = |pem: &str| {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Pem)
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&config.ca_pem)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(TlsError::Verifier)?;
    let key =
        PrivateKeyDer::from_pem_slice(config.serving_key_pem.as_bytes()).map_err(TlsError::Pem)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&config.serving_cert_pem)?, key)
        .map_err(TlsError::Certificate)?;
    // Upgrades to WebSocket need HTTP/1.1.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, node: Arc<Node>) {
    let router = router(node);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let stream = match tls.accept(stream).await {
                Ok(stream) => TokioIo::new(stream),
                Err(error) => return tracing::debug!(%error, "client refused"),
            };
            let service = TowerToHyperService::new(router);
            let server = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = server.serve_connection_with_upgrades(stream, service).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
}

fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/pods", get(pods))
        .route(
            "/containerLogs/{namespace}/{pod}/{container}",
            get(container_logs),
        )
        .route("/logs/kubelet.log", get(own_log))
        .route("/logs/kept", get(kept_logs))
        .route("/logs/kept/{number}", get(kept_log))
        .route("/stats/summary", get(stats::summary))
        .route("/exec/{namespace}/{pod}/{container}", any(exec))
        .route("/attach/{*rest}", any(not_yet))
        .route("/portForward/{namespace}/{pod}", any(port_forward))
        .with_state(node)
}

async fn not_yet() -> Response {
    let text = "this kubelet does not serve attach; logs and exec are there\n";
    (StatusCode::NOT_IMPLEMENTED, text).into_response()
}

async fn pods(State(node): State<Arc<Node>>) -> Response {
    let pods: Vec<Pod> = {
        let known = node.pods.lock().expect("no panic while the pods are held");
        known
            .values()
            .map(|context| (*context.pod()).clone())
            .collect()
    };
    axum::Json(serde_json::json!({"apiVersion": "v1", "kind": "PodList", "items": pods}))
        .into_response()
}

async fn own_log(State(node): State<Arc<Node>>) -> Response {
    match tokio::fs::read(&node.config.log).await {
        Ok(text) => text.into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

/// The logs that nobody can ask for by a pod's name any more.
async fn kept_logs(State(node): State<Arc<Node>>) -> Response {
    axum::Json(node.kept_logs.listing()).into_response()
}

async fn kept_log(State(node): State<Arc<Node>>, Path(number): Path<u64>) -> Response {
    match node.kept_logs.find(number) {
        Some(run) => streamed(run, logs::Request::default()),
        None => (StatusCode::NOT_FOUND, "there is no such log\n").into_response(),
    }
}

/// What `kubectl logs` can ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogQuery {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<usize>,
    limit_bytes: Option<usize>,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
}

async fn container_logs(
    State(node): State<Arc<Node>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    let Some(context) = node.find_pod(&namespace, &pod) else {
        return not_here(&namespace, &pod);
    };
    let Some(run) = context.logs.find(&container, query.previous) else {
        let facts = context.container(&container);
        let text = match facts.state.waiting.and_then(|waiting| waiting.reason) {
            _ if query.previous => {
                format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")
            }
            Some(reason) => {
                format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")
            }
            None => format!("container \"{container}\" in pod \"{pod}\" has no log"),
        };
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let since_seconds = query.since_seconds.and_then(|seconds| {
        Timestamp::now()
            .checked_sub(jiff::SignedDuration::from_secs(seconds))
            .ok()
    });
    let request = logs::Request {
        follow: query.follow,
        timestamps: query.timestamps,
        tail: query.tail_lines,
        since: query.since_time.or(since_seconds),
        limit: query.limit_bytes,
    };
    streamed(run, request)
}

fn streamed(run: logs::Run, request: logs::Request) -> Response {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        if let Err(error) = logs::read(run, request, sender.clone()).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    let stream = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    ([("content-type", "text/plain")], Body::from_stream(stream)).into_response()
}
