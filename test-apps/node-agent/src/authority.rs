//! The connection to the certificate authority.
//!
//! Invariant: the authority is trusted by its name and the root in a file, and told who is asking by a token that is
//! read again for every call, since a kubelet replaces it while the agent runs.

use crate::settings::Settings;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use identity_api::authority::service::certificate_authority_client::CertificateAuthorityClient;
use identity_api::authority::{IssueRequest, TrustBundle, WatchTrustBundleRequest};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

/// A dial that takes longer is given up.
const DIAL: Duration = Duration::from_secs(2);
/// How often a peer is asked for a sign of life, and how long it may take to give one: an authority behind a cut link
/// does not answer and does not close.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_ANSWERED: Duration = Duration::from_secs(2);
/// How long an answer may take, for the watch its first sign of life. A signature takes milliseconds; what takes longer is
/// better asked again, of another replica.
const ANSWERED: Duration = Duration::from_secs(5);

/// The authority could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum AskAuthorityError {
    /// The root or the token cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The token is no header.
    #[error("use the token in {0}")]
    Token(PathBuf),
    /// The address or the root is of no use.
    #[error("use the authority's address and root")]
    Configuration(#[source] tonic::transport::Error),
    /// It did not answer, or no.
    #[error("ask the authority for {what}")]
    Call {
        /// What was asked for.
        what: &'static str,
        /// Its answer. Large, and rare.
        #[source]
        source: Box<Status>,
    },
}

/// What the agent asks of the authority.
pub trait Authority: Send + Sync + 'static {
    /// Asks for a certificate: the chain, DER, the pod's own first.
    fn issue(
        &self,
        request: IssueRequest,
    ) -> BoxFuture<'_, Result<Vec<Vec<u8>>, AskAuthorityError>>;

    /// Asks to be told of the trust bundle, now and whenever it changes. The stream ends when the connection does.
    fn watch_bundle(
        &self,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<TrustBundle, Status>>, AskAuthorityError>>;
}

/// The authority over gRPC and TLS.
pub struct RemoteAuthority {
    address: String,
    root_file: PathBuf,
    token_file: PathBuf,
    /// Made anew after a failure, so that a root that was replaced in its file is used.
    channel: Mutex<Option<Channel>>,
}

impl RemoteAuthority {
    /// The authority that the settings name. Nothing is dialled or read yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            address: settings.authority_address.clone(),
            root_file: settings.authority_root_file.clone(),
            token_file: settings.token_file.clone(),
            channel: Mutex::default(),
        }
    }

    fn client(&self) -> Result<CertificateAuthorityClient<Channel>, AskAuthorityError> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channel.as_ref() {
            Some(channel) => channel.clone(),
            None => channel.insert(self.dial()?).clone(),
        };
        Ok(CertificateAuthorityClient::new(channel))
    }

    fn dial(&self) -> Result<Channel, AskAuthorityError> {
        let root = Certificate::from_pem(read(&self.root_file)?);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address))
            .and_then(|endpoint| endpoint.tls_config(ClientTlsConfig::new().ca_certificate(root)))
            .map_err(AskAuthorityError::Configuration)?;
        Ok(endpoint
            .connect_timeout(DIAL)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWERED)
            .keep_alive_while_idle(true)
            .connect_lazy())
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, AskAuthorityError> {
        let token = read(&self.token_file)?;
        let value: MetadataValue<Ascii> = std::str::from_utf8(&token)
            .ok()
            .and_then(|token| format!("Bearer {}", token.trim()).parse().ok())
            .ok_or_else(|| AskAuthorityError::Token(self.token_file.clone()))?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(Status) -> AskAuthorityError {
        move |source| {
            *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
            AskAuthorityError::Call {
                what,
                source: Box::new(source),
            }
        }
    }
}

impl Authority for RemoteAuthority {
    fn issue(
        &self,
        request: IssueRequest,
    ) -> BoxFuture<'_, Result<Vec<Vec<u8>>, AskAuthorityError>> {
        async move {
            let mut request = self.request(request)?;
            request.set_timeout(ANSWERED);
            let mut client = self.client()?;
            let reply = in_time(client.issue(request))
                .await
                .map_err(self.failed("a certificate"))?;
            Ok(reply.into_inner().chain)
        }
        .boxed()
    }

    fn watch_bundle(
        &self,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<TrustBundle, Status>>, AskAuthorityError>>
    {
        async move {
            let request = self.request(WatchTrustBundleRequest {})?;
            let mut client = self.client()?;
            let told = in_time(client.watch_trust_bundle(request))
                .await
                .map_err(self.failed("the trust bundle"))?;
            Ok(told.into_inner().boxed())
        }
        .boxed()
    }
}

/// What a call answers, the dial included.
async fn in_time<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    tokio::time::timeout(ANSWERED, call)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
}

fn read(path: &PathBuf) -> Result<Vec<u8>, AskAuthorityError> {
    std::fs::read(path).map_err(|source| AskAuthorityError::Read {
        path: path.clone(),
        source,
    })
}
