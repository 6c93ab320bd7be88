//! The gRPC form of requests and responses.
//!
//! Responses are written from bytes that were encoded once and are shared by every stream.

use crate::stream::Response;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A response and who sends it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The response.
    pub response: Response,
    /// `control_plane.identifier`.
    pub identifier: Arc<str>,
}

/// Decodes `DiscoveryRequest`, encodes `DiscoveryResponse`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscoveryCodec;

impl Codec for DiscoveryCodec {
    type Encode = Outgoing;
    type Decode = DiscoveryRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self
    }
}

impl Encoder for DiscoveryCodec {
    type Item = Outgoing;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        write(&item, buffer);
        Ok(())
    }
}

impl Decoder for DiscoveryCodec {
    type Item = DiscoveryRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        DiscoveryRequest::decode(buffer)
            .map(Some)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

fn write(item: &Outgoing, buffer: &mut impl bytes::BufMut) {
    let response = &item.response;
    text(1, &response.version, buffer);
    for resource in &response.resources {
        buffer.put_slice(&resource.field);
    }
    text(4, response.kind.url(), buffer);
    text(5, &response.nonce, buffer);
    let mut control_plane = Vec::with_capacity(item.identifier.len() + 4);
    text(1, &item.identifier, &mut control_plane);
    encode_key(6, WireType::LengthDelimited, buffer);
    encode_varint(control_plane.len() as u64, buffer);
    buffer.put_slice(&control_plane);
}

fn text(tag: u32, value: &str, buffer: &mut impl bytes::BufMut) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(value.len() as u64, buffer);
    buffer.put_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Kind, Resource};
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;

    #[test]
    fn what_is_written_reads_as_a_discovery_response() {
        let outgoing = Outgoing {
            response: Response {
                kind: Kind::Runtime,
                version: "v".into(),
                nonce: "7".into(),
                resources: vec![
                    Resource::new(Kind::Runtime, vec![1]),
                    Resource::new(Kind::Runtime, vec![2; 300]),
                ],
            },
            identifier: "control-plane-0".into(),
        };
        let mut bytes = Vec::new();
        write(&outgoing, &mut bytes);
        let read = DiscoveryResponse::decode(bytes.as_slice()).expect("decodes");
        assert_eq!(read.version_info, "v");
        assert_eq!(read.nonce, "7");
        assert_eq!(read.type_url, Kind::Runtime.url());
        assert_eq!(read.resources.len(), 2);
        assert_eq!(read.resources[1].value, vec![2; 300]);
        assert_eq!(
            read.control_plane.map(|c| c.identifier).as_deref(),
            Some("control-plane-0")
        );
    }
}
