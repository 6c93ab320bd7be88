//! SPDY/3.1 as a server speaks it whose client opens all streams (draft-mbelshe-httpbis-spdy-00 and Chromium's 3.1): frames
//! from bytes, and bytes from frames.
//!
//! Kubernetes' own ends keep no windows: `moby/spdystream` sends as it likes, and never says that a window has grown. Who
//! would wait for that, or send by it, would stand still after 64 KiB. What is sent is held back by not reading the
//! connection, as theirs is, so `WINDOW_UPDATE` is only read for its form.
//!
//! Invariant: no bytes make this panic, and it holds no more of them than one push and one control frame.

#[cfg(test)]
pub(crate) mod client;
mod dictionary;
mod headers;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
pub(crate) use headers::Headers;
use headers::{HeadersError, Packer, Unpacker};

/// In front of every frame: what it is or which stream, flags, and its length.
const HEAD: usize = 8;
/// Most bytes of a control frame; Kubernetes' largest ask for a stream, with less than 200.
const MOST_CONTROL: usize = 16 * 1024;
/// The version in control frames, of SPDY/3.1 too.
const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
/// The high bit of numbers is not used.
const NUMBER: u32 = 0x7fff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// The sender sends nothing more on this stream.
const FIN: u8 = 1;

/// Why a stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reset {
    Protocol = 1,
    Refused = 3,
    Cancel = 5,
    FlowControl = 7,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum End {
    Done = 0,
    Protocol = 1,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It opens a stream; `fin` when it sends nothing on it.
    Open {
        stream: u32,
        headers: Headers,
        fin: bool,
    },
    /// A part of what a frame carries; `fin` after the last of a stream.
    Data {
        stream: u32,
        bytes: Bytes,
        fin: bool,
    },
    /// It wants nothing more of a stream.
    Reset { stream: u32 },
    /// To be answered with the same number when it is odd; else it is the answer to ours.
    Ping { number: u32 },
    /// It opens no more streams.
    Leave,
}

/// What is said to a client.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The stream is taken.
    Reply { stream: u32 },
    /// `fin` when nothing more is sent on the stream.
    Data {
        stream: u32,
        bytes: Bytes,
        fin: bool,
    },
    /// The stream is not taken, or no more.
    Reset { stream: u32, reason: Reset },
    /// The answer to a client's, or with an even number one of ours.
    Ping { number: u32 },
    /// The session ends; `last` is the last stream that was looked at.
    Leave { last: u32, reason: End },
}

/// What a client says is no SPDY/3.1; nothing that follows can be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a control frame is of version {0}")]
    Version(u16),
    #[error("a frame of type {kind} is {length} bytes long")]
    Length { kind: u16, length: usize },
    #[error("stream {stream} is opened after {last}")]
    Order { stream: u32, last: u32 },
    #[error("a frame is about stream 0")]
    NoStream,
    #[error("a frame answers a stream that was not opened here")]
    Reply,
    #[error("a window grows by nothing")]
    Window,
    #[error(transparent)]
    Headers(#[from] HeadersError),
}

/// Makes frames of the bytes that a client sends.
pub(crate) struct Decoder {
    buffer: BytesMut,
    unpacker: Unpacker,
    /// The data frame in the middle of which we are.
    carried: Option<Carried>,
    last: u32,
}

struct Carried {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            unpacker: Unpacker::new(),
            carried: None,
            last: 0,
        }
    }

    /// Takes what came; all frames must be taken out before the next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The last stream that the client has opened.
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// The next frame; none until more comes. After an error there is no other.
    pub(crate) fn next(&mut self) -> Result<Option<Received>, FrameError> {
        loop {
            if let Some(carried) = &mut self.carried {
                let count = carried.left.min(self.buffer.len());
                if count == 0 && carried.left > 0 {
                    return Ok(None);
                }
                carried.left -= count;
                let done = carried.left == 0;
                let data = Received::Data {
                    stream: carried.stream,
                    bytes: self.buffer.split_to(count).freeze(),
                    fin: carried.fin && done,
                };
                if done {
                    self.carried = None;
                }
                return Ok(Some(data));
            }
            let Some(mut head) = self.buffer.get(..HEAD) else {
                return Ok(None);
            };
            let (first, second) = (head.get_u32(), head.get_u32());
            let flags = (second >> 24) as u8;
            let length = (second & 0x00ff_ffff) as usize;
            let (version, kind) = ((first >> 16) as u16, first as u16);
            if version & CONTROL == 0 {
                let stream = some_stream(first)?;
                self.buffer.advance(HEAD);
                self.carried = Some(Carried {
                    stream,
                    left: length,
                    fin: flags & FIN != 0,
                });
                continue;
            }
            if version & !CONTROL != VERSION {
                return Err(FrameError::Version(version & !CONTROL));
            }
            if length > MOST_CONTROL {
                return Err(FrameError::Length { kind, length });
            }
            if self.buffer.len() < HEAD + length {
                return Ok(None);
            }
            self.buffer.advance(HEAD);
            let body = self.buffer.split_to(length).freeze();
            if let Some(frame) = self.control(kind, flags, body)? {
                return Ok(Some(frame));
            }
        }
    }

    /// None for a frame that changes nothing.
    fn control(
        &mut self,
        kind: u16,
        flags: u8,
        mut body: Bytes,
    ) -> Result<Option<Received>, FrameError> {
        let length = body.len();
        let fits = match kind {
            SYN_STREAM => length > 10,
            HEADERS => length > 4,
            RST_STREAM | GOAWAY | WINDOW_UPDATE => length == 8,
            PING => length == 4,
            SETTINGS => length >= 4,
            // Types that are not known are to be passed over.
            _ => true,
        };
        if !fits {
            return Err(FrameError::Length { kind, length });
        }
        Ok(match kind {
            SYN_STREAM => {
                let stream = some_stream(body.get_u32())?;
                if stream % 2 == 0 || stream <= self.last {
                    let last = self.last;
                    return Err(FrameError::Order { stream, last });
                }
                self.last = stream;
                // The stream it belongs to, its priority and a slot for certificates: for servers that send pages.
                body.advance(6);
                Some(Received::Open {
                    stream,
                    headers: self.unpacker.unpack(&body)?,
                    fin: flags & FIN != 0,
                })
            }
            SYN_REPLY => return Err(FrameError::Reply),
            RST_STREAM => Some(Received::Reset {
                stream: some_stream(body.get_u32())?,
            }),
            HEADERS => {
                let stream = some_stream(body.get_u32())?;
                // No header means anything by now, but each changes how the next is packed.
                self.unpacker.unpack(&body)?;
                (flags & FIN != 0).then_some(Received::Data {
                    stream,
                    bytes: Bytes::new(),
                    fin: true,
                })
            }
            PING => Some(Received::Ping {
                number: body.get_u32(),
            }),
            GOAWAY => Some(Received::Leave),
            WINDOW_UPDATE => {
                // Of the whole session when the stream is 0.
                body.advance(4);
                if body.get_u32() & NUMBER == 0 {
                    return Err(FrameError::Window);
                }
                None
            }
            SETTINGS => {
                let count = body.get_u32() as usize;
                if count.checked_mul(8) != Some(body.len()) {
                    return Err(FrameError::Length { kind, length });
                }
                None
            }
            _ => None,
        })
    }
}

fn some_stream(number: u32) -> Result<u32, FrameError> {
    match number & NUMBER {
        0 => Err(FrameError::NoStream),
        stream => Ok(stream),
    }
}

/// Makes bytes of the frames that a client is sent.
pub(crate) struct Encoder(Packer);

impl Encoder {
    pub(crate) fn new() -> Self {
        Self(Packer::new())
    }

    /// The bytes of a whole frame. What is carried must be less than 16 MiB.
    pub(crate) fn encode(&mut self, frame: Sent) -> Bytes {
        match frame {
            Sent::Data { stream, bytes, fin } => {
                let mut framed = BytesMut::with_capacity(HEAD + bytes.len());
                framed.put_u32(stream);
                framed.put_u32(u32::from(u8::from(fin)) << 24 | bytes.len() as u32);
                framed.put(bytes);
                framed.freeze()
            }
            Sent::Reply { stream } => {
                let headers = self.0.pack(&Headers::new());
                control(SYN_REPLY, &[&stream.to_be_bytes(), &headers])
            }
            Sent::Reset { stream, reason } => pair(RST_STREAM, stream, reason as u32),
            Sent::Ping { number } => control(PING, &[&number.to_be_bytes()]),
            Sent::Leave { last, reason } => pair(GOAWAY, last, reason as u32),
        }
    }
}

fn pair(kind: u16, first: u32, second: u32) -> Bytes {
    control(kind, &[&first.to_be_bytes(), &second.to_be_bytes()])
}

fn control(kind: u16, parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut framed = BytesMut::with_capacity(HEAD + length);
    framed.put_u16(CONTROL | VERSION);
    framed.put_u16(kind);
    framed.put_u32(length as u32);
    for part in parts {
        framed.put_slice(part);
    }
    framed.freeze()
}

#[cfg(test)]
mod tests;
