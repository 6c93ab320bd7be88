//! For tests: the frames of a client.

use super::headers::Packer;
use super::{Encoder, GOAWAY, RST_STREAM, SYN_STREAM, Sent, control, pair};
use bytes::Bytes;

/// One session of a client.
pub(crate) struct Client(Packer);

impl Client {
    pub(crate) fn new() -> Self {
        Self(Packer::new())
    }

    pub(crate) fn pack(&mut self, pairs: &[(&str, &str)]) -> Vec<u8> {
        let owned = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        self.0.pack(&owned.collect())
    }

    pub(crate) fn open(&mut self, stream: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
        let parts: [&[u8]; 3] = [&stream.to_be_bytes(), &[0; 6], &self.pack(pairs)];
        control(SYN_STREAM, &parts).to_vec()
    }

    pub(crate) fn data(stream: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
        let bytes = Bytes::copy_from_slice(bytes);
        Encoder::new()
            .encode(Sent::Data { stream, bytes, fin })
            .to_vec()
    }

    pub(crate) fn reset(stream: u32) -> Vec<u8> {
        pair(RST_STREAM, stream, 5).to_vec()
    }

    pub(crate) fn leave() -> Vec<u8> {
        pair(GOAWAY, 0, 0).to_vec()
    }
}
