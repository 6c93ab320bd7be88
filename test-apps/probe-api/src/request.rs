//! Requests that a probe sends through its sidecar, and what the answering probe saw of them.

use crate::state::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Requests to send, one after another.
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

/// One HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestSpec {
    /// `http://host[:port]/path`; the host is a service name as a workload would use it.
    pub url: String,
    /// Request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The whole request must be done within this many milliseconds.
    pub timeout_ms: u64,
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
    /// An HTTP answer came.
    Answered(Box<Answer>),
    /// No HTTP answer came: `connect`, `timeout`, `reset` or `protocol`, and the error's own text.
    Failed {
        /// Which kind of failure.
        kind: FailureKind,
        /// The error chain in words.
        message: String,
    },
}

/// Why a request got no HTTP answer.
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
    /// The bytes were not HTTP.
    Protocol,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Response headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What the answering probe saw, if a probe answered.
    pub peer: Option<PeerView>,
}

/// What an answering probe tells of the request it got; the JSON body of its application port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerView {
    /// Who answered.
    pub identity: Identity,
    /// HTTP version of the request as it arrived, for example `HTTP/1.1`.
    pub protocol: String,
    /// Request path.
    pub path: String,
    /// Request headers as they arrived, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Address of the connection's other end.
    pub remote_address: String,
}

/// Open-loop load: requests are due at fixed times, whether or not earlier ones were answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadSpec {
    /// What to send; the header `x-probe-sequence` is added.
    pub request: RequestSpec,
    /// Requests per second.
    pub rate: u32,
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
