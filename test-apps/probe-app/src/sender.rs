//! Sending requests through the sidecar, as any client of a workload would.

use crate::application::texts;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use probe_api::request::{
    Answer, FailureKind, RequestBatch, RequestOutcome, RequestResult, RequestSpec,
};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The header that tells the position of a request in its load.
pub(crate) const SEQUENCE_HEADER: &str = "x-probe-sequence";

/// Longer answers are not the business of a probe.
const LONGEST_BODY: usize = 1 << 20;

/// Sends requests of one batch or load over connections of its own.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client<HttpConnector, Empty<Bytes>>,
    request: Request<()>,
    timeout: Duration,
}

impl Sender {
    /// A sender of one request, or what is wrong with it.
    pub(crate) fn new(spec: &RequestSpec) -> Result<Self, String> {
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
        let mut request = Request::builder().uri(uri);
        for (name, value) in &spec.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(())
            .map_err(|error| format!("headers: {error}"))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            request,
            timeout: Duration::from_millis(spec.timeout_ms),
        })
    }

    /// Sends the request once. `due` is when it was to be sent: the latency counts from there.
    pub(crate) async fn send(&self, sequence: u64, due: Due, numbered: bool) -> RequestOutcome {
        let mut request = self.request.clone().map(|()| Empty::new());
        if numbered {
            request
                .headers_mut()
                .insert(SEQUENCE_HEADER, sequence.into());
        }
        let result = match tokio::time::timeout(self.timeout, self.exchange(request)).await {
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

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Answer, RequestResult> {
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
        })
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
pub(crate) async fn send_batch(batch: &RequestBatch) -> Result<Vec<RequestOutcome>, String> {
    use futures::stream::{self, StreamExt};
    if batch.count == 0 || batch.concurrency == 0 {
        return Err("count and concurrency must be at least 1".to_owned());
    }
    let sender = &Sender::new(&batch.request)?;
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
