//! Asking for an identity, or for what identities are made with, from inside a pod, rightly or wrongly, and what comes of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One attempt to get an identity, made by the probe of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    /// Names the answer in expectations.
    pub name: String,
    /// The workload whose probe asks, `application@data-center` with placeholders.
    pub from: String,
    /// Who is asked.
    pub at: Desk,
    /// What is shown as proof of who asks.
    #[serde(default)]
    pub token: Token,
    /// What is asked for, of the authority: the others take no requests.
    #[serde(default, skip_serializing_if = "Wish::is_right")]
    pub wish: Wish,
}

impl Ask {
    /// An attempt that nothing is wrong with.
    #[must_use]
    pub fn rightly(name: &str, from: &str, at: Desk) -> Self {
        Self {
            name: name.to_owned(),
            from: from.to_owned(),
            at,
            token: Token::Right,
            wish: Wish::Right,
        }
    }
}

/// Who hands out identities, or keeps what they are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Desk {
    /// What gives the sidecars of a node their certificates, over SDS: whoever shows a workload's token is served as it.
    NodeAgent,
    /// What signs certificates: whoever shows a node agent's token is served for the pods of its node.
    Authority,
    /// What keeps the keys that sign certificates. It takes no tokens: only the authority is served, by its client certificate,
    /// and a workload is turned away before it can ask. `token` says what is shown: `none` is no certificate, `own` that of the
    /// asking workload.
    KeyService,
}

/// A token. The holder whom it is for is the asking workload at the node agent, and the agent of its node at the authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Token {
    /// The holder's own, for who is asked.
    #[default]
    Right,
    /// None.
    None,
    /// Something that nobody has signed.
    Garbage,
    /// The holder's own, signed anew with the API server's key, and valid for some more minutes.
    Signed,
    /// The same, signed anew in the same way, that has ended ten minutes ago: API servers bear with clocks that are a minute
    /// behind.
    Expired,
    /// The holder's own, for somebody else.
    OtherAudience,
    /// Of the holder's account, bound to no pod.
    Unbound,
    /// Of the holder's account, bound to a pod that is gone.
    Gone,
    /// Of the asking workload itself, which is no agent; at the key service its certificate.
    Own,
    /// That of a workload, `application@data-center` with placeholders; at the authority that of the agent of its node.
    Of(String),
    /// None, as another user of the node than the owner of the node agent's socket. Nobody in a pod can become one: whom the
    /// socket lets dial is read from its permissions.
    OtherUser,
}

impl Token {
    /// Whether it takes the API server's key to make it.
    #[must_use]
    pub fn is_signed_anew(&self) -> bool {
        self.ends_in_s().is_some()
    }

    /// From now on, in seconds, where it is signed anew; negative when it has ended.
    #[must_use]
    pub fn ends_in_s(&self) -> Option<i64> {
        match self {
            Self::Signed => Some(600),
            Self::Expired => Some(-600),
            _ => None,
        }
    }
}

/// What a certificate is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Wish {
    /// The asking workload's own name, a good key, and a short life.
    #[default]
    Right,
    /// The name of another workload.
    OtherName,
    /// The own name and that of another workload.
    TwoNames,
    /// The own name, but in another trust domain.
    OtherDomain,
    /// The name of the account that is called like the own one in another namespace.
    OtherNamespace,
    /// A request that was changed after it was signed.
    Tampered,
    /// An RSA key of 1024 bits.
    WeakKey,
    /// A key on a curve that is not taken (P-384).
    OtherCurve,
    /// A certificate that could sign others.
    Signer,
    /// A life of a year.
    LongLife,
}

impl Wish {
    fn is_right(&self) -> bool {
        *self == Self::Right
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Answer {
    /// A certificate.
    Granted {
        /// Its subject alternative names that are URIs.
        identities: Vec<String>,
        /// From when to when it is valid, seconds.
        lifetime_s: i64,
    },
    /// What was asked for, which is no certificate.
    Served,
    /// Nobody was asked, but who asks like that would be let in.
    LetIn {
        /// By what.
        how: String,
    },
    /// A refusal.
    Denied {
        /// The gRPC code, the number of the alert of TLS, or the permissions of a socket.
        code: String,
        /// The words.
        message: String,
        /// Why, where the words, or the alert, are those of one of the known causes.
        cause: Option<DenialCause>,
    },
    /// Nobody answered, or not in a way that says anything.
    Unanswered {
        /// Why.
        reason: String,
    },
}

/// What an audit log says became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditOutcome {
    /// Something was signed.
    Served,
    /// Who called is denied.
    Refused,
}

impl AuditOutcome {
    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
        }
    }
}

/// Why an identity was denied.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DenialCause {
    /// There was no token.
    NoToken,
    /// The API server has not made this token.
    UnknownToken,
    /// It has ended.
    Expired,
    /// It was made for somebody else.
    OtherAudience,
    /// The pod that it is bound to is gone.
    PodGone,
    /// It is bound to no pod.
    Unbound,
    /// It is of another node.
    OtherNode,
    /// Its account may not ask.
    OtherAccount,
    /// The name is not that of the pod alone.
    OtherName,
    /// The request's signature does not fit.
    BadSignature,
    /// The key is too weak, or of a kind that is not taken.
    WeakKey,
    /// It asks for more than a workload may be.
    TooMuch,
    /// Who is asked is denied what it needs for it by another part of the mesh.
    NotServed,
    /// There was no client certificate, and TLS goes on with nobody who shows none.
    NoCertificate,
    /// The client certificate leads to no root that is trusted there.
    UnknownAuthority,
    /// The permissions of the socket let nobody dial but its owner.
    OtherUser,
}
