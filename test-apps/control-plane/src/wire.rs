//! The gRPC side of both forms of ADS: which message says what.
//!
//! Responses are written from bytes that were encoded once and are shared by every stream, of either form.

use crate::behaviour::Behaviour;
use crate::snapshot::{Kind, Snapshot};
use crate::stream::delta::{DeltaRequest, DeltaResponse, DeltaStream};
use crate::stream::{Form, Meaning, Request, Response, Standing, Stream};
use bytes::BufMut;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use std::marker::PhantomData;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// A stream in one form: its messages and its state machine.
pub trait Wire: Send + 'static {
    /// What the client sends.
    type Message: prost::Message + Default + 'static;
    /// What it asks or answers by that.
    type Request: Send;
    /// What it is sent.
    type Response: Send + 'static;

    /// The form.
    const FORM: Form;

    /// A stream on which nothing was asked yet.
    fn open(behaviour: &dyn Behaviour) -> Self;

    /// Reads a message.
    fn read(message: Self::Message) -> Asked<Self::Request>;

    /// As [`Stream::receive`].
    fn receive(&mut self, kind: Kind, request: &Self::Request) -> Meaning;

    /// As [`Stream::due`].
    fn due(&mut self, snapshot: &Snapshot) -> Vec<Self::Response>;

    /// As [`Stream::standing`].
    fn standing(&self, kind: Kind) -> Standing;

    /// What a response consists of.
    fn size(response: &Self::Response) -> Size;

    /// Writes a response; `identifier` is `control_plane.identifier`.
    fn write(response: &Self::Response, identifier: &str, buffer: &mut impl BufMut);
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<R> {
    /// The type it is about, as it says it.
    pub type_url: String,
    /// It held something of the type before this stream.
    pub resumes: bool,
    /// Why it rejects a response, if it does.
    pub error: Option<String>,
    /// What it asks or answers.
    pub request: R,
}

/// What a response consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Type.
    pub kind: Kind,
    /// How many resources it carries.
    pub resources: usize,
    /// How many it tells as gone.
    pub removed: usize,
}

impl Wire for Stream {
    type Message = DiscoveryRequest;
    type Request = Request;
    type Response = Response;

    const FORM: Form = Form::StateOfTheWorld;

    fn open(_behaviour: &dyn Behaviour) -> Self {
        Self::default()
    }

    fn read(message: DiscoveryRequest) -> Asked<Request> {
        let error = message.error_detail.map(|detail| detail.message);
        Asked {
            type_url: message.type_url,
            // A client brings a version only if it held something before.
            resumes: message.response_nonce.is_empty() && !message.version_info.is_empty(),
            error: error.clone(),
            request: Request {
                names: message.resource_names,
                nonce: message.response_nonce,
                error,
            },
        }
    }

    fn receive(&mut self, kind: Kind, request: &Request) -> Meaning {
        self.receive(kind, request)
    }

    fn due(&mut self, snapshot: &Snapshot) -> Vec<Response> {
        self.due(snapshot)
    }

    fn standing(&self, kind: Kind) -> Standing {
        self.standing(kind)
    }

    fn size(response: &Response) -> Size {
        Size {
            kind: response.kind,
            resources: response.resources.len(),
            removed: 0,
        }
    }

    fn write(response: &Response, identifier: &str, buffer: &mut impl BufMut) {
        text(1, &response.version, buffer);
        for resource in &response.resources {
            buffer.put_slice(&resource.field);
        }
        text(4, response.kind.url(), buffer);
        text(5, &response.nonce, buffer);
        control_plane(6, identifier, buffer);
    }
}

impl Wire for DeltaStream {
    type Message = DeltaDiscoveryRequest;
    type Request = DeltaRequest;
    type Response = DeltaResponse;

    const FORM: Form = Form::Delta;

    fn open(behaviour: &dyn Behaviour) -> Self {
        Self::new(behaviour.delta())
    }

    fn read(message: DeltaDiscoveryRequest) -> Asked<DeltaRequest> {
        let error = message.error_detail.map(|detail| detail.message);
        Asked {
            type_url: message.type_url,
            resumes: !message.initial_resource_versions.is_empty(),
            error: error.clone(),
            request: DeltaRequest {
                subscribe: message.resource_names_subscribe,
                unsubscribe: message.resource_names_unsubscribe,
                held: message.initial_resource_versions.into_iter().collect(),
                nonce: message.response_nonce,
                error,
            },
        }
    }

    fn receive(&mut self, kind: Kind, request: &DeltaRequest) -> Meaning {
        self.receive(kind, request)
    }

    fn due(&mut self, snapshot: &Snapshot) -> Vec<DeltaResponse> {
        self.due(snapshot)
    }

    fn standing(&self, kind: Kind) -> Standing {
        self.standing(kind)
    }

    fn size(response: &DeltaResponse) -> Size {
        Size {
            kind: response.kind,
            resources: response.resources.len(),
            removed: response.removed.len(),
        }
    }

    fn write(response: &DeltaResponse, identifier: &str, buffer: &mut impl BufMut) {
        text(1, &response.version, buffer);
        for (name, resource) in &response.resources {
            let version = resource.version().to_string();
            let length = text_length(1, &version) + text_length(3, name) + resource.field.len();
            encode_key(2, WireType::LengthDelimited, buffer);
            encode_varint(length as u64, buffer);
            text(1, &version, buffer);
            buffer.put_slice(&resource.field);
            text(3, name, buffer);
        }
        text(4, response.kind.url(), buffer);
        text(5, &response.nonce, buffer);
        for name in &response.removed {
            text(6, name, buffer);
        }
        control_plane(7, identifier, buffer);
    }
}

fn text(tag: u32, value: &str, buffer: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(value.len() as u64, buffer);
    buffer.put_slice(value.as_bytes());
}

/// How many bytes [`text`] writes.
fn text_length(tag: u32, value: &str) -> usize {
    key_len(tag) + encoded_len_varint(value.len() as u64) + value.len()
}

fn control_plane(tag: u32, identifier: &str, buffer: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(text_length(1, identifier) as u64, buffer);
    text(1, identifier, buffer);
}

/// A response and who sends it.
#[derive(Clone, Debug)]
pub struct Outgoing<R> {
    /// The response.
    pub response: R,
    /// `control_plane.identifier`.
    pub identifier: Arc<str>,
}

/// Decodes the requests and encodes the responses of a form.
#[derive(Debug)]
pub struct DiscoveryCodec<W>(PhantomData<fn() -> W>);

impl<W> Default for DiscoveryCodec<W> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<W: Wire> Codec for DiscoveryCodec<W> {
    type Encode = Outgoing<W::Response>;
    type Decode = W::Message;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self::default()
    }
}

impl<W: Wire> Encoder for DiscoveryCodec<W> {
    type Item = Outgoing<W::Response>;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        W::write(&item.response, &item.identifier, buffer);
        Ok(())
    }
}

impl<W: Wire> Decoder for DiscoveryCodec<W> {
    type Item = W::Message;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        W::Message::decode(buffer)
            .map(Some)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Resource;
    use envoy_types::pb::envoy::service::discovery::v3::{
        DeltaDiscoveryResponse, DiscoveryResponse,
    };

    fn resources() -> [Resource; 2] {
        [vec![1], vec![2; 300]].map(|content| Resource::new(Kind::Runtime, content))
    }

    #[test]
    fn what_is_written_reads_as_a_discovery_response() {
        let response = Response {
            kind: Kind::Runtime,
            version: "v".into(),
            nonce: "7".into(),
            resources: resources().into(),
        };
        let mut bytes = Vec::new();
        Stream::write(&response, "control-plane-0", &mut bytes);
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

    #[test]
    fn what_is_written_reads_as_a_delta_discovery_response() {
        let [a, b] = resources();
        let versions = [&a, &b].map(|resource| resource.version().to_string());
        let response = DeltaResponse {
            kind: Kind::Runtime,
            version: "v".into(),
            nonce: "7".into(),
            resources: vec![("a".into(), a), ("b".repeat(200), b)],
            removed: vec!["c".into(), "d".into()],
        };
        let mut bytes = Vec::new();
        DeltaStream::write(&response, "control-plane-0", &mut bytes);
        let read = DeltaDiscoveryResponse::decode(bytes.as_slice()).expect("decodes");
        assert_eq!(read.system_version_info, "v");
        assert_eq!(read.nonce, "7");
        assert_eq!(read.type_url, Kind::Runtime.url());
        assert_eq!(read.removed_resources, ["c", "d"]);
        let named: Vec<_> = read.resources.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(named, ["a", "b".repeat(200).as_str()]);
        for (resource, version) in read.resources.iter().zip(versions) {
            assert_eq!(resource.version, version);
            let content = resource.resource.as_ref().expect("carries the resource");
            assert_eq!(content.type_url, Kind::Runtime.url());
        }
        let content = read.resources[1].resource.as_ref().map(|any| &any.value);
        assert_eq!(content, Some(&vec![2; 300]));
        assert_eq!(
            read.control_plane.map(|c| c.identifier).as_deref(),
            Some("control-plane-0")
        );
    }
}
