//! The HTTP interface for people, probes and peers: `/metrics`, `/healthz`, `/readyz` and what this replica's
//! sidecars acknowledged.

use crate::acknowledgements::{Acknowledgements, Report};
use crate::metrics::Metrics;
use crate::peers::POLL;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where a replica tells what its sidecars acknowledged.
pub const REPORT_PATH: &str = "/internal/acknowledgements";

/// What the interface shows.
#[derive(Clone)]
pub struct Admin {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What sidecars acknowledged.
    pub acknowledgements: Arc<Acknowledgements>,
    /// Every list is complete.
    pub synced: watch::Receiver<bool>,
    /// The xDS port is open.
    pub listening: watch::Receiver<bool>,
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
            .route(REPORT_PATH, get(report))
            .with_state(self)
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        admin.metrics.text(),
    )
}

async fn readiness(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.shutdown.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "going")
    } else if !*admin.synced.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "lists are not complete")
    } else if !*admin.listening.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "the xDS port is not open")
    } else {
        (StatusCode::OK, "ready")
    }
}

#[derive(Deserialize)]
struct After {
    after: Option<u64>,
}

/// The report, at once or, with `after`, when its revision is another one; at the latest after [`POLL`].
async fn report(State(admin): State<Admin>, Query(After { after }): Query<After>) -> Json<Report> {
    if let Some(after) = after {
        let mut revision = admin.acknowledgements.subscribe();
        let changes = revision.wait_for(|revision| *revision != after);
        tokio::select! {
            _ = tokio::time::timeout(POLL, changes) => {}
            () = admin.shutdown.cancelled() => {}
        }
    }
    Json(admin.acknowledgements.report())
}
