//! A client and a pod in memory: what goes through, what is refused, and that nothing of a session is left.

use super::super::connection::{FromPod, Names, ToPod};
use super::super::transport;
use super::*;
use crate::spdy::client::Client;
use futures::future::BoxFuture;
use std::io;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};

/// Nobody listens there.
const NOBODY: u16 = 9;

/// What is at the pod's end of each connection, in their order.
struct FakePod {
    /// How much a connection holds.
    room: usize,
    ends: Mutex<Vec<DuplexStream>>,
}

impl Pod for FakePod {
    fn connect(self: Arc<Self>, port: u16) -> BoxFuture<'static, io::Result<(FromPod, ToPod)>> {
        Box::pin(async move {
            if port == NOBODY {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(self.room);
            self.ends.lock().unwrap().push(theirs);
            let (read, write) = tokio::io::split(ours);
            Ok((Box::new(read) as FromPod, Box::new(write) as ToPod))
        })
    }

    fn names(&self) -> Names<'_> {
        Names {
            namespace: "shop",
            name: "cart",
            uid: "u-1",
        }
    }
}

/// A session, and the client's end of it.
struct Stage {
    pod: Arc<FakePod>,
    packer: Client,
    read: ReadHalf<DuplexStream>,
    write: WriteHalf<DuplexStream>,
    serving: tokio::task::JoinHandle<()>,
}

/// A frame: its first four bytes as a number, its flags, and the rest.
type Seen = (u32, u8, Vec<u8>);

const REPLY: u32 = 0x8003_0002;
const RESET: u32 = 0x8003_0003;
const PING: u32 = 0x8003_0006;
const GOAWAY: u32 = 0x8003_0007;

impl Stage {
    fn new(room: usize) -> Self {
        let (client, server) = tokio::io::duplex(64 << 10);
        let pod = Arc::new(FakePod {
            room,
            ends: Mutex::default(),
        });
        let (outlet, incoming) = transport::of_bytes(server);
        let serving = tokio::spawn(serve(incoming, outlet, Arc::clone(&pod) as Arc<dyn Pod>));
        let (read, write) = tokio::io::split(client);
        Self {
            pod,
            packer: Client::new(),
            read,
            write,
            serving,
        }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
    }

    async fn open(&mut self, stream: u32, kind: &str, port: u16, request: &str) {
        let port = port.to_string();
        let headers = [
            ("streamtype", kind),
            ("port", &port),
            ("requestid", request),
        ];
        let frame = self.packer.open(stream, &headers);
        self.say(&frame).await;
    }

    /// A pair of streams, and the replies to them.
    async fn pair(&mut self, errors: u32, port: u16) -> u32 {
        for (stream, kind) in [(errors, "error"), (errors + 2, "data")] {
            self.open(stream, kind, port, &errors.to_string()).await;
            let (first, _, body) = self.hear().await;
            assert_eq!((first, &body[..4]), (REPLY, &stream.to_be_bytes()[..]));
        }
        errors + 2
    }

    async fn hear(&mut self) -> Seen {
        let first = self.read.read_u32().await.unwrap();
        let second = self.read.read_u32().await.unwrap();
        let mut body = vec![0; (second & 0x00ff_ffff) as usize];
        self.read.read_exact(&mut body).await.unwrap();
        (first, (second >> 24) as u8, body)
    }

    /// The pod's end of its only connection, once there is one.
    async fn end(&self) -> DuplexStream {
        loop {
            if let Some(end) = self.pod.ends.lock().unwrap().pop() {
                return end;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn both(first: u32, second: u32) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
}

#[tokio::test]
async fn bytes_go_both_ways_until_each_has_ended() {
    let mut stage = Stage::new(1024);
    let data = stage.pair(1, 80).await;
    stage.say(&Client::data(data, b"asked", true)).await;
    let mut end = stage.end().await;
    let mut asked = String::new();
    end.read_to_string(&mut asked).await.unwrap();
    assert_eq!(asked, "asked");
    end.write_all(b"answer").await.unwrap();
    drop(end);
    assert_eq!(stage.hear().await, (data, 0, b"answer".to_vec()));
    assert_eq!(stage.hear().await, (data, 1, Vec::new()));
    assert_eq!(stage.hear().await, (1, 1, Vec::new()));
    // Done, but for the client's word that it leaves.
    stage.say(&Client::leave()).await;
    assert_eq!(
        stage.hear().await,
        (GOAWAY, 0, both(data, End::Done as u32))
    );
    stage.serving.await.unwrap();
}

#[tokio::test]
async fn why_there_is_no_connection_is_told() {
    let mut stage = Stage::new(1);
    let data = stage.pair(1, NOBODY).await;
    let (stream, _, said) = stage.hear().await;
    let said = String::from_utf8(said).unwrap();
    let expected = "error forwarding port 9 to pod cart, uid u-1: failed to connect to localhost:9 inside namespace \
                    \"shop/cart\", IPv4: dial tcp4 127.0.0.1:9: connect: connection refused";
    assert_eq!((stream, said.as_str()), (1, expected));
    assert_eq!(
        stage.hear().await,
        (RESET, 0, both(data, Reset::Cancel as u32))
    );
    assert_eq!(stage.hear().await, (1, 1, Vec::new()));
}

#[tokio::test]
async fn a_connection_that_is_reset_ends_and_the_others_go_on() {
    let mut stage = Stage::new(1024);
    let first = stage.pair(1, 80).await;
    let mut first_end = stage.end().await;
    let second = stage.pair(5, 80).await;
    let mut second_end = stage.end().await;
    stage.say(&Client::reset(first)).await;
    assert_eq!(first_end.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(stage.hear().await, (1, 1, Vec::new()));
    second_end.write_all(b"here").await.unwrap();
    assert_eq!(stage.hear().await, (second, 0, b"here".to_vec()));
}

#[tokio::test]
async fn who_speaks_no_spdy_is_told_and_loses_its_connections() {
    let mut stage = Stage::new(1024);
    let data = stage.pair(1, 80).await;
    let mut end = stage.end().await;
    stage.say(&[0x80; 16]).await;
    let leave = both(data, End::Protocol as u32);
    assert_eq!(stage.hear().await, (GOAWAY, 0, leave));
    assert_eq!(end.read(&mut [0]).await.unwrap(), 0);
    stage.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_while_a_pod_takes_nothing() {
    let mut stage = Stage::new(1);
    let data = stage.pair(1, 80).await;
    let mut end = stage.end().await;
    let much = vec![0; 1 << 20];
    let frame = Client::data(data, &much, false);
    let full = tokio::time::timeout(PROBING / 2, stage.write.write_all(&frame)).await;
    assert!(full.is_err(), "all was taken");
    assert_eq!(stage.hear().await.0, PING);
    drop((stage.read, stage.write));
    stage.serving.await.unwrap();
    // What was on its way, and the end.
    end.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn streams_beyond_what_is_held_are_refused() {
    let mut stage = Stage::new(1);
    let last = 2 * MOST_STREAMS as u32 + 1;
    for stream in (1..=last).step_by(2) {
        stage.open(stream, "error", 80, &stream.to_string()).await;
        let expected = if stream == last { RESET } else { REPLY };
        assert_eq!(stage.hear().await.0, expected, "{stream}");
    }
    // One that is gone makes room.
    stage.say(&Client::reset(1)).await;
    stage.open(last + 2, "error", 80, "more").await;
    assert_eq!(stage.hear().await.0, REPLY);
}

#[tokio::test]
async fn a_stream_whose_other_does_not_come_is_not_held_for_ever() {
    let mut stage = Stage::new(1);
    stage.open(1, "data", 80, "a").await;
    assert_eq!(stage.hear().await.0, REPLY);
    // The same again is refused, for nothing says which was meant.
    stage.open(3, "data", 80, "a").await;
    assert_eq!(
        stage.hear().await,
        (RESET, 0, both(3, Reset::Protocol as u32))
    );
    for _ in 0..=WAITING {
        stage.say(&Client::data(1, b"x", false)).await;
    }
    assert_eq!(
        stage.hear().await,
        (RESET, 0, both(1, Reset::FlowControl as u32))
    );
    // Its request is free.
    stage.open(5, "data", 80, "a").await;
    assert_eq!(stage.hear().await.0, REPLY);
}

fn read(stream: u32, pairs: &[(&str, &str)]) -> Result<Purpose, String> {
    let owned = pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    purpose(stream, &owned.collect())
}

#[test]
fn a_stream_says_what_it_is_for() {
    let errors = read(
        1,
        &[("port", "80"), ("streamtype", "error"), ("requestid", "7")],
    );
    let expected = Purpose {
        port: 80,
        errors: true,
        request: "7".to_owned(),
    };
    assert_eq!(errors, Ok(expected));
    // Old clients number no requests.
    let pair = [(5, "error"), (7, "data")].map(|(stream, kind)| {
        let read = read(stream, &[("port", "80"), ("streamtype", kind)]);
        read.unwrap().request
    });
    assert_eq!(pair, ["5", "5"]);
}

#[test]
fn a_stream_for_nothing_is_refused() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("streamtype", "data")], "\"port\" header is required"),
        (&[("port", "80")], "\"streamtype\" header is required"),
        (
            &[("port", "0"), ("streamtype", "data")],
            "unable to parse \"0\" as a port",
        ),
        (
            &[("port", "65536"), ("streamtype", "data")],
            "unable to parse \"65536\" as a port",
        ),
        (
            &[("port", "80"), ("streamtype", "resize")],
            "invalid stream type \"resize\"",
        ),
    ];
    for (pairs, said) in cases {
        assert_eq!(read(1, pairs), Err(said.to_owned()));
    }
}
