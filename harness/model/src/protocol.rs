//! What workloads speak to each other.

use crate::capability::Capability;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a request is spoken in.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Unary calls of gRPC.
    Grpc,
    /// Bytes of which sidecars know nothing: a line there and a line back, over a connection of its own.
    Tcp,
    /// Bytes as with `tcp`, but the callee speaks first, and the caller says nothing before.
    ServerFirst,
    /// Bytes as with `tcp`, within TLS that the applications speak themselves: the callee shows a certificate of its own, which is
    /// none of the mesh's, and a caller that is shown any other has no answer.
    ApplicationTls,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Http1,
        Self::Http2,
        Self::Grpc,
        Self::Tcp,
        Self::ServerFirst,
        Self::ApplicationTls,
    ];

    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Grpc => "gRPC",
            Self::Tcp => "TCP",
            Self::ServerFirst => "TCP, server first",
            Self::ApplicationTls => "the application's own TLS",
        }
    }

    /// Neither paths nor headers, and every exchange has a connection of its own unless it is [kept](Connections::Kept).
    #[must_use]
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::Tcp | Self::ServerFirst | Self::ApplicationTls)
    }

    /// What workloads must be able to for it; none where all are.
    #[must_use]
    pub fn takes(self) -> Option<Capability> {
        match self {
            Self::Http1 => None,
            Self::Http2 | Self::Grpc | Self::Tcp => Some(Capability::Protocols),
            Self::ServerFirst => Some(Capability::ServerFirst),
            Self::ApplicationTls => Some(Capability::ApplicationTls),
        }
    }

    /// One connection, or one stream, can carry request after request for as long as it is open.
    #[must_use]
    pub fn can_be_kept(self) -> bool {
        matches!(self, Self::Tcp | Self::Grpc)
    }

    /// It is what is spoken where nothing is said.
    #[must_use]
    pub fn is_http1(&self) -> bool {
        *self == Self::Http1
    }
}

/// What the requests of a load go over.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Connections {
    /// What is usual for what is spoken: clients of HTTP keep connections and use them again, and bytes have a connection for
    /// every exchange.
    #[default]
    Usual,
    /// One connection of bytes, or one stream of gRPC, that stays open and carries one request after another. When it has ended
    /// the next request opens another; a request that is under way at that moment is lost.
    Kept,
}

impl Connections {
    /// It is what requests go over where nothing is said.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        *self == Self::Usual
    }
}
