//! Sending requests through the sidecar, as any client of a workload would.

mod bytes;
mod grpc;
mod http;
mod kept;
mod ports;

use self::bytes::Manner;
use crate::connection::Told;
use ::http::Uri;
use probe_api::request::{
    Answer, Connections, FailureKind, Protocol, RequestBatch, RequestOutcome, RequestResult,
    RequestSpec,
};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

pub(crate) use grpc::STREAMING_METHOD;

/// The header that tells the position of a request in its load.
pub(crate) const SEQUENCE_HEADER: &str = "x-probe-sequence";

/// Sends requests of one batch or load over connections of its own.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    way: Way,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Http(http::Http),
    Grpc(grpc::Grpc),
    Bytes(bytes::Bytes),
    KeptBytes(kept::Kept<bytes::Bytes>),
    KeptStream(kept::Kept<grpc::Grpc>),
}

impl Sender {
    /// A sender of one request, or what is wrong with it. `told` is asked what the sidecar says of connections.
    pub(crate) fn new(
        spec: &RequestSpec,
        connections: Connections,
        told: &Told,
    ) -> Result<Self, String> {
        let uri: Uri = spec
            .url
            .parse()
            .map_err(|error| format!("url `{}`: {error}", spec.url))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(format!("url `{}`: write http://host[:port]/path", spec.url));
        }
        if spec.timeout_ms == 0 {
            return Err("timeoutMs must be at least 1".to_owned());
        }
        let mut request = ::http::Request::builder().uri(uri);
        for (name, value) in &spec.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(())
            .map_err(|error| format!("headers: {error}"))?;
        let bytes = |manner| bytes::Bytes::new(&request, manner, told.clone());
        Ok(Self {
            way: match (spec.protocol, connections) {
                (Protocol::Http1, Connections::Usual) => {
                    Way::Http(http::Http::new(request, http::Version::Http1))
                }
                (Protocol::Http2, Connections::Usual) => {
                    Way::Http(http::Http::new(request, http::Version::Http2))
                }
                (Protocol::Grpc, Connections::Usual) => Way::Grpc(grpc::Grpc::new(request)),
                (Protocol::Grpc, Connections::Kept) => {
                    Way::KeptStream(kept::Kept::by(grpc::Grpc::new(request)))
                }
                (Protocol::Tcp, Connections::Usual) => Way::Bytes(bytes(Manner::Ask)),
                (Protocol::Tcp, Connections::Kept) => {
                    Way::KeptBytes(kept::Kept::by(bytes(Manner::Ask)))
                }
                (Protocol::ServerFirst, Connections::Usual) => Way::Bytes(bytes(Manner::Listen)),
                (Protocol::ApplicationTls, Connections::Usual) => Way::Bytes(bytes(Manner::Tls)),
                (other, Connections::Kept) => {
                    return Err(format!(
                        "connections: {} has none that carries request after request; only tcp and grpc can be kept",
                        other.as_told()
                    ));
                }
            },
            timeout: Duration::from_millis(spec.timeout_ms),
        })
    }

    /// Sends the request once. `due` is when it was to be sent: the latency counts from there.
    pub(crate) async fn send(&self, sequence: u64, due: Due, numbered: bool) -> RequestOutcome {
        let number = numbered.then_some(sequence);
        let result = match tokio::time::timeout(self.timeout, self.exchange(number)).await {
            Ok(Ok(answer)) => RequestResult::Answered(Box::new(answer)),
            Ok(Err(failed)) => failed,
            Err(_) => RequestResult::Failed {
                kind: FailureKind::Timeout,
                message: format!("no whole answer within {:?}", self.timeout),
            },
        };
        RequestOutcome {
            sequence,
            intended_at_ns: due.unix_ns,
            latency_us: u64::try_from(due.instant.elapsed().as_micros()).unwrap_or(u64::MAX),
            result,
        }
    }

    async fn exchange(&self, number: Option<u64>) -> Result<Answer, RequestResult> {
        match &self.way {
            Way::Http(http) => http.exchange(number).await,
            Way::Grpc(grpc) => grpc.exchange(number).await,
            Way::Bytes(bytes) => bytes.exchange().await,
            Way::KeptBytes(kept) => kept.exchange().await,
            Way::KeptStream(kept) => kept.exchange().await,
        }
    }
}

/// When a request is due, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// On the monotonic clock.
    pub instant: Instant,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

impl Due {
    /// Now.
    pub(crate) fn now() -> Self {
        Self {
            instant: Instant::now(),
            unix_ns: unix_ns(),
        }
    }

    /// So much later.
    pub(crate) fn after(self, later: Duration) -> Self {
        Self {
            instant: self.instant + later,
            unix_ns: self.unix_ns + u64::try_from(later.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

/// Sends a batch and returns its outcomes in order of sending.
pub(crate) async fn send_batch(
    batch: &RequestBatch,
    told: &Told,
) -> Result<Vec<RequestOutcome>, String> {
    use futures::stream::{self, StreamExt};
    if batch.count == 0 || batch.concurrency == 0 {
        return Err("count and concurrency must be at least 1".to_owned());
    }
    let sender = &Sender::new(&batch.request, Connections::Usual, told)?;
    let concurrency = usize::try_from(batch.concurrency).unwrap_or(usize::MAX);
    Ok(stream::iter(0..u64::from(batch.count))
        // A request of a batch is due when its turn comes.
        .map(|sequence| async move { sender.send(sequence, Due::now(), false).await })
        .buffered(concurrency)
        .collect()
        .await)
}

fn failed(error: &(dyn Error + 'static), connecting: bool) -> RequestResult {
    let mut message = error.to_string();
    let mut kind = if connecting {
        FailureKind::Connect
    } else {
        FailureKind::Reset
    };
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if connecting && words.contains("dns error") {
            kind = FailureKind::Resolve;
        }
        if let Some(http) = source.downcast_ref::<hyper::Error>()
            && (http.is_parse() || http.is_parse_status())
        {
            kind = FailureKind::Protocol;
        }
        message.push_str(": ");
        message.push_str(&words);
        cause = source.source();
    }
    RequestResult::Failed { kind, message }
}

#[cfg(test)]
mod tests;
