//! One connection of a session to a port of the pod: bytes both ways, and the reason why there are none.

use crate::channels::CHUNK;
use crate::spdy::{Reset, Sent};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

/// What a session needs of a pod.
pub(super) trait Pod: Send + Sync + 'static {
    /// Connects to a port: what comes from there, and what goes there.
    fn connect(self: Arc<Self>, port: u16) -> BoxFuture<'static, io::Result<(FromPod, ToPod)>>;

    /// For people.
    fn names(&self) -> Names<'_>;
}

pub(super) type FromPod = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type ToPod = Box<dyn AsyncWrite + Send + Unpin>;

/// How a pod is called.
pub(super) struct Names<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
}

/// A connection to a port, once both streams are there.
pub(super) struct Connection {
    pub(super) pod: Arc<dyn Pod>,
    pub(super) data: DataStream,
    /// The stream for errors.
    pub(super) errors: u32,
    pub(super) frames: mpsc::Sender<Sent>,
}

/// What a client sends on its stream for data.
pub(super) struct DataStream {
    pub(super) stream: u32,
    pub(super) port: u16,
    /// Ends with what the client sends.
    pub(super) bytes: mpsc::Receiver<Bytes>,
    /// Ends when the client wants no more of the stream.
    pub(super) held: oneshot::Receiver<()>,
}

/// Why a connection to a port carries nothing more.
#[derive(Debug)]
enum Failed {
    Dial(io::Error),
    Read(io::Error),
}

impl Connection {
    /// Carries bytes until the pod has no more to say or the client wants no more; the two streams then.
    pub(super) async fn serve(self) -> (u32, u32) {
        let (pod, errors, frames) = (self.pod, self.errors, self.frames);
        let DataStream {
            stream,
            port,
            bytes,
            held,
        } = self.data;
        let carried = tokio::select! {
            carried = carry(Arc::clone(&pod), port, stream, bytes, &frames) => Some(carried),
            _ = held => None,
        };
        let text = |bytes: Bytes, stream, fin| Sent::Data { stream, bytes, fin };
        let last = match carried {
            Some(Ok(())) => vec![text(Bytes::new(), stream, true)],
            Some(Err(failed)) => {
                let said = failed.in_words(&pod.names(), port);
                let reason = Reset::Cancel;
                vec![
                    text(said.into(), errors, false),
                    Sent::Reset { stream, reason },
                ]
            }
            None => Vec::new(),
        };
        // A client waits for the end of the errors even when it has reset the other stream.
        for frame in last.into_iter().chain([text(Bytes::new(), errors, true)]) {
            // The client may have left; then nobody wants to know.
            let _ = frames.send(frame).await;
        }
        (stream, errors)
    }
}

async fn carry(
    pod: Arc<dyn Pod>,
    port: u16,
    stream: u32,
    incoming: mpsc::Receiver<Bytes>,
    frames: &mpsc::Sender<Sent>,
) -> Result<(), Failed> {
    let (from_pod, to_pod) = pod.connect(port).await.map_err(Failed::Dial)?;
    tokio::select! {
        read = out_of_pod(from_pod, frames, |bytes| Sent::Data { stream, bytes, fin: false }) => read.map_err(Failed::Read),
        never = into_pod(to_pod, incoming) => match never {},
    }
}

/// Hands on what comes from a pod, each chunk as `told` says it, until nothing more comes or nobody wants it.
pub(super) async fn out_of_pod<T>(
    mut from_pod: impl AsyncRead + Unpin,
    to: &mpsc::Sender<T>,
    told: impl Fn(Bytes) -> T,
) -> io::Result<()> {
    loop {
        let mut bytes = BytesMut::with_capacity(CHUNK);
        if from_pod.read_buf(&mut bytes).await? == 0 || to.send(told(bytes.freeze())).await.is_err()
        {
            return Ok(());
        }
    }
}

/// Never returns: that the client has no more to say leaves the pod its answer, and what becomes of a pod that takes no more
/// is seen where it is read.
pub(super) async fn into_pod(
    mut to_pod: impl AsyncWrite + Unpin,
    mut incoming: mpsc::Receiver<Bytes>,
) -> Infallible {
    while let Some(bytes) = incoming.recv().await {
        if to_pod.write_all(&bytes).await.is_err() {
            break;
        }
    }
    drop(incoming);
    // Fails where the pod has gone already.
    let _ = to_pod.shutdown().await;
    std::future::pending().await
}

impl Failed {
    /// As Kubernetes' kubelet and containerd say it.
    fn in_words(&self, names: &Names<'_>, port: u16) -> String {
        let Names {
            namespace,
            name,
            uid,
        } = names;
        let why = match self {
            Self::Dial(error) => {
                let error = reason(error);
                format!(
                    "failed to connect to localhost:{port} inside namespace \"{namespace}/{name}\", \
                     IPv4: dial tcp4 127.0.0.1:{port}: connect: {error}"
                )
            }
            Self::Read(error) => format!("read tcp4 127.0.0.1:{port}: {}", reason(error)),
        };
        format!("error forwarding port {port} to pod {name}, uid {uid}: {why}")
    }
}

/// Without the number that Rust adds, where people look for the words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        _ => error.to_string(),
    }
}
