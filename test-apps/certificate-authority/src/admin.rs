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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use std::sync::atomic::Ordering;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn metrics_count_certificates_and_open_streams() {
        let admin = Admin {
            metrics: Arc::default(),
            announcements: Arc::default(),
            pods: Pods::default(),
            can_sign: watch::Sender::new(false).subscribe(),
            shutdown: CancellationToken::new(),
        };
        admin.metrics.issued.fetch_add(3, Ordering::Relaxed);
        let _stream = admin.announcements.clone().stream();
        let request = Request::get("/metrics").body(Body::empty());
        let answer = admin.router().oneshot(request.expect("well-formed"));
        let answer = answer.await.expect("never fails");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4");
        let body = to_bytes(answer.into_body(), usize::MAX).await;
        let text = String::from_utf8(body.expect("read").to_vec()).expect("UTF-8");
        for line in ["issued_total 3", "bundle_streams 1"] {
            let line = format!("\nmesh_certificate_authority_{line}\n");
            assert!(text.contains(&line), "{text}");
        }
    }
}
