//! Asking for an identity from inside a pod.
//!
//! Invariant: no answer has a private key in it.

use crate::state::Certificate;
use serde::{Deserialize, Serialize};

/// One attempt.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityAsk {
    /// The bearer token that is shown; none where none is.
    pub token: Option<String>,
    /// Who is asked, and for what.
    pub at: IdentityDesk,
}

/// Who is asked, and for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum IdentityDesk {
    /// SDS (state of the world) on a Unix socket.
    Sds {
        /// Its path in the probe's container.
        socket: String,
        /// The secret that is asked for.
        secret: String,
    },
    /// The reference mesh's certificate authority, over TLS.
    Authority {
        /// `ip:port`.
        address: String,
        /// The name that its certificate must be for.
        server_name: String,
        /// The root that its certificate must lead to, PEM.
        root: String,
        /// The pod that the certificate is for: namespace, name and UID.
        pod: [String; 3],
        /// The names in the request, URIs.
        names: Vec<String>,
        /// What is wrong with the request.
        flaw: Option<RequestFlaw>,
        /// The lifetime that is asked for, in seconds.
        lifetime_s: u32,
    },
}

/// What is wrong with a signing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestFlaw {
    /// Its signature was changed.
    Tampered,
    /// Its key is RSA with 1024 bits.
    WeakKey,
    /// It asks to be an authority.
    Signer,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum IdentityAnswer {
    /// A chain, the pod's own certificate first.
    Granted(Vec<Certificate>),
    /// A refusal by who was asked.
    Denied {
        /// The gRPC code, for example `PermissionDenied`.
        code: String,
        /// The words.
        message: String,
    },
    /// No answer, or one that says nothing of the attempt.
    Unanswered(String),
}
