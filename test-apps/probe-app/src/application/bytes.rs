//! The ports for bytes: a question comes, and a line goes back that tells who got it. What differs is who speaks first, and
//! whether the applications speak TLS.

use crate::connection::Told;
use crate::own_tls::OwnTls;
use probe_api::GREETING;
use probe_api::request::{PeerView, Protocol};
use probe_api::state::Identity;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a caller says to be answered.
pub(crate) const QUESTION: &[u8] = b"who are you?\n";

/// What a caller is told who says something else, for example a `ClientHello`, before the connection ends.
const NOT_UNDERSTOOD: &[u8] = b"not understood\n";

/// The first byte of a `ClientHello`, that of a record which carries a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// How a port is spoken to.
#[derive(Clone)]
pub(crate) enum Manner {
    /// The caller asks.
    Asked,
    /// The application greets, and then is asked.
    Greeting,
    /// The caller asks within TLS that ends here.
    Tls(OwnTls),
}

impl Manner {
    /// What callers of the port speak.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Asked => Protocol::Tcp,
            Self::Greeting => Protocol::ServerFirst,
            Self::Tls(_) => Protocol::ApplicationTls,
        }
    }
}

/// Answers every connection, for ever.
///
/// # Errors
///
/// When no connection can be taken any more.
pub(crate) async fn serve(
    listener: TcpListener,
    manner: Manner,
    identity: Arc<Identity>,
    told: Told,
) -> std::io::Result<()> {
    loop {
        let (stream, remote) = listener.accept().await?;
        let conversation = Conversation {
            remote,
            manner: manner.clone(),
            identity: Arc::clone(&identity),
            told: told.clone(),
        };
        tokio::spawn(async move {
            if let Err(error) = conversation.hold(stream).await {
                tracing::debug!(%error, %remote, "a connection broke off");
            }
        });
    }
}

/// One connection.
struct Conversation {
    remote: SocketAddr,
    manner: Manner,
    identity: Arc<Identity>,
    told: Told,
}

impl Conversation {
    async fn hold(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        match &self.manner {
            Manner::Asked => self.answer(stream).await,
            Manner::Greeting => {
                stream.write_all(GREETING).await?;
                self.answer(stream).await
            }
            Manner::Tls(own) => {
                let mut stream = BufReader::new(own.acceptor().accept(stream).await?);
                // Around the TLS of a caller may be that of its sidecar, which took this end for another sidecar. It is answered:
                // that it came here is to be seen.
                if stream.fill_buf().await?.first() == Some(&HANDSHAKE) {
                    let inside = own.acceptor().accept(stream).await?;
                    return self.answer(inside).await;
                }
                self.answer(stream).await
            }
        }
    }

    /// Answers question by question, until the caller ends the connection.
    async fn answer(&self, stream: impl AsyncRead + AsyncWrite) -> std::io::Result<()> {
        let (read, mut write) = tokio::io::split(stream);
        let mut lines = BufReader::new(read);
        // What the sidecar says of a connection it says once, however long that is open.
        let mut told = BTreeMap::new();
        loop {
            for expected in QUESTION {
                match lines.read_u8().await {
                    Ok(byte) if byte == *expected => {}
                    Ok(_) => {
                        write.write_all(NOT_UNDERSTOOD).await?;
                        return write.flush().await;
                    }
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            // Only a sidecar calls from within the pod.
            if told.is_empty() && self.remote.ip().is_loopback() {
                told = self.told.of(self.remote, false).await;
            }
            let view = self.view(told.clone());
            let mut text = serde_json::to_vec(&view).expect("wire types have string keys");
            text.push(b'\n');
            write.write_all(&text).await?;
            write.flush().await?;
        }
    }

    fn view(&self, headers: BTreeMap<String, String>) -> PeerView {
        PeerView {
            identity: Identity::clone(&self.identity),
            protocol: self.manner.protocol().as_told().to_owned(),
            path: String::new(),
            headers,
            remote_address: self.remote.to_string(),
            certificate: match &self.manner {
                Manner::Asked | Manner::Greeting => None,
                Manner::Tls(own) => Some(own.certificate().to_owned()),
            },
        }
    }
}
