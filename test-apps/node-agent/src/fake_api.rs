//! An API server that a test plays: it sees every request and answers when and how it likes.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// With paused time this is over as soon as nobody has anything to do.
const QUIET: Duration = Duration::from_millis(500);

/// A request that is not answered yet.
pub(crate) struct Asked {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    answer: oneshot::Sender<(u16, Value)>,
}

impl Asked {
    pub(crate) fn answer(self, code: u16, body: Value) {
        // Who asked may have gone.
        let _ = self.answer.send((code, body));
    }

    pub(crate) fn refuse(self, code: u16) {
        let reason = match code {
            404 => "NotFound",
            409 => "Conflict",
            _ => "InternalError",
        };
        let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": "no", "reason": reason, "code": code});
        self.answer(code, status);
    }
}

/// The requests in the order in which they arrive.
pub(crate) struct FakeApi {
    requests: mpsc::UnboundedReceiver<Asked>,
}

impl FakeApi {
    pub(crate) fn new() -> (Client, Self) {
        let (sender, requests) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let sender = sender.clone();
            async move {
                let method = request.method().clone();
                let path = request.uri().path().to_owned();
                let query = request.uri().query().unwrap_or_default().to_owned();
                let bytes = request
                    .into_body()
                    .collect()
                    .await
                    .expect("a body")
                    .to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let (answer, answered) = oneshot::channel();
                let _ = sender.send(Asked {
                    method,
                    path,
                    query,
                    body,
                    answer,
                });
                // A request that the test forgets is never answered.
                let Ok((code, body)) = answered.await else {
                    return std::future::pending().await;
                };
                let body = Full::new(Bytes::from(body.to_string()));
                let response = http::Response::builder().status(code).body(body);
                Ok::<_, Infallible>(response.expect("well-formed"))
            }
        });
        (Client::new(service, "default"), Self { requests })
    }

    /// The next request; none when everybody is waiting for something else.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
        tokio::time::timeout(QUIET, self.requests.recv())
            .await
            .ok()
            .flatten()
    }
}
