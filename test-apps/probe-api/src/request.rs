//! Requests that a probe sends through its sidecar, and what the answering probe saw of them.

use crate::state::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Requests to send, a few at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestBatch {
    /// What to send.
    pub request: RequestSpec,
    /// How often, at least once.
    pub count: u32,
    /// How many may be under way at once, at least one.
    pub concurrency: u32,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestSpec {
    /// `http://host[:port]/path`; the host is a service name as a workload would use it. A gRPC call to `/` is one of
    /// the probe's own method; of bytes the path says nothing.
    pub url: String,
    /// What is spoken.
    #[serde(default)]
    pub protocol: Protocol,
    /// Request headers; bytes have none.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The whole request must be done within this many milliseconds.
    pub timeout_ms: u64,
}

/// What a request is spoken in.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113, 3.3).
    Http2,
    /// A unary call of gRPC, over HTTP/2.
    Grpc,
    /// One line of bytes there and one back, over a connection of its own.
    Tcp,
    /// As [`Self::Tcp`], but the callee speaks first ([`GREETING`](crate::GREETING)), and the caller says nothing before.
    ServerFirst,
    /// As [`Self::Tcp`], within TLS between the two applications.
    ApplicationTls,
}

impl Protocol {
    /// As a probe that was asked says how it was asked, see [`PeerView::protocol`].
    #[must_use]
    pub fn as_told(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
            Self::Grpc => "gRPC",
            Self::Tcp => "TCP",
            Self::ServerFirst => "TCP, server first",
            Self::ApplicationTls => "TLS",
        }
    }
}

/// The outcomes, in order of sending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestBatchReply {
    /// One for each request.
    pub outcomes: Vec<RequestOutcome>,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestOutcome {
    /// Position in the batch or load, from 0.
    pub sequence: u64,
    /// When it was to be sent (open loop), nanoseconds since the Unix epoch.
    pub intended_at_ns: u64,
    /// From `intended_at_ns` to the end of the answer, microseconds: no coordinated omission.
    pub latency_us: u64,
    /// The answer or the reason why there was none.
    pub result: RequestResult,
}

/// Answer or failure of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum RequestResult {
    /// An answer came.
    Answered(Box<Answer>),
    /// No answer came: `resolve`, `connect`, `timeout`, `reset` or `protocol`, and the error's own text. Of a `reset` of bytes
    /// that holds what the caller's sidecar says of the connection.
    Failed {
        /// Which kind of failure.
        kind: FailureKind,
        /// The error chain in words.
        message: String,
    },
}

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// The name did not resolve.
    Resolve,
    /// The connection was refused or not made.
    Connect,
    /// Nothing came within the time.
    Timeout,
    /// The peer broke the connection.
    Reset,
    /// The bytes were not what is spoken.
    Protocol,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// HTTP status. A gRPC call that failed has the one that its code stands for, and a line of bytes that came has 200.
    pub status: u16,
    /// Response headers, names in lower case; of a gRPC call that failed its trailers too.
    pub headers: BTreeMap<String, String>,
    /// What the answering probe saw, if a probe answered.
    pub peer: Option<PeerView>,
    /// Of a load that [keeps](Connections::Kept) a connection: which of those that it has opened carried this, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
}

/// Request header: the probe that gets the request counts it under this text. So also copies are seen, whose answers nobody
/// reads.
pub const COUNT_HEADER: &str = "x-probe-count";

/// Request header: the HTTP status that the probe is to answer with, for example 500. It then tells nothing of itself.
pub const STATUS_HEADER: &str = "x-probe-answer-status";

/// Request header: for how many milliseconds the probe is to wait before it answers.
pub const AFTER_HEADER: &str = "x-probe-answer-after-ms";

/// Request header: for how many milliseconds the probe is to wait between the beginning and the end of its answer. Over gRPC it
/// is not looked at.
pub const END_AFTER_HEADER: &str = "x-probe-answer-end-after-ms";

/// How many requests came that were to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Received {
    /// Since the start of the probe.
    pub count: u64,
}

/// What an answering probe tells of the request it got; the JSON body of its application port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerView {
    /// Who answered.
    pub identity: Identity,
    /// What the request was spoken in as it arrived: an HTTP version, for example `HTTP/1.1`, or another of the words
    /// of [`Protocol::as_told`].
    pub protocol: String,
    /// Request path.
    pub path: String,
    /// Request headers as they arrived, names in lower case. Of bytes: what the sidecars of both ends told their
    /// applications of the connection, under the names that such headers have.
    pub headers: BTreeMap<String, String>,
    /// Address of the connection's other end.
    pub remote_address: String,
    /// Where the application speaks TLS itself: the SHA-256 of the certificate (DER) that it shows, in hex. A caller that was
    /// shown another one speaks to somebody between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Open-loop load: requests are due at fixed times, whether or not earlier ones were answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadSpec {
    /// What to send; the header `x-probe-sequence` is added.
    pub request: RequestSpec,
    /// What the requests go over.
    #[serde(default)]
    pub connections: Connections,
    /// Requests per second.
    pub rate: u32,
}

/// What the requests of a load go over.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Connections {
    /// What is usual for what is spoken.
    #[default]
    Usual,
    /// One connection of bytes or one stream of gRPC that carries one request after another, each when the one before is
    /// answered. When it has ended the next request opens another; one that is under way at that moment has no answer.
    Kept,
}

/// A load was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadStarted {
    /// Names the load in later calls.
    pub id: String,
}

/// What a load has done so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadReport {
    /// The load's name.
    pub id: String,
    /// Requests that were due so far; every one of them has or will have an outcome.
    pub due: u64,
    /// Outcomes from sequence `since` on, in order, without gaps.
    pub outcomes: Vec<RequestOutcome>,
}
