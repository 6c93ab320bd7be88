//! The application ports: every request, and every message of a stream, is answered with who got it and how it arrived.

pub(crate) mod bytes;
pub(crate) mod counted;

use crate::sender::STREAMING_METHOD;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use counted::Counted;
use futures::TryStreamExt;
use http::{HeaderMap, StatusCode, header};
use probe_api::request::{
    AFTER_HEADER, COUNT_HEADER, END_AFTER_HEADER, PeerView, Protocol, STATUS_HEADER,
};
use probe_api::state::Identity;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tonic_prost::ProstCodec;

/// No answer is later than this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Any path, any method; HTTP/1.1, HTTP/2 with prior knowledge, and gRPC: unary calls, and streams of one method.
pub(crate) fn router(identity: Arc<Identity>, counted: Counted) -> Router {
    Router::new()
        .fallback(answer)
        .with_state((identity, counted))
}

async fn answer(
    State((identity, counted)): State<(Arc<Identity>, Counted)>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let asked = Asked::read(request.headers());
    if let Some(text) = &asked.count {
        counted.note(text);
    }
    if let Some(after) = asked.after {
        wait(after).await;
    }
    if let Some(status) = asked.status {
        return status.into_response();
    }
    let mut view = PeerView {
        identity: Identity::clone(&identity),
        protocol: format!("{:?}", request.version()),
        path: request.uri().path().to_owned(),
        headers: texts(request.headers()),
        remote_address: remote.to_string(),
        certificate: None,
    };
    if is_grpc(request.headers()) {
        view.protocol = Protocol::Grpc.as_told().to_owned();
        if request.uri().path() == STREAMING_METHOD {
            converse(view, request).await
        } else {
            call(view, request).await
        }
    } else if let Some(end_after) = asked.end_after {
        begin(&view, end_after)
    } else {
        Json(view).into_response()
    }
}

/// Answers at once, and with the view as JSON so much later.
fn begin(view: &PeerView, end_after: Duration) -> Response {
    let text = serde_json::to_vec(view).expect("wire types have string keys");
    let end = futures::stream::once(async move {
        wait(end_after).await;
        Ok::<_, Infallible>(text)
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, Body::from_stream(end)).into_response()
}

/// What a request wants of the probe beyond an answer.
struct Asked {
    count: Option<String>,
    after: Option<Duration>,
    end_after: Option<Duration>,
    status: Option<StatusCode>,
}

impl Asked {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let span = |name: &str| {
            let millis = text(name)?.parse().ok()?;
            Some(Duration::from_millis(millis).min(LONGEST_WAIT))
        };
        Self {
            count: text(COUNT_HEADER).map(str::to_owned),
            after: span(AFTER_HEADER),
            end_after: span(END_AFTER_HEADER),
            status: text(STATUS_HEADER).and_then(|text| text.parse().ok()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow application is what the request asks for"
)]
async fn wait(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Answers a unary call whose request says nothing (`google.protobuf.Empty`) with the view as JSON in a
/// `google.protobuf.StringValue`.
async fn call(view: PeerView, request: Request) -> Response {
    let text = serde_json::to_string(&view).expect("wire types have string keys");
    let method = tower::service_fn(move |_: tonic::Request<()>| {
        let text = text.clone();
        async move { Ok::<_, tonic::Status>(tonic::Response::new(text)) }
    });
    tonic::server::Grpc::new(ProstCodec::<String, ()>::default())
        .unary(method, request)
        .await
        .map(Body::new)
}

/// Answers each message of a stream as [`call`] does its request, until the caller ends it.
async fn converse(view: PeerView, request: Request) -> Response {
    let text = serde_json::to_string(&view).expect("wire types have string keys");
    let method = tower::service_fn(move |asked: tonic::Request<tonic::Streaming<()>>| {
        let text = text.clone();
        async move {
            let answers = asked.into_inner().map_ok(move |()| text.clone());
            Ok::<_, tonic::Status>(tonic::Response::new(answers))
        }
    });
    tonic::server::Grpc::new(ProstCodec::<String, ()>::default())
        .streaming(method, request)
        .await
        .map(Body::new)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
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
