//! The sidecars' part: a connection and a stream of secrets for each pod, as each Envoy has.

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
use tonic::transport::{Endpoint, Uri};
use tonic::{Request, Streaming};

const TYPE_URL: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Streams that are held open, and what came by them.
pub(crate) struct Sidecars {
    open: Vec<Sidecar>,
}

struct Sidecar {
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

/// Opens a stream for each identity and waits until each has its certificate.
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
    let (requests, receiver) = mpsc::channel(1);
    let asked = DiscoveryRequest {
        type_url: TYPE_URL.to_owned(),
        resource_names: vec!["default".to_owned()],
        ..DiscoveryRequest::default()
    };
    requests.send(asked).await.context("ask")?;
    let mut request = Request::new(ReceiverStream::new(receiver));
    let header = format!("Bearer {}", identity.token)
        .parse()
        .context("write the token")?;
    request.metadata_mut().insert("authorization", header);
    let answer = SecretDiscoveryServiceClient::new(channel)
        .stream_secrets(request)
        .await?;
    let mut responses = answer.into_inner();
    let response = responses.message().await?.context("the stream has ended")?;
    let [resource] = response.resources.as_slice() else {
        anyhow::bail!("{} resources instead of one", response.resources.len());
    };
    let secret = Secret::decode(resource.value.as_slice()).context("read the secret")?;
    ensure!(secret.name == "default", "secret `{}`", secret.name);
    Ok(Sidecar {
        _requests: requests,
        _responses: responses,
        digest: Sha256::digest(&resource.value).into(),
    })
}
