//! What came of requests, as callers, callees and whoever stands between them tell.

use crate::protocol::Protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestSeen {
    /// Batch or load.
    pub traffic: String,
    /// Position in it, from 0.
    pub sequence: u64,
    /// The sending sidecar's stable name.
    pub from: String,
    /// When it was due, on the history's clock.
    pub due_ns: u64,
    /// From due to done, microseconds.
    pub latency_us: u64,
    /// What it was spoken in as it reached the callee's application; none where that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Which of the connections or streams that a load keeps carried it, counted from 0; none where none is kept, or there was
    /// no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<u64>,
    /// HTTP status, or none when there was no answer. gRPC's own status is told by the HTTP status it stands for.
    pub status: Option<u16>,
    /// Why there was no answer, or what the sidecar said of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Answerer>,
    /// The caller's sidecar left its trace in the request.
    pub passed_caller_sidecar: bool,
    /// The callee's sidecar left its trace in the request.
    pub passed_callee_sidecar: bool,
    /// How it came to the callee's sidecar; none where that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Arrival>,
    /// Why a sidecar answered in the callee's place, or how a connection of bytes ended, where that is a known cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<RefusalCause>,
}

/// A connection as it was seen on its way, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WireConnection {
    /// The `ip:port` of whoever sends: the caller's, or for answers the callee's.
    pub from: String,
    /// That of the other one.
    pub to: String,
    /// What it carried.
    pub spoken: Spoken,
}

/// What a connection carries.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Spoken {
    /// Records of TLS, and nothing else.
    Tls,
    /// Something that anybody can read.
    Plaintext,
}

/// How a request came to the callee's sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Arrival {
    /// Without TLS.
    Plaintext,
    /// Over TLS.
    Tls {
        /// Protocol version, for example `TLSv1.3`.
        version: String,
        /// Cipher suite.
        cipher: String,
        /// The SPIFFE ID in the caller's certificate; none where it showed none.
        peer: Option<String>,
        /// The serial number of the caller's certificate.
        serial: Option<String>,
        /// The mesh definition says which versions sidecars speak, and this is none of them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        outdated: bool,
    },
}

/// Why a request was refused by a sidecar.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RefusalCause {
    /// The callee's sidecar closed a connection in plaintext.
    Plaintext,
    /// The callee's sidecar does not speak TLS.
    NoTls,
    /// The callee's certificate is trusted, but it is that of somebody else than the caller called.
    OtherName,
    /// The certificate that one side shows has ended.
    Expired,
    /// One side does not trust the other's certificate.
    Untrusted,
    /// The caller is not on the list of those who may call.
    NotAllowed,
    /// The callee took longer than the caller's sidecar waits.
    Timeout,
    /// The caller's sidecar is to send it to a service that it does not know: that is another thing than a service without
    /// anybody who answers.
    UnknownService,
}

impl RequestSeen {
    /// When it was answered or given up, nanoseconds on the history's clock.
    #[must_use]
    pub fn done_ns(&self) -> u64 {
        self.due_ns
            .saturating_add(self.latency_us.saturating_mul(1000))
    }
}

/// Who answered a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answerer {
    /// Pod name.
    pub pod: String,
    /// Application.
    pub application: String,
    /// Data center.
    pub data_center: String,
}
