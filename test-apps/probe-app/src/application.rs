//! The application port: answers every request with who got it and how it arrived.

use axum::extract::{ConnectInfo, Request, State};
use axum::{Json, Router};
use http::HeaderMap;
use probe_api::request::PeerView;
use probe_api::state::Identity;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Any path, any method.
pub(crate) fn router(identity: Arc<Identity>) -> Router {
    Router::new().fallback(answer).with_state(identity)
}

async fn answer(
    State(identity): State<Arc<Identity>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
) -> Json<PeerView> {
    Json(PeerView {
        identity: Identity::clone(&identity),
        protocol: format!("{:?}", request.version()),
        path: request.uri().path().to_owned(),
        headers: texts(request.headers()),
        remote_address: remote.to_string(),
    })
}

/// Headers as texts, several values of one name joined as HTTP allows.
pub(crate) fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        texts
            .entry(name.as_str().to_owned())
            .and_modify(|text| {
                text.push_str(", ");
                text.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    texts
}
