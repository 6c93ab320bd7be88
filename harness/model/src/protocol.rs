//! What workloads speak to each other.

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
#[serde(rename_all = "lowercase")]
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
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Grpc, Self::Tcp];

    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Grpc => "gRPC",
            Self::Tcp => "TCP",
        }
    }

    /// It is what is spoken where nothing is said.
    #[must_use]
    pub fn is_http1(&self) -> bool {
        *self == Self::Http1
    }
}
