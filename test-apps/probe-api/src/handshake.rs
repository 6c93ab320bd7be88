//! Speaking TLS to another pod's sidecar, past the own one, with a certificate of choice.
//!
//! Invariant: no answer has a private key in it, and no question either: keys are made by the probe and stay there.

use crate::identity::IdentityAsk;
use crate::request::Answer;
use crate::state::Certificate;
use serde::{Deserialize, Serialize};

/// One connection with one request (`GET /` in HTTP/1.1).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandshakeAsk {
    /// `ip:port` to dial. The mesh must not capture what goes there on its way out.
    pub address: String,
    /// What is offered in ALPN (RFC 7301), in order of preference.
    pub alpn: Vec<String>,
    /// The server name that is sent (RFC 6066, 3); none where none is.
    pub server_name: Option<String>,
    /// Where the roots are asked for that the server's certificate is to lead to: over SDS.
    pub roots: IdentityAsk,
    /// What the client shows.
    pub shows: ClientCertificate,
    /// Under which name that is kept, with its key, for [`ClientCertificate::Kept`]; none where it is not. It takes the place of
    /// what was kept under this name before.
    pub keep_as: Option<String>,
}

/// What a client shows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum ClientCertificate {
    /// Nothing.
    None,
    /// What is issued.
    Issued(IdentityAsk),
    /// What is issued, once its end is over. The lifetime that is asked for must be short.
    Expired(IdentityAsk),
    /// What is issued, with signatures by another key than the certificate's.
    OtherKey(IdentityAsk),
    /// A certificate with these URIs below a root that the probe makes.
    UnknownRoot(Vec<String>),
    /// A certificate below the root that the probe was asked for last ([`PARTNER`](crate::paths::PARTNER)).
    OfPartner(PartnerCertificate),
    /// What was shown before and kept under this name.
    Kept(String),
}

/// What stands in a certificate that the probe issues itself. The default has no name and is valid now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartnerCertificate {
    /// URIs among its names.
    pub uris: Vec<String>,
    /// DNS names among its names.
    pub host_names: Vec<String>,
    /// In how many seconds it begins to be valid; 0 where it is valid now.
    pub valid_in_s: u32,
}

/// A root that the probe has made. Its key stays in the probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartnerRoot {
    /// Its certificate, PEM.
    pub certificate: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandshakeAnswer {
    /// The client's own certificate; none where it had none to show.
    pub shown: Option<Certificate>,
    /// The server, once it has shown its certificate.
    pub server: Option<ServerShown>,
    /// How it ended.
    pub end: HandshakeEnd,
}

/// What a server has shown. That it has the key was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerShown {
    /// Its own certificate; none where it cannot be read.
    pub certificate: Option<Certificate>,
    /// Why that leads to none of the roots, or is not valid now; none where it does and is.
    pub untrusted: Option<String>,
}

/// How a handshake with a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum HandshakeEnd {
    /// An answer came.
    Answered(Box<Answer>),
    /// The server sent this alert (RFC 8446, 6; its number in appendix B.2).
    Alert(u8),
    /// The server closed or broke the connection after it was made, without an alert.
    Closed(String),
    /// Something else, which says nothing of the client's certificate: no connection, no certificate to show, no answer in
    /// time.
    Unanswered(String),
}
