//! For tests: an API server that the test plays, which sees every request and answers when and how it likes; what rights
//! a manifest grants, to be compared with those that the requests need; and what metrics tell Prometheus.

pub mod prometheus;
pub mod rights;

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
pub struct Asked {
    /// `GET`, `POST`, ...
    pub method: http::Method,
    /// The path of the address, from `/api` or `/apis` on.
    pub path: String,
    /// What comes behind `?` there, as it was sent.
    pub query: String,
    /// What was sent with it; null where that is nothing, or no JSON.
    pub body: Value,
    answer: oneshot::Sender<(u16, Value)>,
}

impl Asked {
    /// Answers with a status code of HTTP and an object.
    pub fn answer(self, code: u16, body: Value) {
        // Who asked may have gone.
        let _ = self.answer.send((code, body));
    }

    /// Answers with a status code of HTTP and the `Status` that Kubernetes sends with it.
    pub fn refuse(self, code: u16) {
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
pub struct FakeApi {
    requests: mpsc::UnboundedReceiver<Asked>,
}

impl FakeApi {
    /// A client, and the API server that it speaks to.
    ///
    /// # Panics
    ///
    /// The client's request, if it sends a body that breaks off.
    #[must_use]
    pub fn new() -> (Client, Self) {
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
    pub async fn next(&mut self) -> Option<Asked> {
        tokio::time::timeout(QUIET, self.requests.recv())
            .await
            .ok()
            .flatten()
    }
}
