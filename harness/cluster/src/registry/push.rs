//! Pushing image archives to a registry.

use super::{Prefix, credentials, short_name};
use crate::{ImageArchive, ImageNames};
use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use harness_images::archive::{Archive, Blob, Content, ReadArchiveError};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

/// A registry that does not accept a connection for so long is not there.
const CONNECT: Duration = Duration::from_secs(10);

/// A registry that says nothing for so long has died. An upload counts too: the answer comes when all was sent and checked.
const SILENCE: Duration = Duration::from_secs(600);

/// So many images are pushed at once.
const AT_ONCE: usize = 2;

/// How much of an archive is read at once.
const PIECE: usize = 1 << 20;

/// A registry, with what it takes to push to it.
pub struct Registry {
    prefix: Prefix,
    client: Client,
    authentication: RegistryAuth,
}

/// Images could not be pushed.
#[derive(Debug, thiserror::Error)]
#[error("push to {registry}: {}", reasons.join("; "))]
pub struct PushError {
    /// Host and port.
    pub registry: String,
    /// What went wrong, for each image where it is about images.
    pub reasons: Vec<String>,
    /// What the user can do about it.
    pub hint: Option<&'static str>,
}

/// Why one request failed.
struct Refused {
    reason: String,
    hint: Option<&'static str>,
}

impl Registry {
    /// Gets ready to push below a prefix, with the credentials that `docker login` stored. Nothing is sent yet.
    /// The process must have installed its cryptography for rustls.
    ///
    /// # Errors
    ///
    /// When the credentials for the registry, or the certificates of the authorities to trust, cannot be read.
    pub fn new(prefix: Prefix) -> Result<Self, PushError> {
        Self::with_docker_config(prefix, credentials::folder().as_deref())
    }

    /// The same with the credentials in a folder that has a `config.json` of Docker.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_docker_config(prefix: Prefix, folder: Option<&Path>) -> Result<Self, PushError> {
        let failed = |reason, hint| PushError {
            registry: prefix.registry().to_owned(),
            reasons: vec![reason],
            hint: Some(hint),
        };
        let authentication = credentials::of(prefix.registry(), folder)
            .map_err(|reason| failed(reason, "`docker login` writes the file again"))?;
        let config = ClientConfig {
            protocol: if prefix.is_plain() {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            // One request for each blob: some registries take no chunks, and ours are not resumed.
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("meshproof/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        // `Client::new` would go on without the settings.
        let client = Client::try_from(config).map_err(|error| {
            failed(
                Refused::because(&error).reason,
                "certificates of authorities are taken from SSL_CERT_FILE and SSL_CERT_DIR, else from the system (Debian: package ca-certificates)",
            )
        })?;
        Ok(Self {
            client,
            prefix,
            authentication,
        })
    }

    /// Pushes images, leaving out what the registry has. Returns for each name that manifests use the one by which a node
    /// pulls it: `PREFIX/NAME@sha256:...`.
    ///
    /// # Errors
    ///
    /// What went wrong with every image; of a registry that is not there or does not let us in only that.
    pub async fn push(&self, images: &[ImageArchive]) -> Result<ImageNames, PushError> {
        let failed = |reasons, hint| PushError {
            registry: self.prefix.registry().to_owned(),
            reasons,
            hint,
        };
        let Some(first) = images.first() else {
            return Ok(ImageNames::new());
        };
        // The same for all: told once.
        self.sign_in(first)
            .await
            .map_err(|refused| failed(vec![refused.reason], refused.hint))?;
        let pushes: Vec<BoxFuture<'_, Result<String, Refused>>> = images
            .iter()
            .map(|image| Box::pin(self.push_one(image)) as BoxFuture<'_, _>)
            .collect();
        let pushed: Vec<_> = stream::iter(pushes).buffered(AT_ONCE).collect().await;
        let mut names = ImageNames::new();
        let mut reasons = Vec::new();
        let mut hint = None;
        for (image, pushed) in images.iter().zip(pushed) {
            match pushed {
                Ok(name) => {
                    names.insert(image.reference.clone(), name);
                }
                Err(refused) => {
                    let name = short_name(&image.reference);
                    reasons.push(format!("{name}: {}", refused.reason));
                    hint = hint.or(refused.hint);
                }
            }
        }
        if reasons.is_empty() {
            Ok(names)
        } else {
            Err(failed(reasons, hint))
        }
    }

    /// Asks for something that is not there: a registry that lets nobody in without a name says so only when asked.
    async fn sign_in(&self, image: &ImageArchive) -> Result<(), Refused> {
        let nothing = format!("sha256:{}", "0".repeat(64));
        let target = self.prefix.image(short_name(&image.reference), &nothing);
        self.authenticate(&target).await?;
        self.client.blob_exists(&target, &nothing).await?;
        Ok(())
    }

    /// Obtains the tokens for one image, where the registry works with tokens.
    async fn authenticate(&self, target: &Reference) -> Result<(), Refused> {
        for operation in [RegistryOperation::Push, RegistryOperation::Pull] {
            self.client
                .auth(target, &self.authentication, operation)
                .await?;
        }
        Ok(())
    }

    async fn push_one(&self, image: &ImageArchive) -> Result<String, Refused> {
        let path = image.archive.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let archive = Archive::open(&path)?;
            let content = archive.content()?;
            Ok::<_, ReadArchiveError>((archive, content))
        });
        let (archive, content) = opened
            .await
            .map_err(|error| Refused::because(&error))?
            .map_err(|error| Refused::because(&error))?;
        let target = self
            .prefix
            .image(short_name(&image.reference), &content.digest);
        self.authenticate(&target).await?;
        for blob in &content.blobs {
            self.push_blob(&target, &archive, blob).await?;
        }
        self.push_manifest(&target, &content).await?;
        Ok(target.to_string())
    }

    async fn push_blob(
        &self,
        target: &Reference,
        archive: &Archive,
        blob: &Blob,
    ) -> Result<(), Refused> {
        if self.client.blob_exists(target, &blob.digest).await? {
            return Ok(());
        }
        tracing::debug!(image = %target, digest = blob.digest, size = blob.size, "pushing");
        let file = archive
            .open_blob(blob)
            .map_err(|error| Refused::because(&error))?
            .into_inner();
        let bytes = tokio::fs::File::from_std(file).take(blob.size);
        let bytes =
            ReaderStream::with_capacity(bytes, PIECE).map_err(OciDistributionError::IoError);
        self.client
            .push_blob_stream(target, bytes, &blob.digest, Some(blob.size))
            .await?;
        Ok(())
    }

    async fn push_manifest(&self, target: &Reference, content: &Content) -> Result<(), Refused> {
        let known = self
            .client
            .fetch_manifest_digest(target, &self.authentication)
            .await;
        match known {
            Ok(_) => return Ok(()),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let media_type = http::HeaderValue::from_str(&content.media_type)
            .map_err(|error| Refused::because(&error))?;
        self.client
            .push_manifest_raw(target, content.manifest.clone(), media_type)
            .await?;
        Ok(())
    }
}

/// The registry does not have it. An answer to a question about the head alone carries no words.
fn is_not_found(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| {
                matches!(
                    error.code,
                    OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown
                )
            })
        }
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        _ => false,
    }
}

impl Refused {
    /// An error with everything that caused it.
    fn because(error: &dyn Error) -> Self {
        let mut reason = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !reason.ends_with(&text) {
                reason.push_str(": ");
                reason.push_str(&text);
            }
            next = cause.source();
        }
        Self { reason, hint: None }
    }

    fn unauthorized() -> Self {
        Self {
            reason: "we may not push there".to_owned(),
            hint: Some(
                "`docker login` stores credentials where meshproof finds them too: in DOCKER_CONFIG or ~/.docker",
            ),
        }
    }
}

impl From<OciDistributionError> for Refused {
    fn from(error: OciDistributionError) -> Self {
        let is_refusal = |code: u16| [401, 403].contains(&code);
        match &error {
            OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::UnauthorizedError { .. } => Self::unauthorized(),
            OciDistributionError::ServerError { code, .. } if is_refusal(*code) => {
                Self::unauthorized()
            }
            OciDistributionError::RequestError(request) => match request.status() {
                Some(status) if is_refusal(status.as_u16()) => Self::unauthorized(),
                None if request.is_connect() => {
                    let Self { reason, .. } = Self::because(&error);
                    let hint = Some(hint_of_connection(&reason));
                    Self { reason, hint }
                }
                _ => Self::because(&error),
            },
            _ => Self::because(&error),
        }
    }
}

/// What helps when there was no connection, by what rustls and the system say of it.
fn hint_of_connection(reason: &str) -> &'static str {
    // The signature is wrong where another authority of the same name is trusted.
    if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        "name the authority that has signed its certificate, in PEM, with SSL_CERT_FILE, or add it to the system's (Debian: update-ca-certificates)"
    } else if reason.contains("invalid peer certificate") {
        "its certificate must be good now, and for the host that --registry names"
    } else {
        "is it up, and reached from here by this name? One without TLS needs --registry-insecure"
    }
}
