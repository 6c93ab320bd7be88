//! The HTTP interface for people and probes: `/metrics`, `/clients`, `/healthz` and `/readyz`.

use crate::access::Access;
use crate::metrics::Metrics;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The routes. The store is open before anything listens, so the service is ready until it is going.
pub(crate) fn router(metrics: Arc<Metrics>, access: Access, shutdown: CancellationToken) -> Router {
    let metrics = move || {
        let text = metrics.text();
        async { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    let clients = move || {
        let access = access.clone();
        async move { listed(&access).await }
    };
    let readiness = move || {
        let is_going = shutdown.is_cancelled();
        async move {
            if is_going {
                (StatusCode::SERVICE_UNAVAILABLE, "going")
            } else {
                (StatusCode::OK, "ready")
            }
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/clients", get(clients))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readiness))
}

/// The list of clients as the next call would find it, one name a line: a change takes a node some time to bring.
async fn listed(access: &Access) -> (StatusCode, String) {
    match access.names().await {
        Ok(Some(names)) => {
            let lines = names.iter().map(|name| format!("{name}\n"));
            (StatusCode::OK, lines.collect())
        }
        Ok(None) => (StatusCode::OK, "# everybody whom TLS lets in\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}
