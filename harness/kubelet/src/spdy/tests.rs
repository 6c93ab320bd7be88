//! Frames in every piece, and bytes that are none.

use super::client::Client;
use super::*;

fn with_flags(mut frame: Vec<u8>, flags: u8) -> Vec<u8> {
    frame[4] = flags;
    frame
}

/// A session with a frame of every type.
fn session() -> Vec<u8> {
    let mut client = Client::new();
    let mut more = client.pack(&[]);
    more.splice(..0, 1_u32.to_be_bytes());
    let first = client.open(1, &[("streamtype", "error"), ("port", "80")]);
    [
        pair(99, 1, 2).to_vec(),
        control(SETTINGS, &[&1_u32.to_be_bytes(), &[0; 8]]).to_vec(),
        with_flags(control(HEADERS, &[&more]).to_vec(), 0),
        with_flags(first, FIN),
        client.open(3, &[("streamtype", "data"), ("port", "80")]),
        Client::data(3, b"hello", false),
        pair(WINDOW_UPDATE, 0, 65536).to_vec(),
        control(PING, &[&7_u32.to_be_bytes()]).to_vec(),
        Client::data(3, b"", true),
        pair(RST_STREAM, 3, 5).to_vec(),
        pair(GOAWAY, 0, 0).to_vec(),
    ]
    .concat()
}

/// What comes of bytes that come in pieces of this size; parts of one frame are put together.
fn decode(bytes: &[u8], size: usize) -> (Vec<Received>, Option<FrameError>) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    for piece in bytes.chunks(size) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(frame)) => add(&mut frames, frame),
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(decoder.buffer.len() < HEAD + MOST_CONTROL);
    }
    (frames, None)
}

fn add(frames: &mut Vec<Received>, frame: Received) {
    if let (
        Some(Received::Data {
            stream,
            bytes,
            fin: false,
        }),
        Received::Data {
            stream: same,
            bytes: more,
            fin: false,
        },
    ) = (frames.last_mut(), &frame)
        && stream == same
    {
        *bytes = [&bytes[..], more].concat().into();
        return;
    }
    frames.push(frame);
}

#[test]
fn a_session_is_read_in_pieces_of_any_size() {
    let bytes = session();
    let (whole, error) = decode(&bytes, bytes.len());
    assert_eq!(error, None);
    let kinds: Vec<_> = whole
        .iter()
        .map(|frame| match frame {
            Received::Open { stream, fin, .. } => format!("open {stream} {fin}"),
            Received::Data { stream, bytes, fin } => format!("data {stream} {} {fin}", bytes.len()),
            Received::Reset { stream } => format!("reset {stream}"),
            Received::Ping { number } => format!("ping {number}"),
            Received::Leave => "leave".to_owned(),
        })
        .collect();
    let expected = [
        "open 1 true",
        "open 3 false",
        "data 3 5 false",
        "ping 7",
        "data 3 0 true",
        "reset 3",
        "leave",
    ];
    assert_eq!(kinds, expected);
    let Received::Open { headers, .. } = &whole[1] else {
        panic!("{whole:?}")
    };
    assert_eq!(headers["streamtype"], "data");
    for size in 1..bytes.len() {
        assert_eq!(
            decode(&bytes, size),
            (decode(&bytes, bytes.len()).0, None),
            "{size}"
        );
    }
}

#[test]
fn a_frame_of_any_length_is_passed_on_as_it_comes() {
    let mut decoder = Decoder::new();
    decoder.push(&[0, 0, 0, 5, FIN, 0xff, 0xff, 0xff]);
    assert_eq!(decoder.next(), Ok(None));
    let mut left = 0x00ff_ffff;
    while left > 0 {
        let count = left.min(30_000);
        left -= count;
        decoder.push(&vec![1; count]);
        let Ok(Some(Received::Data { bytes, fin, .. })) = decoder.next() else {
            panic!("{left} bytes left")
        };
        assert_eq!((bytes.len(), fin), (count, left == 0));
        assert_eq!(decoder.next(), Ok(None));
    }
}

#[test]
fn what_is_no_session_is_named() {
    let mut client = Client::new();
    let (third, first) = (client.open(3, &[]), client.open(1, &[]));
    let order = FrameError::Order { stream: 1, last: 3 };
    let length = |kind, length| FrameError::Length { kind, length };
    let cases = [
        ([&third[..], &first].concat(), order),
        (
            Client::new().open(2, &[]),
            FrameError::Order { stream: 2, last: 0 },
        ),
        (Client::data(0, b"x", false), FrameError::NoStream),
        (pair(RST_STREAM, 0, 1).to_vec(), FrameError::NoStream),
        (vec![0x80, 2, 0, 6, 0, 0, 0, 4], FrameError::Version(2)),
        (
            vec![0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff],
            length(SYN_STREAM, 0x00ff_ffff),
        ),
        (pair(PING, 1, 1).to_vec(), length(PING, 8)),
        (
            control(SYN_STREAM, &[&[0; 10]]).to_vec(),
            length(SYN_STREAM, 10),
        ),
        (
            control(SETTINGS, &[&[0xff; 4], &[0; 8]]).to_vec(),
            length(SETTINGS, 12),
        ),
        (pair(SYN_REPLY, 1, 0).to_vec(), FrameError::Reply),
        (pair(WINDOW_UPDATE, 1, 0).to_vec(), FrameError::Window),
        (
            control(SYN_STREAM, &[&1_u32.to_be_bytes(), &[0; 6], b"not zlib"]).to_vec(),
            FrameError::Headers(HeadersError::Compression),
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(&bytes, 1).1, Some(expected), "{bytes:x?}");
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn broken_sessions_break_nothing_else() {
    let valid = session();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..30_000 {
        let mut bytes = valid.clone();
        for _ in 0..=dice.below(4) {
            let place = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[place] = dice.below(256) as u8,
                1 => bytes[place] ^= 1 << dice.below(8),
                2 => drop(bytes.drain(place..(place + dice.below(20)).min(bytes.len()))),
                _ => bytes.insert(place, dice.below(256) as u8),
            }
        }
        let size = 1 + dice.below(bytes.len());
        match decode(&bytes, size).1 {
            Some(_) => refused += 1,
            None => read += 1,
        }
    }
    // Both, or the test would look at one kind of bytes only.
    assert!(refused > 1000 && read > 1000, "{refused} and {read}");
}

#[test]
fn noise_breaks_nothing() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..5_000 {
        let mut bytes: Vec<u8> = (0..dice.below(300))
            .map(|_| dice.below(256) as u8)
            .collect();
        // Or nearly all would end at the version.
        if dice.below(2) == 0 && bytes.len() > HEAD {
            bytes[..4].copy_from_slice(&[0x80, 3, 0, dice.below(11) as u8]);
            bytes[4..7].fill(0);
        }
        decode(&bytes, 1 + dice.below(64));
    }
}

#[test]
fn frames_are_written_as_a_client_reads_them() {
    let mut encoder = Encoder::new();
    let reset = Sent::Reset {
        stream: 5,
        reason: Reset::Refused,
    };
    assert_eq!(
        encoder.encode(reset)[..],
        [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 3]
    );
    let leave = Sent::Leave {
        last: 5,
        reason: End::Protocol,
    };
    assert_eq!(
        encoder.encode(leave)[..],
        [0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 1]
    );
    assert_eq!(
        encoder.encode(Sent::Ping { number: 2 })[..],
        [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2]
    );
    assert_eq!(Client::data(1, b"a", true), [0, 0, 0, 1, 1, 0, 0, 1, b'a']);
    let mut unpacker = Unpacker::new();
    for stream in [1_u32, 3] {
        let reply = encoder.encode(Sent::Reply { stream });
        assert_eq!(reply[..4], [0x80, 3, 0, 2]);
        assert_eq!(reply[4..8], ((reply.len() - HEAD) as u32).to_be_bytes());
        assert_eq!(reply[8..12], stream.to_be_bytes());
        assert_eq!(unpacker.unpack(&reply[12..]), Ok(Headers::new()));
    }
}
