//! Header blocks: names and values, compressed over the whole session, so that a block that cannot be read ends it.
//!
//! Invariant: however well a block is packed, no more than [`MOST_BYTES`] come out of it.

use super::dictionary;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::collections::BTreeMap;

/// Most that a block may be when it is unpacked; those of Kubernetes are below 200 bytes.
const MOST_BYTES: usize = 16 * 1024;

/// By name, which has no capital letters. Several values of one name have NUL between them.
pub(crate) type Headers = BTreeMap<String, String>;

/// A block cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadersError {
    #[error("the headers are not compressed as SPDY/3 says")]
    Compression,
    #[error("the headers are more than {MOST_BYTES} bytes")]
    TooLong,
    #[error("the headers are no list of different names with values")]
    Form,
}

/// Unpacks the blocks of one session, in their order.
pub(super) struct Unpacker(Decompress);

impl Unpacker {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(super) fn unpack(&mut self, mut block: &[u8]) -> Result<Headers, HeadersError> {
        let mut text = Vec::with_capacity(MOST_BYTES + 1);
        loop {
            let (before, had) = (self.0.total_in(), text.len());
            let unpacked = self
                .0
                .decompress_vec(block, &mut text, FlushDecompress::Sync);
            let taken = usize::try_from(self.0.total_in() - before);
            let taken = taken.map_err(|_| HeadersError::Compression)?;
            block = block.get(taken..).ok_or(HeadersError::Compression)?;
            match unpacked {
                // A session's compression never ends.
                Ok(Status::StreamEnd) => return Err(HeadersError::Compression),
                Ok(Status::Ok | Status::BufError) => {}
                Err(error) if error.needs_dictionary() == Some(dictionary::ID) => {
                    let set = self.0.set_dictionary(&dictionary::bytes());
                    set.map_err(|_| HeadersError::Compression)?;
                    continue;
                }
                Err(_) => return Err(HeadersError::Compression),
            }
            if text.len() > MOST_BYTES {
                return Err(HeadersError::TooLong);
            }
            if block.is_empty() {
                return read(&text).ok_or(HeadersError::Form);
            }
            if taken == 0 && text.len() == had {
                return Err(HeadersError::Compression);
            }
        }
    }
}

/// None when it is not exactly a list of names and values.
fn read(mut text: &[u8]) -> Option<Headers> {
    let mut headers = Headers::new();
    for _ in 0..number(&mut text)? {
        let name = string(&mut text)?;
        let value = string(&mut text)?;
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        if headers.insert(name, value).is_some() {
            return None;
        }
    }
    text.is_empty().then_some(headers)
}

fn number(text: &mut &[u8]) -> Option<u32> {
    let (number, rest) = text.split_first_chunk()?;
    *text = rest;
    Some(u32::from_be_bytes(*number))
}

fn string(text: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(text)?).ok()?;
    let (string, rest) = text.split_at_checked(length)?;
    *text = rest;
    String::from_utf8(string.to_vec()).ok()
}

/// Packs the blocks of one session, in their order.
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> Self {
        let mut compress = Compress::new(Compression::fast(), true);
        compress
            .set_dictionary(&dictionary::bytes())
            .expect("nothing was compressed yet");
        Self(compress)
    }

    pub(super) fn pack(&mut self, headers: &Headers) -> Vec<u8> {
        let mut text = (headers.len() as u32).to_be_bytes().to_vec();
        for string in headers.iter().flat_map(|(name, value)| [name, value]) {
            text.extend_from_slice(&(string.len() as u32).to_be_bytes());
            text.extend_from_slice(string.as_bytes());
        }
        let mut block = Vec::with_capacity(text.len() + 64);
        let before = self.0.total_in();
        loop {
            let taken = (self.0.total_in() - before) as usize;
            self.0
                .compress_vec(&text[taken..], &mut block, FlushCompress::Sync)
                .expect("compressing cannot fail in the middle of a stream");
            // Room that is left says that everything is out.
            if block.len() < block.capacity() {
                return block;
            }
            block.reserve(block.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let owned = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        owned.collect()
    }

    /// As a client packs what a [`Packer`] would not.
    fn packed(text: &[u8]) -> Vec<u8> {
        let mut compress = Compress::new(Compression::best(), true);
        compress.set_dictionary(&dictionary::bytes()).unwrap();
        let mut block = Vec::with_capacity(text.len() + 1024);
        compress
            .compress_vec(text, &mut block, FlushCompress::Sync)
            .unwrap();
        block
    }

    #[test]
    fn the_dictionary_is_that_of_the_specification() {
        let mut compress = Compress::new(Compression::fast(), true);
        let bytes = dictionary::bytes();
        assert_eq!(bytes.len(), 1423);
        assert_eq!(compress.set_dictionary(&bytes).unwrap(), dictionary::ID);
    }

    #[test]
    fn blocks_of_one_session_are_unpacked_in_their_order() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        let blocks = [
            headers(&[]),
            headers(&[("port", "80"), ("streamtype", "error")]),
            headers(&[("port", "80"), ("streamtype", "data"), ("empty", "")]),
            headers(&[("long", &"x".repeat(MOST_BYTES - 64))]),
        ];
        for block in blocks {
            assert_eq!(unpacker.unpack(&packer.pack(&block)), Ok(block));
        }
    }

    #[test]
    fn a_small_block_that_grows_is_refused() {
        let mut text = 1_u32.to_be_bytes().to_vec();
        text.extend(vec![b'a'; 1 << 20]);
        let block = packed(&text);
        assert!(block.len() < 4096, "{}", block.len());
        assert_eq!(Unpacker::new().unpack(&block), Err(HeadersError::TooLong));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let texts: [&[u8]; 8] = [
            b"",
            b"\0\0\0",
            b"\0\0\0\x01",
            b"\0\0\0\x01\0\0\0\0\0\0\0\0",
            b"\0\0\0\x01\0\0\0\x01A\0\0\0\0",
            b"\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x01a\0\0\0\0",
            b"\0\0\0\x01\0\0\0\x01\xff\0\0\0\0",
            b"\0\0\0\x01\xff\xff\xff\xffa",
        ];
        for text in texts {
            let read = Unpacker::new().unpack(&packed(text));
            assert_eq!(read, Err(HeadersError::Form), "{text:?}");
        }
        assert_eq!(
            Unpacker::new().unpack(&packed(b"\0\0\0\0 ")),
            Err(HeadersError::Form),
            "something follows"
        );
    }

    #[test]
    fn another_dictionary_is_refused() {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(b"another").unwrap();
        let mut block = Vec::with_capacity(64);
        compress
            .compress_vec(&[0; 4], &mut block, FlushCompress::Sync)
            .unwrap();
        assert_eq!(
            Unpacker::new().unpack(&block),
            Err(HeadersError::Compression)
        );
    }
}
