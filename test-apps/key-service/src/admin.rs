//! The HTTP interface for people and probes: `/metrics`, `/healthz` and `/readyz`.

use crate::metrics::Metrics;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The routes. The store is open before anything listens, so the service is ready until it is going.
pub(crate) fn router(metrics: Arc<Metrics>, shutdown: CancellationToken) -> Router {
    let metrics = move || {
        let text = metrics.text();
        async { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
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
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readiness))
}
