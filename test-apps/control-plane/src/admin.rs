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

/// The report, at once or, with `after`, when its revision is another one; at the latest after [`POLL`]. A replica
/// that is going refuses, or else who asks would ask again and again until it is gone.
async fn report(
    State(admin): State<Admin>,
    Query(After { after }): Query<After>,
) -> Result<Json<Report>, StatusCode> {
    if let Some(after) = after {
        let mut revision = admin.acknowledgements.subscribe();
        let changes = revision.wait_for(|revision| *revision != after);
        tokio::select! {
            _ = tokio::time::timeout(POLL, changes) => {}
            () = admin.shutdown.cancelled() => {}
        }
    }
    if admin.shutdown.is_cancelled() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Json(admin.acknowledgements.report()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_going_refuses_to_report() {
        let (_, is) = watch::channel(true);
        let shutdown = CancellationToken::new();
        let admin = Admin {
            metrics: Arc::new(Metrics::new()),
            acknowledgements: Arc::default(),
            synced: is.clone(),
            listening: is,
            shutdown: shutdown.clone(),
        };
        let ask = |query: &str| {
            let request = Request::get(format!("{REPORT_PATH}{query}")).body(Body::empty());
            let answer = admin
                .clone()
                .router()
                .oneshot(request.expect("well-formed"));
            async { answer.await.expect("never fails").status() }
        };
        assert_eq!(ask("").await, StatusCode::OK);
        assert_eq!(
            ask("?after=0").await,
            StatusCode::OK,
            "at the latest after a while"
        );
        shutdown.cancel();
        assert_eq!(ask("?after=0").await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
