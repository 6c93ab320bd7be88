//! The HTTP interface for people and probes: `/metrics`, `/healthz` and `/readyz`.

use crate::bundle::Announcements;
use crate::metrics::Metrics;
use crate::pods::Pods;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the interface shows.
#[derive(Clone)]
pub struct Admin {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The streams.
    pub announcements: Arc<Announcements>,
    /// The pods.
    pub pods: Pods,
    /// The key service answers and has the key that is issued with.
    pub can_sign: watch::Receiver<bool>,
    /// The replica is going.
    pub shutdown: CancellationToken,
}

impl Admin {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(readiness))
            .with_state(self)
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        admin.metrics.text(admin.announcements.streams_open()),
    )
}

async fn readiness(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.shutdown.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "going")
    } else if !admin.pods.is_complete() {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the list of pods is not complete",
        )
    } else if !*admin.can_sign.borrow() {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing can be signed: there is no intermediate, or the key service does not have its key at hand or does not serve us",
        )
    } else {
        (StatusCode::OK, "ready")
    }
}
