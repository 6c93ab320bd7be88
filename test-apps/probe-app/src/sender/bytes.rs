//! One line of bytes there and one back, over a connection of its own.

use super::{failed, ports};
use crate::application::bytes::QUESTION;
use crate::connection::Told;
use http::Request;
use probe_api::request::{Answer, FailureKind, PeerView, RequestResult};
use std::collections::BTreeMap;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longer answers are not the business of a probe.
const LONGEST_LINE: u64 = 1 << 20;

/// Sends a line again and again.
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    host: String,
    port: u16,
    told: Told,
}

impl Bytes {
    pub(super) fn new(request: &Request<()>, told: Told) -> Self {
        let uri = request.uri();
        Self {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(80),
            told,
        }
    }

    pub(super) async fn exchange(&self) -> Result<Answer, RequestResult> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| RequestResult::Failed {
                kind: FailureKind::Resolve,
                message: error.to_string(),
            })?
            .collect::<Vec<_>>();
        let mut stream = ports::connect(&addresses)
            .await
            .map_err(|error| failed(&error, true))?;
        let own = stream.local_addr().map_err(|error| failed(&error, true))?;
        let said = line(&mut stream).await;
        match said
            .as_ref()
            .map(|line| serde_json::from_slice::<PeerView>(line))
        {
            Ok(Ok(mut peer)) => {
                // The callee tells what its own sidecar says; this end's sidecar speaks to this end only, of a connection
                // that is still open.
                peer.headers.extend(self.told.of(own, false).await);
                Ok(Answer {
                    status: 200,
                    headers: BTreeMap::new(),
                    peer: Some(peer),
                })
            }
            Ok(Err(error)) if said.as_ref().is_ok_and(|line| !line.is_empty()) => {
                Err(RequestResult::Failed {
                    kind: FailureKind::Protocol,
                    message: error.to_string(),
                })
            }
            broken => {
                let why = match broken {
                    Err(error) => error.to_string(),
                    Ok(_) => "the connection ended before an answer came".to_owned(),
                };
                drop(stream);
                let told = self.told.of(own, true).await;
                let told: Vec<String> = told
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                Err(RequestResult::Failed {
                    kind: FailureKind::Reset,
                    message: format!("{why}; {}", told.join("; ")),
                })
            }
        }
    }
}

/// The line that answers ours; empty when the connection ends before.
async fn line(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    stream.set_nodelay(true)?;
    stream.write_all(QUESTION).await?;
    let mut line = Vec::new();
    let mut answer = BufReader::new(stream).take(LONGEST_LINE);
    answer.read_until(b'\n', &mut line).await?;
    Ok(line)
}
