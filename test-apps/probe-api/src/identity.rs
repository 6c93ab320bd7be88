//! Asking for an identity, or for what identities are made with, from inside a pod.
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

/// Who is asked, and for what. There may be a token in it, so it prints itself nowhere.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
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
    /// Nobody: the permissions of a Unix socket are read, which say who may dial it.
    SocketPermissions {
        /// Its path in the probe's container.
        socket: String,
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
    /// The reference mesh's key service, over TLS 1.3: which keys there are. It takes client certificates, and no tokens.
    KeyService {
        /// `ip:port`.
        address: String,
        /// The name that its certificate must be for.
        server_name: String,
        /// The root that its certificate must lead to, PEM.
        root: String,
        /// How the client certificate is obtained that is shown: from an authority. None where none is.
        certificate: Option<Box<IdentityAsk>>,
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
    /// Its key is on P-384.
    OtherCurve,
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
    /// What was asked for, which is no certificate.
    Served,
    /// Permission bits, as chmod(1) takes them.
    Permissions {
        /// Of the socket.
        socket: u32,
        /// Of the folder that it is in.
        folder: u32,
    },
    /// A refusal by who was asked.
    Denied {
        /// The gRPC code, for example `PermissionDenied`.
        code: String,
        /// The words.
        message: String,
    },
    /// TLS ended with this alert of who was asked (RFC 8446, 6; its number in appendix B.2).
    Alert(u8),
    /// No answer, or one that says nothing of the attempt.
    Unanswered(String),
}
