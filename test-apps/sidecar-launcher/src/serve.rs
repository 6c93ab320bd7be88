//! The launcher's HTTP interfaces: readiness for the kubelet, the connection for the probe.

use crate::activity::Activity;
use crate::admin::Admin;
use crate::behaviour::Behaviour;
use crate::connections::Connections;
use crate::log::Rejections;
use crate::relay::Relay;
use crate::supervisor::Starts;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use probe_api::launcher::{ConnectionTold, LauncherState, paths};
use probe_api::state::{ReconnectReply, ReconnectRequest};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval};

/// How often the sidecar is asked while somebody waits for it to get ready.
const READY_LOOK: Duration = Duration::from_millis(20);

/// Nobody waits longer than this for one answer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadyQuery {
    #[serde(default)]
    wait_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityQuery {
    activity: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionQuery {
    application: String,
    #[serde(default)]
    ended: bool,
    #[serde(default)]
    wait_ms: u64,
}

/// `GET /ready`, with `wait_ms` a long poll, so that a start is noticed when it happens and not a period later.
pub(crate) fn ready(admin: Admin, behaviour: Arc<dyn Behaviour>) -> Router {
    let handler = async |State((admin, behaviour)): State<(Admin, Arc<dyn Behaviour>)>,
                         Query(query): Query<ReadyQuery>| {
        let wait = Duration::from_millis(query.wait_ms).min(LONGEST_WAIT);
        let until = Instant::now() + wait;
        let mut looks = interval(READY_LOOK);
        loop {
            looks.tick().await;
            if behaviour.is_ready(admin.is_ready().await) {
                return (StatusCode::OK, "LIVE\n");
            }
            if Instant::now() >= until {
                return (StatusCode::SERVICE_UNAVAILABLE, "not ready\n");
            }
        }
    };
    Router::new()
        .route(paths::READY, get(handler))
        .with_state((admin, behaviour))
}

/// `GET /xds`, `GET /connection` and `POST /reconnect`.
pub(crate) fn xds(
    relay: Arc<Relay>,
    starts: Arc<Starts>,
    rejections: Arc<Rejections>,
    connections: Arc<Connections>,
    activity: Activity,
) -> Router {
    let describe = {
        let relay = Arc::clone(&relay);
        async move |Query(query): Query<ActivityQuery>| -> Json<LauncherState> {
            if let Some(known) = query.activity {
                let wait = Duration::from_millis(query.wait_ms).min(LONGEST_WAIT);
                activity.differs_from(known, wait).await;
            }
            Json(relay.describe(starts.count(), rejections.all()))
        }
    };
    let connection =
        async move |Query(query): Query<ConnectionQuery>| -> Json<Option<ConnectionTold>> {
            let wait = Duration::from_millis(query.wait_ms).min(LONGEST_WAIT);
            Json(
                connections
                    .told(&query.application, query.ended, wait)
                    .await,
            )
        };
    let reconnect = async move |Json(request): Json<ReconnectRequest>| -> Json<ReconnectReply> {
        Json(ReconnectReply {
            epoch: relay.reconnect(request.to),
        })
    };
    Router::new()
        .route(paths::XDS, get(describe))
        .route(paths::CONNECTION, get(connection))
        .route(paths::RECONNECT, post(reconnect))
}
