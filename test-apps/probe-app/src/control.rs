//! The control port: the interface that `probe-api` describes.

use crate::application::counted::Counted;
use crate::connection::Told;
use crate::handshake::Kept;
use crate::load::{LoadError, Loads};
use crate::sender;
use crate::watcher::Watcher;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use probe_api::handshake::{HandshakeAnswer, HandshakeAsk, PartnerRoot};
use probe_api::identity::{IdentityAnswer, IdentityAsk};
use probe_api::paths;
use probe_api::request::{
    LoadReport, LoadSpec, LoadStarted, Received, RequestBatch, RequestBatchReply,
};
use probe_api::state::{ReconnectReply, ReconnectRequest, SidecarState};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// The OpenAPI document of this interface; a test holds it against the router and the types.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// Nobody waits longer than this for one answer.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Watches the sidecar.
    pub watcher: Arc<Watcher>,
    /// The loads.
    pub loads: Arc<Loads>,
    /// What the sidecar says of connections.
    pub told: Told,
    /// The requests that were to be counted.
    pub counted: Counted,
    /// What handshakes have shown and others are to show once more, and a partner's root.
    pub kept: Kept,
}

/// A call that cannot be answered as asked, with the reason as text.
pub(crate) struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        let status = match error {
            LoadError::Invalid(_) => StatusCode::BAD_REQUEST,
            LoadError::Unknown(_) => StatusCode::NOT_FOUND,
            LoadError::Forgotten { .. } => StatusCode::GONE,
        };
        Self(status, error.to_string())
    }
}

/// Every path and method that is served, for the test of the OpenAPI document.
#[cfg(test)]
const SERVED: &[(&str, &[&str])] = &[
    (paths::STATE, &["get"]),
    (paths::RECONNECT, &["post"]),
    (paths::REQUESTS, &["post"]),
    (paths::IDENTITY, &["post"]),
    (paths::HANDSHAKE, &["post"]),
    (paths::PARTNER, &["post"]),
    (paths::LOADS, &["post"]),
    (LOAD, &["get", "delete"]),
    (paths::RECEIVED, &["get"]),
    (paths::HEALTHZ, &["get"]),
    (paths::READYZ, &["get"]),
    (paths::OPENAPI, &["get"]),
];

/// One load.
const LOAD: &str = "/v1/loads/{id}";

/// The router of the control port.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route(paths::STATE, get(state))
        .route(paths::RECONNECT, post(reconnect))
        .route(paths::REQUESTS, post(requests))
        .route(paths::IDENTITY, post(identity))
        .route(paths::HANDSHAKE, post(handshake))
        .route(paths::PARTNER, post(partner))
        .route(paths::LOADS, post(start_load))
        .route(LOAD, get(load_report).delete(stop_load))
        .route(paths::RECEIVED, get(received))
        .route(paths::HEALTHZ, get(async || "ok\n"))
        .route(paths::READYZ, get(readyz))
        .route(
            paths::OPENAPI,
            get(async || ([(header::CONTENT_TYPE, "application/json")], OPENAPI)),
        )
        .with_state(shared)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateQuery {
    differs_from: Option<String>,
    timeout_ms: Option<u64>,
}

async fn state(
    State(shared): State<Shared>,
    Query(query): Query<StateQuery>,
) -> Result<Json<SidecarState>, Refusal> {
    let state = match (query.differs_from, query.timeout_ms) {
        (None, None) => shared.watcher.read().await,
        (Some(hash), Some(timeout)) => {
            let patience = Duration::from_millis(timeout).min(LONGEST_WAIT);
            shared.watcher.differing(&hash, patience).await
        }
        _ => {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "differs_from and timeout_ms belong together".to_owned(),
            ));
        }
    };
    Ok(Json(SidecarState::clone(&state)))
}

async fn reconnect(
    State(shared): State<Shared>,
    Json(request): Json<ReconnectRequest>,
) -> Result<Json<ReconnectReply>, Refusal> {
    match shared.watcher.reconnect(&request).await {
        Ok(reply) => Ok(Json(reply)),
        Err(reason) => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, reason)),
    }
}

async fn requests(
    State(shared): State<Shared>,
    Json(batch): Json<RequestBatch>,
) -> Result<Json<RequestBatchReply>, Refusal> {
    match sender::send_batch(&batch, &shared.told).await {
        Ok(outcomes) => Ok(Json(RequestBatchReply { outcomes })),
        Err(reason) => Err(Refusal(StatusCode::BAD_REQUEST, reason)),
    }
}

async fn identity(Json(ask): Json<IdentityAsk>) -> Json<IdentityAnswer> {
    Json(crate::identity::ask(ask).await)
}

async fn handshake(
    State(shared): State<Shared>,
    Json(ask): Json<HandshakeAsk>,
) -> Json<HandshakeAnswer> {
    Json(crate::handshake::make(ask, &shared.kept).await)
}

async fn partner(State(shared): State<Shared>) -> Result<Json<PartnerRoot>, Refusal> {
    let made = shared.kept.make_partner();
    let made = made.and_then(|pem| String::from_utf8(pem).map_err(|error| error.to_string()));
    match made {
        Ok(certificate) => Ok(Json(PartnerRoot { certificate })),
        Err(reason) => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, reason)),
    }
}

async fn start_load(
    State(shared): State<Shared>,
    Json(spec): Json<LoadSpec>,
) -> Result<Json<LoadStarted>, Refusal> {
    let id = shared.loads.start(&spec, &shared.told)?;
    Ok(Json(LoadStarted { id }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadQuery {
    #[serde(default)]
    since: u64,
}

async fn load_report(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<LoadQuery>,
) -> Result<Json<LoadReport>, Refusal> {
    Ok(Json(shared.loads.report(&id, query.since)?))
}

async fn stop_load(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<LoadQuery>,
) -> Result<Json<LoadReport>, Refusal> {
    Ok(Json(shared.loads.stop(&id, query.since).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceivedQuery {
    count: String,
}

async fn received(
    State(shared): State<Shared>,
    Query(query): Query<ReceivedQuery>,
) -> Json<Received> {
    let count = shared.counted.of(&query.count);
    Json(Received { count })
}

/// It serves. Whether its sidecar does is for that one to say: an application that looked would hide a mistake of the mesh.
async fn readyz() -> &'static str {
    "ready\n"
}

#[cfg(test)]
mod tests;
