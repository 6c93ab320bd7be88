//! The HTTP interface for people and probes: `/metrics`, `/healthz`, `/readyz`.

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
    /// The pods of the node.
    pub pods: watch::Receiver<Arc<Pods>>,
    /// The socket is bound.
    pub bound: watch::Receiver<bool>,
    /// The agent is going.
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
        admin.metrics.text(),
    )
}

/// Without a word about the authority: an agent that goes on with the certificates it has is as ready as it can be, and
/// the authority's outage must not stop a rollout of agents.
async fn readiness(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.shutdown.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "going")
    } else if !admin.pods.borrow().complete {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the list of pods is not complete",
        )
    } else if !*admin.bound.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "the socket is not bound")
    } else {
        (StatusCode::OK, "ready")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use fake_api::prometheus::samples;
    use std::sync::atomic::Ordering;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn metrics_are_what_prometheus_takes() {
        let admin = Admin {
            metrics: Arc::default(),
            pods: watch::Sender::new(Arc::default()).subscribe(),
            bound: watch::Sender::new(false).subscribe(),
            shutdown: CancellationToken::new(),
        };
        admin.metrics.issued.fetch_add(3, Ordering::Relaxed);
        admin.metrics.refused.fetch_add(2, Ordering::Relaxed);
        let request = Request::get("/metrics").body(Body::empty());
        let answer = admin.router().oneshot(request.expect("well-formed"));
        let answer = answer.await.expect("never fails");
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4");
        let body = to_bytes(answer.into_body(), usize::MAX).await;
        let text = String::from_utf8(body.expect("read").to_vec()).expect("UTF-8");
        let counted = samples(&text);
        let count = |what: &str| counted[format!("mesh_node_agent_{what}_total").as_str()];
        assert_eq!(["issued", "refused", "renewals"].map(count), [3, 2, 0]);
    }

    #[tokio::test]
    async fn an_agent_is_ready_with_its_pods_and_its_socket_until_it_goes() {
        let pods = watch::Sender::new(Arc::default());
        let bound = watch::Sender::new(false);
        let shutdown = CancellationToken::new();
        let admin = Admin {
            metrics: Arc::default(),
            pods: pods.subscribe(),
            bound: bound.subscribe(),
            shutdown: shutdown.clone(),
        };
        let ask = || {
            let request = Request::get("/readyz").body(Body::empty());
            let answer = admin
                .clone()
                .router()
                .oneshot(request.expect("well-formed"));
            async { answer.await.expect("never fails").status() }
        };
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
        bound.send_replace(true);
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
        pods.send_replace(Arc::new(Pods {
            complete: true,
            ..Pods::default()
        }));
        assert_eq!(ask().await, StatusCode::OK);
        shutdown.cancel();
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
