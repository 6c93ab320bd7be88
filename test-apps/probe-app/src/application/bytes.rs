//! The port for bytes: a question comes, and a line goes back that tells who got it.

use crate::connection::Told;
use probe_api::request::{PeerView, Protocol};
use probe_api::state::Identity;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a caller says to be answered.
pub(crate) const QUESTION: &[u8] = b"who are you?\n";

/// What a caller is told who says something else, for example a `ClientHello`, before the connection ends.
const NOT_UNDERSTOOD: &[u8] = b"not understood\n";

/// Answers every connection, for ever.
///
/// # Errors
///
/// When no connection can be taken any more.
pub(crate) async fn serve(
    listener: TcpListener,
    identity: Arc<Identity>,
    told: Told,
) -> std::io::Result<()> {
    loop {
        let (stream, remote) = listener.accept().await?;
        let (identity, told) = (Arc::clone(&identity), told.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(stream, remote, &identity, &told).await {
                tracing::debug!(%error, %remote, "a connection broke off");
            }
        });
    }
}

/// Answers question by question, until the caller ends the connection.
async fn answer(
    mut stream: TcpStream,
    remote: SocketAddr,
    identity: &Identity,
    told: &Told,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read);
    loop {
        for expected in QUESTION {
            match lines.read_u8().await {
                Ok(byte) if byte == *expected => {}
                Ok(_) => return write.write_all(NOT_UNDERSTOOD).await,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // Only a sidecar calls from within the pod.
        let headers = if remote.ip().is_loopback() {
            told.of(remote, false).await
        } else {
            BTreeMap::new()
        };
        let view = PeerView {
            identity: identity.clone(),
            protocol: Protocol::Tcp.as_told().to_owned(),
            path: String::new(),
            headers,
            remote_address: remote.to_string(),
        };
        let mut text = serde_json::to_vec(&view).expect("wire types have string keys");
        text.push(b'\n');
        write.write_all(&text).await?;
    }
}
