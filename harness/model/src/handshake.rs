//! Speaking TLS to a callee's sidecar past the own one, with a certificate that is right or wrong, and what comes of it.

mod alert;

pub use alert::Alert;

use crate::history::{Answerer, Arrival};
use crate::scenario::Act;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One connection over TLS with one request, made by the probe of a workload. It passes the callee's sidecar alone, and is
/// spoken as sidecars speak among themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Handshake {
    /// Names the outcome in expectations.
    pub name: String,
    /// The workload whose probe calls, `application@data-center` with placeholders.
    pub from: String,
    /// The workload whose sidecar is met, `application@data-center` with placeholders.
    pub to: String,
    /// What is shown as the client's certificate.
    #[serde(default)]
    pub shows: Shown,
}

/// What a client shows. The names in certificates are right unless the value says otherwise: that of the calling workload
/// alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// A certificate that the mesh's authority has issued just now.
    #[default]
    Right,
    /// None.
    None,
    /// One that nobody of the mesh has signed: the probe makes a root of its own for it.
    UnknownRoot,
    /// One that the mesh's authority has issued, after its end.
    Expired,
    /// One that the mesh's authority has issued, with a signature (RFC 8446, 4.4.3) by another key.
    OtherKey,
    /// One below the root that `trustPartner` has taken into trust, which the same workload's probe has made.
    OfPartner(PartnerCertificate),
    /// Once more what an earlier handshake of the scenario, of this name and from the same workload, has shown: the probe keeps
    /// the certificate, which is then asked for with a life of ten minutes, and its key.
    As(String),
}

/// A certificate that leads to a partner's root. There, other than at the mesh's authority, everything can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PartnerCertificate {
    /// As the mesh's authority would issue it.
    Right,
    /// Valid from an hour ahead on.
    NotValidYet,
    /// For a SPIFFE ID of another trust domain, which is as the caller's otherwise.
    OtherTrustDomain,
    /// Without a SPIFFE ID: for a DNS name alone.
    NoSpiffeId,
}

/// Whether what a handshake of this name shows is shown once more in one of these acts.
#[must_use]
pub fn is_shown_again(name: &str, acts: &[Act]) -> bool {
    let shows = |act: &Act| matches!(act, Act::Handshake(Handshake { shows: Shown::As(shown), .. }) if shown == name);
    acts.iter().any(shows)
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Met {
    /// The serial number of the certificate that was shown, hex; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Whom the client met; none where nobody showed a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// How it ended.
    pub end: End,
}

/// The server's side of a handshake, as the client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// The URIs in its certificate.
    pub identities: Vec<String>,
    /// Why the certificate leads to none of the mesh's roots; none where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrusted: Option<String>,
}

/// How a handshake with a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum End {
    /// The request was answered.
    Answered {
        /// HTTP status.
        status: u16,
        /// Who answered; none where that was no probe.
        by: Option<Answerer>,
        /// How the request came to the callee's sidecar; none where that does not tell.
        arrived: Option<Arrival>,
        /// The caller's own sidecar left its trace in the request.
        passed_caller_sidecar: bool,
    },
    /// The callee's sidecar sent an alert (RFC 8446, 6).
    Alert {
        /// Its number.
        code: u8,
        /// Its name, where the RFC has one for it.
        alert: Option<Alert>,
    },
    /// The callee's sidecar closed the connection without an alert.
    Closed {
        /// In the words of whoever noticed.
        reason: String,
    },
    /// Nothing that says anything of the certificate: nobody was met, no certificate could be had, no answer in time.
    Unanswered {
        /// Why.
        reason: String,
    },
}
