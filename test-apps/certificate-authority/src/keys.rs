//! The key service, as the authority asks it.

use crate::behaviour::Behaviour;
use crate::certificate::{Draft, MakeCertificateError};
use crate::metrics::Metrics;
use crate::public_key::{PublicKey, ReadPublicKeyError};
use crate::roll::{KeyStep, Skips, key_step};
use crate::settings::KeyServiceSettings;
use identity_api::keys::service::key_service_client::KeyServiceClient;
use identity_api::keys::{CreateKeyRequest, Key, ListKeysRequest, RotateKeyRequest, SignRequest};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Error, Identity};
use tonic::{Code, Response, Status};
use tower::util::BoxCloneSyncService;

/// The name of the roots' key.
pub const ROOT: &str = "root";
/// The name of the intermediates' key.
pub const INTERMEDIATE: &str = "intermediate";

/// How long the key service may be away before somebody is told so: it starts again within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
const DIAL: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(3);
const PING_EVERY: Duration = Duration::from_secs(2);

/// A connection to the key service, which dials again by itself.
pub type Connection = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Error>;

/// Asks the key service.
#[derive(Clone)]
pub struct Keys {
    client: KeyServiceClient<Connection>,
    metrics: Arc<Metrics>,
}

/// The settings lead to no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectKeysError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address or a certificate is of no use.
    #[error("use the address and certificates for the key service")]
    Use(#[source] tonic::transport::Error),
}

/// The key service did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It does not answer, or not well.
    #[error("ask the key service to {act}: {}", status.message())]
    Ask {
        /// What it was asked for.
        act: &'static str,
        /// What it or the connection says.
        status: Box<Status>,
    },
    /// What it calls a public key is none.
    #[error("use a key of the key service")]
    PublicKey(#[from] ReadPublicKeyError),
    /// It has another newest version than the one that is to be followed.
    #[error(transparent)]
    Skips(#[from] Skips),
    /// The certificate cannot be made with its signature.
    #[error(transparent)]
    Certificate(#[from] MakeCertificateError),
}

impl KeysError {
    /// The key service is there and does not serve this authority: trying again does not help, an operator does.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Ask { status, .. } if status.code() == Code::PermissionDenied)
    }
}

impl Keys {
    /// A client; nothing is dialled yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used.
    pub fn connect(
        settings: &KeyServiceSettings,
        behaviour: &dyn Behaviour,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ConnectKeysError> {
        let file = |path: PathBuf| {
            std::fs::read(&path).map_err(|source| ConnectKeysError::Read { path, source })
        };
        let own = &settings.tls_directory;
        let identity = Identity::from_pem(file(own.join("tls.crt"))?, file(own.join("tls.key"))?);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(file(settings.root_file.clone())?))
            .identity(identity);
        let channel = Endpoint::from_shared(format!("https://{}", settings.address))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map_err(ConnectKeysError::Use)?
            .connect_timeout(DIAL)
            .timeout(ANSWER)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(ANSWER)
            .keep_alive_while_idle(true)
            .connect_lazy();
        let connection = behaviour.asks_keys(Connection::new(channel));
        Ok(Self {
            client: KeyServiceClient::new(connection),
            metrics,
        })
    }

    /// A client over this connection.
    #[cfg(test)]
    pub(crate) fn over(channel: tonic::transport::Channel) -> Self {
        Self {
            client: KeyServiceClient::new(Connection::new(channel)),
            metrics: Arc::default(),
        }
    }

    /// All keys.
    ///
    /// # Errors
    ///
    /// When the key service does not answer.
    pub async fn list(&self) -> Result<Vec<Key>, KeysError> {
        let ask = || {
            let mut client = self.client.clone();
            async move { client.list_keys(ListKeysRequest {}).await }
        };
        Ok(self.ask("list its keys", ask).await?.keys)
    }

    /// The newest version of a key; 0 when there is none.
    ///
    /// # Errors
    ///
    /// When the key service does not answer.
    pub async fn newest(&self, name: &str) -> Result<u32, KeysError> {
        let keys = self.list().await?;
        let versions = keys.iter().filter(|key| key.name == name);
        Ok(versions.map(|key| key.version).max().unwrap_or_default())
    }

    /// A version of a key, which is made when it is the next one.
    ///
    /// # Errors
    ///
    /// When the key service does not answer, or the version is not the next one.
    pub async fn obtain(&self, name: &str, version: u32) -> Result<PublicKey, KeysError> {
        match key_step(self.newest(name).await?, version)? {
            KeyStep::Have => {}
            KeyStep::Create => {
                self.ask("make a key", || {
                    let mut client = self.client.clone();
                    let name = name.to_owned();
                    async move { client.create_key(CreateKeyRequest { name }).await }
                })
                .await?;
            }
            KeyStep::Rotate(after) => {
                self.ask("make a version of a key", || {
                    let mut client = self.client.clone();
                    let name = name.to_owned();
                    async move { client.rotate_key(RotateKeyRequest { name, after }).await }
                })
                .await?;
            }
        }
        // Who else asked for a version may have made another one since; each is told by its number.
        let keys = self.list().await?;
        let mut versions = keys.iter();
        let key = versions.find(|key| key.name == name && key.version == version);
        let key = key.ok_or_else(|| KeysError::Ask {
            act: "show a key that it has made",
            status: Box::new(Status::not_found(format!("no version {version} of {name}"))),
        })?;
        Ok(PublicKey::read(&key.public_key)?)
    }

    /// Completes a certificate with the signature of a key.
    ///
    /// # Errors
    ///
    /// When the key service does not sign, or not with the issuer's key.
    pub async fn sign(
        &self,
        draft: &Draft,
        name: &str,
        version: u32,
    ) -> Result<rcgen::Certificate, KeysError> {
        let message = draft.message()?;
        let reply = self
            .ask("sign", || {
                let mut client = self.client.clone();
                let request = SignRequest {
                    name: name.to_owned(),
                    version,
                    message: message.clone(),
                };
                async move { client.sign(request).await }
            })
            .await?;
        Ok(draft.signed(&reply.signature)?)
    }

    /// Asks again while nobody answers. Every request of this service may come twice.
    #[expect(
        clippy::disallowed_methods,
        reason = "that somebody would answer again is no event"
    )]
    async fn ask<T, F>(&self, act: &'static str, request: impl Fn() -> F) -> Result<T, KeysError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = match request().await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            self.metrics
                .key_service_failures
                .fetch_add(1, Ordering::Relaxed);
            if status.code() == Code::PermissionDenied {
                self.metrics
                    .key_service_denials
                    .fetch_add(1, Ordering::Relaxed);
            }
            // What a broken connection looks like, which the next try replaces.
            let is_passing = matches!(
                status.code(),
                Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled
            );
            if !is_passing || Instant::now() + PAUSE >= until {
                let status = Box::new(status);
                return Err(KeysError::Ask { act, status });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
