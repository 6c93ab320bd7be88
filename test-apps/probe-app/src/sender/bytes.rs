//! One line of bytes there and one back, over a connection of its own or one that was [kept](super::kept). The callee may
//! have to speak first, and the line may go there within TLS of the applications' own.

use super::kept::{Lasting, Outcome};
use super::{failed, ports};
use crate::application::bytes::QUESTION;
use crate::connection::Told;
use crate::own_tls;
use http::Request;
use probe_api::GREETING;
use probe_api::request::{Answer, FailureKind, PeerView, RequestResult};
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longer answers are not the business of a probe.
const LONGEST_LINE: u64 = 1 << 20;

/// Asks a callee of bytes.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    host: String,
    port: u16,
    manner: Manner,
    told: Told,
}

/// How the callee is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner {
    /// It is asked.
    Ask,
    /// It has to greet before.
    Listen,
    /// It is asked within TLS.
    Tls,
}

/// A connection on which nothing is under way.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    own: SocketAddr,
    /// What this end's sidecar has said of it.
    told: BTreeMap<String, String>,
}

/// What the callee said.
struct Said {
    /// Empty when the connection ended before.
    line: Vec<u8>,
    /// The certificate that was shown, as its SHA-256 in hex.
    shown: Option<String>,
}

/// The callee did not say all of it.
enum Unsaid {
    /// The connection broke, and nothing had come from the application.
    Broken(Error),
    /// Something had come: nobody can say that the connection was refused.
    Begun(String),
}

impl From<Error> for Unsaid {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Bytes {
    pub(super) fn new(request: &Request<()>, manner: Manner, told: Told) -> Self {
        let uri = request.uri();
        Self {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(80),
            manner,
            told,
        }
    }

    pub(super) async fn exchange(&self) -> Result<Answer, RequestResult> {
        let connection = self.dial().await?;
        let (answer, _) = self.talk_over(connection).await?;
        Ok(answer)
    }

    async fn dial(&self) -> Result<Connection, RequestResult> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| RequestResult::Failed {
                kind: FailureKind::Resolve,
                message: error.to_string(),
            })?
            .collect::<Vec<_>>();
        let stream = ports::connect(&addresses)
            .await
            .map_err(|error| failed(&error, true))?;
        let own = stream.local_addr().map_err(|error| failed(&error, true))?;
        Ok(Connection {
            stream,
            own,
            told: BTreeMap::new(),
        })
    }

    /// One exchange. Where the callee is [asked](Manner::Ask) the connection can carry another one afterwards.
    async fn talk_over(
        &self,
        mut connection: Connection,
    ) -> Result<(Answer, Connection), RequestResult> {
        let said = self.talk(&mut connection.stream).await;
        let Connection { stream, own, told } = connection;
        match said {
            Ok(said) if !said.line.is_empty() => {
                let mut peer = understood(&said)?;
                // The callee tells what its own sidecar says; this end's sidecar speaks to this end only, of a connection
                // that is still open. It says it once.
                let told = match told.is_empty() {
                    true => self.told.of(own, false).await,
                    false => told,
                };
                peer.headers.extend(told.clone());
                let answer = Answer {
                    status: 200,
                    headers: BTreeMap::new(),
                    peer: Some(peer),
                    connection: None,
                };
                Ok((answer, Connection { stream, own, told }))
            }
            Ok(_) => {
                drop(stream);
                let why = "the connection ended before an answer came";
                Err(self.broken(own, why).await)
            }
            Err(Unsaid::Broken(error)) => {
                drop(stream);
                Err(self.broken(own, &error.to_string()).await)
            }
            Err(Unsaid::Begun(message)) => Err(wrong(message)),
        }
    }

    async fn talk(&self, stream: &mut TcpStream) -> Result<Said, Unsaid> {
        stream.set_nodelay(true)?;
        match self.manner {
            Manner::Ask => Ok(Said {
                line: line(stream).await?,
                shown: None,
            }),
            Manner::Listen => {
                let mut greeting = vec![0; GREETING.len()];
                stream.read_exact(&mut greeting).await?;
                let begun = |then: String| {
                    let heard = String::from_utf8_lossy(&greeting);
                    Unsaid::Begun(format!("the callee said {heard:?}, and then {then}"))
                };
                if greeting != GREETING {
                    return Err(begun("was not understood".to_owned()));
                }
                match line(stream).await {
                    Ok(line) if line.is_empty() => Err(begun("nothing".to_owned())),
                    Ok(line) => Ok(Said { line, shown: None }),
                    Err(error) => Err(begun(error.to_string())),
                }
            }
            Manner::Tls => {
                let name = ServerName::try_from(self.host.clone()).map_err(Error::other)?;
                let connector = own_tls::connector().map_err(Error::other)?;
                let mut stream = connector.connect(name, stream).await?;
                let shown = own_tls::shown(stream.get_ref().1);
                // Whoever finished the handshake has spoken: what breaks now was not refused.
                let begun = |then: String| {
                    Unsaid::Begun(format!("the TLS handshake was finished, and then {then}"))
                };
                match line(&mut stream).await {
                    Ok(line) if line.is_empty() => Err(begun("nothing came".to_owned())),
                    Ok(line) => Ok(Said { line, shown }),
                    Err(error) => Err(begun(error.to_string())),
                }
            }
        }
    }

    /// Why there was no answer, with what this end's sidecar says of the connection, which is closed.
    async fn broken(&self, own: SocketAddr, why: &str) -> RequestResult {
        let told = self.told.of(own, true).await;
        let told: Vec<String> = told
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        RequestResult::Failed {
            kind: FailureKind::Reset,
            message: format!("{why}; {}", told.join("; ")),
        }
    }
}

impl Lasting for Bytes {
    type Open = Connection;

    async fn open(&self) -> Result<Connection, Outcome> {
        self.dial().await.map_err(Err)
    }

    fn has_ended(connection: &mut Connection) -> bool {
        let read = connection.stream.try_read(&mut [0]);
        !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    async fn over(&self, connection: Connection) -> Result<(Answer, Connection), Outcome> {
        self.talk_over(connection).await.map_err(Err)
    }
}

/// What the application tells, if it is the application that TLS ended at.
fn understood(said: &Said) -> Result<PeerView, RequestResult> {
    let peer: PeerView =
        serde_json::from_slice(&said.line).map_err(|error| wrong(error.to_string()))?;
    if peer.certificate == said.shown {
        return Ok(peer);
    }
    let told = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "none".to_owned());
    Err(wrong(format!(
        "TLS ends at somebody else: the certificate that was shown is {}, that of the application {}",
        told(&said.shown),
        told(&peer.certificate)
    )))
}

fn wrong(message: String) -> RequestResult {
    RequestResult::Failed {
        kind: FailureKind::Protocol,
        message,
    }
}

/// The line that answers ours; empty when the connection ends before.
async fn line(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<Vec<u8>> {
    stream.write_all(QUESTION).await?;
    stream.flush().await?;
    let mut line = Vec::new();
    let mut answer = BufReader::new(stream).take(LONGEST_LINE);
    answer.read_until(b'\n', &mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_api::state::Identity;

    fn said(application: Option<&str>, shown: Option<&str>) -> Said {
        let view = PeerView {
            identity: Identity::default(),
            protocol: "TLS".to_owned(),
            path: String::new(),
            headers: BTreeMap::new(),
            remote_address: String::new(),
            certificate: application.map(str::to_owned),
        };
        Said {
            line: serde_json::to_vec(&view).expect("wire types have string keys"),
            shown: shown.map(str::to_owned),
        }
    }

    #[test]
    fn an_answer_counts_where_tls_ends_at_the_application() {
        assert!(understood(&said(Some("a"), Some("a"))).is_ok());
        assert!(understood(&said(None, None)).is_ok());
        for (application, shown) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("a"))] {
            let refused = understood(&said(application, shown));
            let Err(RequestResult::Failed { kind, message }) = refused else {
                panic!("{application:?} and {shown:?} are not the same");
            };
            assert_eq!(kind, FailureKind::Protocol, "{message}");
        }
    }
}
