//! A connection that keeps the error by which it ended: HTTP tells it only in part.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The connection.
pub(super) struct Noting {
    stream: TlsStream<TcpStream>,
    noted: Noted,
}

/// The error by which reading ended.
#[derive(Clone, Default)]
pub(super) struct Noted(Arc<Mutex<Option<io::Error>>>);

impl Noted {
    /// Gives it away.
    pub(super) fn take(&self) -> Option<io::Error> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.take()
    }
}

impl Noting {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> (Self, Noted) {
        let noted = Noted::default();
        let own = noted.clone();
        (Self { stream, noted: own }, noted)
    }
}

impl AsyncRead for Noting {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let read = ready!(Pin::new(&mut own.stream).poll_read(cx, buf));
        Poll::Ready(read.map_err(|error| {
            let kind = error.kind();
            let mut held = own.noted.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.get_or_insert(error);
            kind.into()
        }))
    }
}

/// A write that fails says no more than that the other end has gone. Why stands in what that sent before, and is read; so
/// nobody is told of the write.
impl AsyncWrite for Noting {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.get_mut().stream).poll_write(cx, buf));
        Poll::Ready(Ok(written.unwrap_or(buf.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = ready!(Pin::new(&mut self.get_mut().stream).poll_flush(cx));
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
