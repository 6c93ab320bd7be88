//! Unary calls of gRPC, and streams of which each message is answered by one.

use super::http::{Version, client};
use super::kept::{Lasting, Outcome};
use super::{SEQUENCE_HEADER, failed};
use crate::application::texts;
use futures::FutureExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use probe_api::request::{Answer, FailureKind, RequestResult};
use std::collections::BTreeMap;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

/// The probe's own method; it answers to every other as well.
const METHOD: &str = "/meshproof.probe.v1.Probe/Answer";

/// The probe's own method with streams in both directions.
pub(crate) const STREAMING_METHOD: &str = "/meshproof.probe.v1.Probe/Converse";

type Caller = Client<HttpConnector, tonic::body::Body>;

/// Makes one call again and again.
#[derive(Clone, Debug)]
pub(super) struct Grpc {
    client: Caller,
    origin: Uri,
    method: PathAndQuery,
    headers: HeaderMap,
}

impl Grpc {
    pub(super) fn new(request: Request<()>) -> Self {
        let (head, ()) = request.into_parts();
        let mut origin = head.uri.into_parts();
        let asked = origin
            .path_and_query
            .replace(PathAndQuery::from_static("/"))
            .filter(|path| path.path() != "/");
        Self {
            client: client(Version::Http2),
            origin: Uri::from_parts(origin).expect("only its path was replaced"),
            method: asked.unwrap_or(PathAndQuery::from_static(METHOD)),
            headers: head.headers,
        }
    }

    async fn ready(&self) -> Result<tonic::client::Grpc<Caller>, RequestResult> {
        let mut grpc = tonic::client::Grpc::with_origin(self.client.clone(), self.origin.clone());
        grpc.ready()
            .await
            .map_err(|error| failed(&error, error.is_connect()))?;
        Ok(grpc)
    }

    pub(super) async fn exchange(&self, number: Option<u64>) -> Result<Answer, RequestResult> {
        let mut headers = self.headers.clone();
        if let Some(number) = number {
            headers.insert(SEQUENCE_HEADER, number.into());
        }
        let call = call(headers, ());
        let mut grpc = self.ready().await?;
        let codec = ProstCodec::<(), String>::default();
        match grpc.unary(call, self.method.clone(), codec).await {
            Ok(response) => {
                let (metadata, text, _) = response.into_parts();
                Ok(Answer {
                    status: StatusCode::OK.as_u16(),
                    headers: texts(&metadata.into_headers()),
                    peer: serde_json::from_str(&text).ok(),
                    connection: None,
                })
            }
            Err(status) => refused(status),
        }
    }
}

fn call<M>(headers: HeaderMap, message: M) -> tonic::Request<M> {
    let metadata = MetadataMap::from_headers(headers);
    tonic::Request::from_parts(metadata, tonic::Extensions::default(), message)
}

/// A stream on which nothing is under way.
#[derive(Debug)]
pub(super) struct Stream {
    asks: UnboundedSender<()>,
    answers: Streaming<String>,
}

impl Lasting for Grpc {
    type Open = Stream;

    async fn open(&self) -> Result<Stream, Outcome> {
        let (asks, questions) = unbounded();
        let call = call(self.headers.clone(), questions);
        let mut grpc = self.ready().await.map_err(Err)?;
        let codec = ProstCodec::<(), String>::default();
        let method = PathAndQuery::from_static(STREAMING_METHOD);
        match grpc.streaming(call, method, codec).await {
            Ok(response) => Ok(Stream {
                asks,
                answers: response.into_inner(),
            }),
            Err(status) => Err(refused(status)),
        }
    }

    fn has_ended(stream: &mut Stream) -> bool {
        stream.answers.message().now_or_never().is_some()
    }

    async fn over(&self, mut stream: Stream) -> Result<(Answer, Stream), Outcome> {
        // Where nobody takes it any more, the answers have ended, too.
        let _ = stream.asks.unbounded_send(());
        match stream.answers.message().await {
            Ok(Some(text)) => {
                let answer = Answer {
                    status: StatusCode::OK.as_u16(),
                    headers: BTreeMap::new(),
                    peer: serde_json::from_str(&text).ok(),
                    connection: None,
                };
                Ok((answer, stream))
            }
            Ok(None) => Err(Err(RequestResult::Failed {
                kind: FailureKind::Reset,
                message: "the stream ended before an answer came".to_owned(),
            })),
            Err(status) => Err(refused(status)),
        }
    }
}

/// A status that somebody sent is an answer; one that stands for a broken connection is none.
fn refused(status: Status) -> Result<Answer, RequestResult> {
    if let Some(source) = std::error::Error::source(&status) {
        return Err(failed(source, false));
    }
    let mut headers = texts(&status.metadata().clone().into_headers());
    headers.insert(
        "grpc-status".to_owned(),
        i32::from(status.code()).to_string(),
    );
    headers.insert("grpc-message".to_owned(), status.message().to_owned());
    Ok(Answer {
        status: http_status(status.code()).as_u16(),
        headers,
        peer: None,
        connection: None,
    })
}

/// The HTTP status that a code stands for (google/rpc/code.proto).
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
