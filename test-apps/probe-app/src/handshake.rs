//! Speaks TLS to another pod's sidecar as sidecars do among themselves, past the own one, with a certificate of choice.
//!
//! Invariant: whatever the server shows, the handshake goes on, so that it is the server who decides how it ends; what is
//! wrong with the server is told beside. Keys are made here and leave the process in no way.

mod client;
mod kept;
pub(crate) mod key_service;
mod noting;
mod root;
mod server;

use crate::anybody::Anybody;
use crate::application::texts;
use crate::identity::{pem, secret, told};
use crate::reading::certificates;
use bytes::Bytes;
use client::{NothingToShow, Shown};
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
pub(crate) use kept::Kept;
use noting::{Noted, Noting};
use probe_api::handshake::{HandshakeAnswer, HandshakeAsk, HandshakeEnd, ServerShown};
use probe_api::request::Answer;
use rustls::client::WantsClientCert;
use rustls::pki_types::{IpAddr, ServerName};
use rustls::{ClientConfig, ConfigBuilder, Error as TlsError};
use server::Server;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long the dial may take.
const DIAL: Duration = Duration::from_secs(2);
/// How long handshake and request may take.
const EXCHANGE: Duration = Duration::from_secs(5);
/// Longer answers are not the business of a probe.
const LONGEST_BODY: usize = 1 << 20;

/// Makes one connection with one request.
pub(crate) async fn make(ask: HandshakeAsk, kept: &Kept) -> HandshakeAnswer {
    let (roots, shown) = tokio::join!(secret(ask.roots), client::shown(ask.shows, kept));
    let nothing = |reason: String| HandshakeAnswer {
        shown: None,
        server: None,
        end: HandshakeEnd::Unanswered(reason),
    };
    let (roots, shown) = match (roots, shown) {
        (Ok(roots), Ok(shown)) => (roots, shown),
        (Err(reason), _) | (_, Err(NothingToShow(reason))) => return nothing(reason),
    };
    let server = match Server::new(&roots) {
        Ok(server) => Arc::new(server),
        Err(reason) => return nothing(reason),
    };
    if let (Some(name), Some(shown)) = (ask.keep_as, &shown) {
        kept.keep(name, Arc::clone(shown));
    }
    let own = shown
        .as_ref()
        .and_then(|shown| certificates(&pem(shown.own())).into_iter().next());
    let end = match ask.address.parse() {
        Ok(address) => match configuration(&ask.alpn, &ask.server_name, &server, shown) {
            Ok(configuration) => meet(address, ask.server_name, configuration).await,
            Err(error) => HandshakeEnd::Unanswered(told(&error)),
        },
        Err(error) => HandshakeEnd::Unanswered(format!("dial `{}`: {error}", ask.address)),
    };
    HandshakeAnswer {
        shown: own,
        server: server.met().map(|met| ServerShown {
            certificate: certificates(&pem(&met.own)).into_iter().next(),
            untrusted: met.untrusted.clone(),
        }),
        end,
    }
}

fn configuration(
    alpn: &[String],
    server_name: &Option<String>,
    server: &Arc<Server>,
    shown: Option<Arc<Shown>>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Anybody::new(Arc::clone(server), provider.clone()));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut configuration = showing(builder, shown.as_deref())?;
    configuration.alpn_protocols = alpn.iter().map(|name| name.clone().into_bytes()).collect();
    configuration.enable_sni = server_name.is_some();
    Ok(configuration)
}

/// Whether the key is the certificate's is nobody's business but the server's.
fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    shown: Option<&Shown>,
) -> Result<ClientConfig, TlsError> {
    Ok(match shown {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(shown.signer()?)),
        None => builder.with_no_client_auth(),
    })
}

async fn meet(
    address: SocketAddr,
    server_name: Option<String>,
    configuration: ClientConfig,
) -> HandshakeEnd {
    let name = match server_name.map(ServerName::try_from).transpose() {
        Ok(name) => name.unwrap_or(ServerName::IpAddress(IpAddr::from(address.ip()))),
        Err(error) => return HandshakeEnd::Unanswered(told(&error)),
    };
    let stream = match dialled(address).await {
        Ok(stream) => stream,
        Err(end) => return end,
    };
    match tokio::time::timeout(EXCHANGE, exchange(stream, name, configuration)).await {
        Ok(Ok(answer)) => HandshakeEnd::Answered(Box::new(answer)),
        Ok(Err(end)) => end,
        Err(_) => HandshakeEnd::Unanswered("connected, and no answer in time".to_owned()),
    }
}

async fn dialled(address: SocketAddr) -> Result<TcpStream, HandshakeEnd> {
    match tokio::time::timeout(DIAL, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(HandshakeEnd::Unanswered(format!("dial {address}: {error}"))),
        Err(_) => Err(HandshakeEnd::Unanswered(format!(
            "dial {address}: nobody answers"
        ))),
    }
}

/// With TLS 1.3 a client has ended its handshake before the server has looked at its certificate: only who reads on is told
/// that it was refused (RFC 8446, 4.4.2.4).
async fn shaken(
    stream: TcpStream,
    name: ServerName<'static>,
    configuration: ClientConfig,
) -> Result<(Noting, Noted), HandshakeEnd> {
    let connector = TlsConnector::from(Arc::new(configuration));
    let stream = connector.connect(name, stream).await;
    Ok(Noting::new(stream.map_err(|error| end_of(&error))?))
}

async fn exchange(
    stream: TcpStream,
    name: ServerName<'static>,
    configuration: ClientConfig,
) -> Result<Answer, HandshakeEnd> {
    let (stream, noted) = shaken(stream, name, configuration).await?;
    let answered = request(stream).await;
    answered.map_err(|error| match noted.take() {
        Some(noted) => end_of(&noted),
        None => HandshakeEnd::Closed(told(error.as_ref())),
    })
}

async fn request(stream: Noting) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/")
        .header(header::HOST, "probe")
        .body(Empty::<Bytes>::new())?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST_BODY).collect().await?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: texts(&head.headers),
            peer: serde_json::from_slice(&body).ok(),
            connection: None,
        })
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // What it was that broke is told to whoever waits for the answer.
        _ = connection => answered.await,
    }
}

/// What an error says of how the server has ended it.
fn end_of(error: &io::Error) -> HandshakeEnd {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match (inner, error.kind()) {
        (Some(TlsError::AlertReceived(alert)), _) => HandshakeEnd::Alert(u8::from(*alert)),
        (
            None,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe,
        ) => HandshakeEnd::Closed(error.to_string()),
        // The server speaks no TLS, or not this one: it has not looked at a certificate.
        _ => HandshakeEnd::Unanswered(told(error)),
    }
}

#[cfg(test)]
mod tests;
