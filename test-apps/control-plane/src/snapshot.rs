//! What one sidecar is to hold, per xDS type, encoded once and shared.
//!
//! Invariant: versions are hashes of content in canonical order, so equal content has equal versions on every
//! replica and after every rollback.

use crate::effective::Basis;
use bytes::{BufMut as _, Bytes, BytesMut};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// An xDS type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Clusters.
    Clusters,
    /// Endpoints.
    Endpoints,
    /// Listeners.
    Listeners,
    /// Route configurations.
    Routes,
    /// Runtime layers.
    Runtime,
}

impl Kind {
    /// In the order in which they are sent, so that nothing refers to what is not there yet.
    pub const ALL: [Self; 5] = [
        Self::Clusters,
        Self::Endpoints,
        Self::Listeners,
        Self::Routes,
        Self::Runtime,
    ];

    /// The type URL.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Clusters => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoints => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listeners => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
        }
    }

    /// The type of a URL, if it is served.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// The short name that people use.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::Clusters => "CDS",
            Self::Endpoints => "EDS",
            Self::Listeners => "LDS",
            Self::Routes => "RDS",
            Self::Runtime => "RTDS",
        }
    }

    /// Every response of the type is the whole state, and no names mean everything.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Clusters | Self::Listeners)
    }
}

/// Hash of a resource's content.
pub type ContentHash = [u8; 32];

/// The version of one resource: the beginning of its content's hash, told as hexadecimal digits. Clients of the delta
/// form bring it along when they connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceVersion([u8; 8]);

impl ResourceVersion {
    /// The version that somebody tells; none when it is none of ours.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// One resource, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Hash of the content, which has the name in it.
    pub hash: ContentHash,
    /// As a field `resources` of a `DiscoveryResponse`, ready to be copied into the message. The field `resource` of a
    /// `Resource` in a `DeltaDiscoveryResponse` has the same number and type, so these bytes serve both.
    pub field: Bytes,
}

impl Resource {
    /// Encodes a resource that is already encoded as a message of the type.
    #[must_use]
    pub fn new(kind: Kind, message: Vec<u8>) -> Self {
        let hash = Sha256::digest(&message).into();
        let any = Any {
            type_url: kind.url().to_owned(),
            value: message,
        };
        let length = any.encoded_len();
        let mut field = BytesMut::with_capacity(length + 8);
        encode_key(2, WireType::LengthDelimited, &mut field);
        encode_varint(length as u64, &mut field);
        field.put_slice(&any.encode_to_vec());
        Self {
            hash,
            field: field.freeze(),
        }
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> ResourceVersion {
        let [a, b, c, d, e, f, g, h, ..] = self.hash;
        ResourceVersion([a, b, c, d, e, f, g, h])
    }
}

/// The resources of one type by name.
pub type Resources = BTreeMap<String, Resource>;

/// Everything for one sidecar.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By type; a type that is not there has no resources.
    pub resources: BTreeMap<Kind, Arc<Resources>>,
    /// The policies that it takes account of.
    pub basis: Arc<Basis>,
}

/// The version of a set of resources: the hash of names and contents in order of name.
#[must_use]
pub fn version<'a>(resources: impl IntoIterator<Item = (&'a str, &'a ContentHash)>) -> String {
    let mut hash = Sha256::new();
    for (name, content) in resources {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update(content);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_a_field_of_the_response() {
        use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
        let resource = Resource::new(Kind::Routes, vec![10, 1, b'x']);
        let response = DiscoveryResponse::decode(resource.field.clone()).expect("decodes");
        assert_eq!(response.resources.len(), 1);
        assert_eq!(response.resources[0].type_url, Kind::Routes.url());
        assert_eq!(response.resources[0].value, vec![10, 1, b'x']);
    }

    #[test]
    fn versions_follow_content_only() {
        let one = [1; 32];
        let two = [2; 32];
        assert_eq!(
            version([("a", &one), ("b", &two)]),
            version([("a", &one), ("b", &two)])
        );
        assert_ne!(
            version([("a", &one), ("b", &two)]),
            version([("a", &two), ("b", &one)])
        );
        assert_ne!(version([("ab", &one)]), version([("a", &one)]));
    }

    #[test]
    fn the_version_of_a_resource_is_known_both_ways() {
        let version = Resource::new(Kind::Routes, vec![1]).version();
        assert_eq!(
            ResourceVersion::from_text(&version.to_string()),
            Some(version)
        );
        for other in ["", "1", "+123456789abcdef", "version-of-a-mesh"] {
            assert_eq!(ResourceVersion::from_text(other), None);
        }
    }

    #[test]
    fn urls_are_known_both_ways() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_url(kind.url()), Some(kind));
        }
        assert_eq!(Kind::from_url("type.googleapis.com/unknown"), None);
    }
}
