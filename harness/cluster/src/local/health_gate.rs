//! The controller-manager's way to the API server.
//!
//! Before it does anything it asks for `/healthz`, and again once a second. The API server serves all that controllers need a
//! second before it says yes there: two of its hooks begin with a pause of a second (`wait.Poll` in `storage_rbac.go` and
//! `storage_scheduling.go` of Kubernetes 1.36). So the first question is answered here, as soon as the API server serves, and
//! pods are made a second sooner. Whether the API server is ready is still asked of itself before anything is tested.
//!
//! Invariant: of one connection, the first, one question is answered here; all others go to the API server as they are.

use super::gate;
use super::pki::Pair;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How long a client may take to ask: nobody else is heard meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the controller-manager waits for.
const QUESTION: &str = "/healthz";

/// Relays connections to a port of the loopback to `target`, once `open` says so, in the background; `certificate` is that of
/// the server there.
///
/// # Errors
///
/// When the port is taken or the certificate cannot be used.
pub(super) async fn serve(
    port: u16,
    target: SocketAddr,
    open: watch::Receiver<bool>,
    certificate: &Pair,
) -> io::Result<()> {
    let tls = acceptor(certificate)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    tokio::spawn(relay(listener, target, open, tls));
    Ok(())
}

fn acceptor(certificate: &Pair) -> io::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(certificate.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            chain.map_err(io::Error::other)?,
            key.map_err(io::Error::other)?,
        )
        .map_err(io::Error::other)?;
    // Over HTTP/2 the client would go on with the connection on which it has been answered.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

async fn relay(
    listener: TcpListener,
    target: SocketAddr,
    mut open: watch::Receiver<bool>,
    tls: TlsAcceptor,
) {
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    if let Err(error) = answer_first(&listener, &tls).await {
        // It asks again, and then the API server.
        tracing::warn!(%error, "answer the controller-manager");
    }
    gate::relay(listener, target, open).await;
}

/// Answers the first question of the first connection, and closes it.
async fn answer_first(listener: &TcpListener, tls: &TlsAcceptor) -> io::Result<()> {
    let (client, _) = listener.accept().await?;
    let answered = tokio::time::timeout(PATIENCE, answer(client, tls)).await;
    answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn answer(client: TcpStream, tls: &TlsAcceptor) -> io::Result<()> {
    let client = tls.accept(client).await?;
    let answer = service_fn(|request: Request<Incoming>| async move {
        let is_known = request.uri().path() == QUESTION;
        let (status, words) = if is_known {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "ask again")
        };
        let mut response = Response::new(words.to_owned());
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    });
    http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(client), answer)
        .await
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::super::pki::Authority;
    use super::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;

    /// A gate before a server that says one word to whoever connects.
    async fn gate(authority: &Authority) -> SocketAddr {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = server.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = server.accept().await {
                client.write_all(b"served").await.unwrap();
            }
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = acceptor(&authority.api_server().unwrap()).unwrap();
        let (open, opened) = watch::channel(true);
        tokio::spawn(async move {
            relay(listener, target, opened, tls).await;
            drop(open);
        });
        address
    }

    async fn ask(authority: &Authority, gate: SocketAddr, path: &str) -> String {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // As Go's client offers them.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(gate).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        // To its end: the connection is not to be gone on with.
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    /// What the next connection gets, which nobody here reads.
    async fn next(gate: SocketAddr) -> String {
        let mut stream = TcpStream::connect(gate).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    #[tokio::test]
    async fn the_first_question_is_answered_and_all_else_goes_to_the_server() {
        let authority = Authority::new().unwrap();
        let gate = gate(&authority).await;
        let said = ask(&authority, gate, QUESTION).await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.contains("connection: close\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nok"), "{said}");
        assert_eq!(next(gate).await, "served");
        assert_eq!(next(gate).await, "served");
    }

    #[tokio::test]
    async fn another_question_is_not_answered_for_the_server() {
        let authority = Authority::new().unwrap();
        let gate = gate(&authority).await;
        let said = ask(&authority, gate, "/api/v1/nodes").await;
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        assert_eq!(next(gate).await, "served");
    }

    #[tokio::test]
    async fn who_says_nothing_of_tls_keeps_nobody_out() {
        let authority = Authority::new().unwrap();
        let gate = gate(&authority).await;
        let mut stream = TcpStream::connect(gate).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert_eq!(next(gate).await, "served");
    }
}
