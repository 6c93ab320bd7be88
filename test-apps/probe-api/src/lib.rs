//! The HTTP interface of the probe application: what the probe serves and what the harness asks.
//!
//! The sidecar cannot be reached from outside its pod, so the probe in the same pod exposes its state and
//! sends requests through it. Every body is JSON; the OpenAPI document the probe serves at
//! [`paths::OPENAPI`] describes the same types.
//!
//! Invariant: wire types only. Nothing here opens a socket, reads a clock or knows one mesh from another.

pub mod handshake;
pub mod identity;
pub mod launcher;
pub mod request;
pub mod state;

/// The TCP port on which the probe serves this interface. Traffic to it must not be captured by the mesh.
pub const CONTROL_PORT: u16 = 8090;

/// The TCP port on which the probe answers application traffic, captured by the mesh like any workload's.
pub const APPLICATION_PORT: u16 = 8080;

/// As [`APPLICATION_PORT`], for HTTP/2 with prior knowledge and for gRPC.
pub const HTTP2_PORT: u16 = 8081;

/// As [`APPLICATION_PORT`], for bytes: the caller sends a line, and is answered with one of JSON
/// ([`PeerView`](request::PeerView)).
pub const TCP_PORT: u16 = 8082;

/// As [`TCP_PORT`], and the probe speaks first: it says [`GREETING`], and answers nobody before.
pub const SERVER_FIRST_PORT: u16 = 8083;

/// As [`TCP_PORT`], within TLS of the application's own: with a certificate that it has made itself, whatever its sidecar does.
pub const APPLICATION_TLS_PORT: u16 = 8084;

/// What the probe says first.
pub const GREETING: &[u8] = b"who is there?\n";

/// The paths below the control port.
pub mod paths {
    /// `GET`: [`SidecarState`](super::state::SidecarState). Query: `differs_from` (a hash) and
    /// `timeout_ms` make it a long poll that answers as soon as the state's hash is another one,
    /// and with the unchanged state (same hash) when the time is over.
    pub const STATE: &str = "/v1/state";
    /// `POST` [`ReconnectRequest`](super::state::ReconnectRequest): makes the sidecar leave its
    /// control-plane connection and dial again. Answers [`ReconnectReply`](super::state::ReconnectReply).
    pub const RECONNECT: &str = "/v1/sidecar/reconnect";
    /// `POST` [`RequestBatch`](super::request::RequestBatch): sends requests, answers
    /// [`RequestBatchReply`](super::request::RequestBatchReply) when all are done.
    pub const REQUESTS: &str = "/v1/requests";
    /// `POST` [`LoadSpec`](super::request::LoadSpec): starts steady load, answers
    /// [`LoadStarted`](super::request::LoadStarted).
    /// `GET /v1/loads/{id}?since=SEQ` answers [`LoadReport`](super::request::LoadReport);
    /// `DELETE /v1/loads/{id}` stops it and answers the final report.
    pub const LOADS: &str = "/v1/loads";
    /// `POST` [`IdentityAsk`](super::identity::IdentityAsk): asks for an identity, answers
    /// [`IdentityAnswer`](super::identity::IdentityAnswer).
    pub const IDENTITY: &str = "/v1/identity";
    /// `POST` [`HandshakeAsk`](super::handshake::HandshakeAsk): speaks TLS to a sidecar, answers
    /// [`HandshakeAnswer`](super::handshake::HandshakeAnswer).
    pub const HANDSHAKE: &str = "/v1/handshake";
    /// `POST`: makes a root of a partner, in the place of the one that was made before, and answers
    /// [`PartnerRoot`](super::handshake::PartnerRoot); handshakes show what is issued below it.
    pub const PARTNER: &str = "/v1/partner";
    /// `GET`: [`Received`](super::request::Received), how many requests with this text in
    /// [`COUNT_HEADER`](super::request::COUNT_HEADER) came to the application; the query `count` is the text.
    pub const RECEIVED: &str = "/v1/received";
    /// `GET`: 200 as soon as the process serves.
    pub const HEALTHZ: &str = "/healthz";
    /// `GET`: 200 as soon as the probe serves; whether its sidecar is ready is for that one to say.
    pub const READYZ: &str = "/readyz";
    /// `GET`: the OpenAPI document of this interface.
    pub const OPENAPI: &str = "/openapi.json";
}

/// The content hash of canonical text: SHA-256 in hex.
#[must_use]
pub fn content_hash(text: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    Sha256::digest(text)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
