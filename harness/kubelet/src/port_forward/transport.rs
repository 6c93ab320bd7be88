//! What carries the bytes of a session: messages of a WebSocket, or the connection itself.

use crate::channels::{CHUNK, close};
use axum::extract::ws::{Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Where the client's bytes come from.
pub(super) enum Incoming {
    Messages(SplitStream<WebSocket>),
    Bytes(Box<dyn AsyncRead + Send + Unpin>),
}

/// Where ours go.
pub(super) enum Outlet {
    Messages(SplitSink<WebSocket, Message>),
    Bytes(Box<dyn AsyncWrite + Send + Unpin>),
}

/// The client has left.
#[derive(Debug)]
pub(super) struct Gone;

pub(super) fn of_messages(socket: WebSocket) -> (Outlet, Incoming) {
    let (sink, stream) = socket.split();
    (Outlet::Messages(sink), Incoming::Messages(stream))
}

pub(super) fn of_bytes(
    connection: impl AsyncRead + AsyncWrite + Send + 'static,
) -> (Outlet, Incoming) {
    let (read, write) = tokio::io::split(connection);
    (
        Outlet::Bytes(Box::new(write)),
        Incoming::Bytes(Box::new(read)),
    )
}

impl Incoming {
    /// The next bytes; none when the client sends no more. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Messages(stream) => loop {
                match stream.next().await?.ok()? {
                    Message::Binary(bytes) => return Some(bytes),
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Text(_) | Message::Close(_) => return None,
                }
            },
            Self::Bytes(read) => {
                let mut bytes = BytesMut::with_capacity(CHUNK);
                let count = read.read_buf(&mut bytes).await.ok()?;
                (count > 0).then(|| bytes.freeze())
            }
        }
    }
}

impl Outlet {
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        match self {
            Self::Messages(sink) => sink.send(Message::Binary(bytes)).await.map_err(|_| Gone),
            Self::Bytes(write) => {
                write.write_all(&bytes).await.map_err(|_| Gone)?;
                // What TLS holds back nobody would send: the next frame may never come.
                write.flush().await.map_err(|_| Gone)
            }
        }
    }

    /// Nothing is sent any more. A client that has left does not want to know.
    pub(super) async fn close(&mut self) {
        match self {
            Self::Messages(sink) => drop(sink.send(close()).await),
            Self::Bytes(write) => drop(write.shutdown().await),
        }
    }
}
