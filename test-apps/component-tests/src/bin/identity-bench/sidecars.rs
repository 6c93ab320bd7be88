//! The sidecars' part: a connection for each pod, and a stream on it for the trust bundle and one for the certificate, as each
//! Envoy has.

use crate::mesh::Identity;
use anyhow::{Context as _, ensure};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Streaming};

const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Streams that are held open, and what came by them.
pub(crate) struct Sidecars {
    open: Vec<Sidecar>,
}

struct Sidecar {
    _streams: [SecretStream; 2],
    digest: [u8; 32],
}

/// A stream for one secret that stays open.
struct SecretStream {
    _requests: mpsc::Sender<DiscoveryRequest>,
    _responses: Streaming<DiscoveryResponse>,
    /// Of the secret: with a key in it, it must not be kept, and only whether two are the same is asked.
    digest: [u8; 32],
}

impl Sidecars {
    /// How many different certificates came.
    pub(crate) fn distinct_certificates(&self) -> usize {
        let digests: HashSet<_> = self.open.iter().map(|one| one.digest).collect();
        digests.len()
    }
}

/// Opens the streams of each identity and waits until each has its certificate.
pub(crate) async fn open_all(socket: &Path, identities: &[Identity]) -> anyhow::Result<Sidecars> {
    let open = futures::stream::iter(identities)
        .map(async |identity| {
            open(socket.to_owned(), identity)
                .await
                .with_context(|| format!("serve {}", identity.pod.name))
        })
        .buffer_unordered(crate::AT_ONCE)
        .try_collect()
        .await?;
    Ok(Sidecars { open })
}

async fn open(socket: PathBuf, identity: &Identity) -> anyhow::Result<Sidecar> {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    let channel = Endpoint::from_static("http://node-agent")
        .connect_with_connector(connector)
        .await
        .context("connect")?;
    let mut client = SecretDiscoveryServiceClient::new(channel);
    let root = SecretStream::open(&mut client, &identity.token, "ROOTCA").await?;
    let own = SecretStream::open(&mut client, &identity.token, "default").await?;
    Ok(Sidecar {
        digest: own.digest,
        _streams: [root, own],
    })
}

impl SecretStream {
    /// Asks for a secret, waits for it and acknowledges it.
    async fn open(
        client: &mut SecretDiscoveryServiceClient<Channel>,
        token: &str,
        name: &str,
    ) -> anyhow::Result<Self> {
        let (requests, receiver) = mpsc::channel(1);
        let asked = DiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            resource_names: vec![name.to_owned()],
            ..DiscoveryRequest::default()
        };
        requests.send(asked.clone()).await.context("ask")?;
        let mut request = Request::new(ReceiverStream::new(receiver));
        let header = format!("Bearer {token}")
            .parse()
            .context("write the token")?;
        request.metadata_mut().insert("authorization", header);
        let mut responses = client.stream_secrets(request).await?.into_inner();
        let response = responses.message().await?.context("the stream has ended")?;
        let [resource] = response.resources.as_slice() else {
            anyhow::bail!("{} resources instead of one", response.resources.len());
        };
        let secret = Secret::decode(resource.value.as_slice()).context("read the secret")?;
        ensure!(secret.name == name, "secret `{}`", secret.name);
        let acknowledged = DiscoveryRequest {
            version_info: response.version_info,
            response_nonce: response.nonce,
            ..asked
        };
        requests.send(acknowledged).await.context("acknowledge")?;
        Ok(Self {
            digest: Sha256::digest(&resource.value).into(),
            _requests: requests,
            _responses: responses,
        })
    }
}
