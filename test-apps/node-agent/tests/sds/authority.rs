//! The certificate authority's part, played over TLS: it signs whatever it is asked for by who shows the agent's token.

use crate::stub::Root;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use identity_api::authority::service::certificate_authority_server::{
    CertificateAuthority, CertificateAuthorityServer,
};
use identity_api::authority::{IssueReply, IssueRequest, TrustBundle, WatchTrustBundleRequest};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// The agent's own token.
pub(crate) const AGENT_TOKEN: &str = "token-of-the-agent";

/// What outlives an outage of the authority.
pub(crate) struct State {
    /// Signs.
    pub(crate) root: Mutex<Arc<Root>>,
    /// What is trusted, DER.
    pub(crate) bundle: watch::Sender<Vec<Vec<u8>>>,
}

/// An authority that may go away and come back at the same address.
pub(crate) struct Authority {
    pub(crate) state: Arc<State>,
    pub(crate) address: SocketAddr,
    /// The server's own certificate, which is its own root, PEM.
    pub(crate) certificate: String,
    key: String,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

struct Service {
    state: Arc<State>,
    shutdown: CancellationToken,
}

fn admit<T>(request: &Request<T>) -> Result<(), Status> {
    let token = request.metadata().get("authorization");
    if token.is_some_and(|token| *token == format!("Bearer {AGENT_TOKEN}")) {
        Ok(())
    } else {
        Err(Status::unauthenticated("not the agent's token"))
    }
}

#[tonic::async_trait]
impl CertificateAuthority for Service {
    type WatchTrustBundleStream = BoxStream<'static, Result<TrustBundle, Status>>;

    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueReply>, Status> {
        admit(&request)?;
        let asked = request.into_inner();
        let root = self.state.root.lock().expect("not poisoned").clone();
        let lifetime = Duration::from_secs(asked.lifetime_seconds.into());
        let chain = vec![root.sign(&asked.csr, None, lifetime)];
        Ok(Response::new(IssueReply { chain }))
    }

    async fn watch_trust_bundle(
        &self,
        request: Request<WatchTrustBundleRequest>,
    ) -> Result<Response<Self::WatchTrustBundleStream>, Status> {
        admit(&request)?;
        let told = WatchStream::new(self.state.bundle.subscribe())
            .map(|roots| Ok(TrustBundle { roots }))
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(told.boxed()))
    }
}

impl Authority {
    /// One that trusts and signs with one root.
    pub(crate) async fn start() -> Self {
        let root = Arc::new(Root::new("root"));
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let mut authority = Self {
            state: Arc::new(State {
                bundle: watch::Sender::new(vec![root.der.clone()]),
                root: Mutex::new(root),
            }),
            address: "127.0.0.1:0".parse().expect("an address"),
            certificate: own.cert.pem(),
            key: own.signing_key.serialize_pem(),
            running: None,
        };
        authority.come().await;
        authority
    }

    /// Serves, at the address of the last time.
    pub(crate) async fn come(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("free");
        self.address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let service = Service {
            state: self.state.clone(),
            shutdown: shutdown.clone(),
        };
        let identity = Identity::from_pem(&self.certificate, &self.key);
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .expect("a good certificate")
            .add_service(CertificateAuthorityServer::new(service))
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(listener),
                shutdown.clone().cancelled_owned(),
            );
        let server = tokio::spawn(async move { server.await.expect("serves") });
        self.running = Some((shutdown, server));
    }

    /// Ends every connection and listens no more.
    pub(crate) async fn go(&mut self) {
        let (shutdown, server) = self.running.take().expect("is there");
        shutdown.cancel();
        server.await.expect("no panic");
    }
}
