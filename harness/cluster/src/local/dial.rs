//! Connections to pods from outside of their network namespace: the pod's node dials, and hands the connection over.

use super::protocol;
use harness_kernel::fd_passing;
use std::io;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};

/// Has the node that listens at `socket` dial a pod's address, and takes the connection from it.
pub(super) async fn dial(socket: &Path, ip: &str, port: u16) -> io::Result<tokio::net::TcpStream> {
    let mut node = tokio::net::UnixStream::connect(socket).await?;
    node.write_all(&protocol::line(
        &serde_json::json!({"ip": ip, "port": port}),
    )?)
    .await?;
    let received = node
        .async_io(Interest::READABLE, || fd_passing::receive_fd(&node))
        .await?;
    match received {
        Some((_, Some(fd))) => {
            let stream = std::net::TcpStream::from(fd);
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            tokio::net::TcpStream::from_std(stream)
        }
        Some((first, None)) => {
            let mut text = vec![first];
            node.read_to_end(&mut text).await?;
            Err(io::Error::other(
                String::from_utf8_lossy(&text).trim().to_owned(),
            ))
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
