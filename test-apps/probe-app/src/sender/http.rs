//! HTTP/1.1, and HTTP/2 with prior knowledge.

use super::{SEQUENCE_HEADER, failed};
use crate::application::texts;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use probe_api::request::{Answer, RequestResult};

/// Longer answers are not the business of a probe.
const LONGEST_BODY: usize = 1 << 20;

/// Which HTTP is spoken, whatever the other end would like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Sends one request again and again.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpConnector, Empty<Bytes>>,
    request: Request<()>,
}

impl Http {
    pub(super) fn new(request: Request<()>, version: Version) -> Self {
        Self {
            client: client(version),
            request,
        }
    }

    pub(super) async fn exchange(&self, number: Option<u64>) -> Result<Answer, RequestResult> {
        let mut request = self.request.clone().map(|()| Empty::new());
        if let Some(number) = number {
            request.headers_mut().insert(SEQUENCE_HEADER, number.into());
        }
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| failed(&error, error.is_connect()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST_BODY)
            .collect()
            .await
            .map_err(|error| failed(error.as_ref(), false))?
            .to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: texts(&head.headers),
            peer: serde_json::from_slice(&body).ok(),
            connection: None,
        })
    }
}

/// A client with connections of its own.
pub(super) fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: hyper::body::Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .http2_only(version == Version::Http2)
        .build(connector)
}
