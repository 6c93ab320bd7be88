//! One ADS stream of a simple client, in either form of xDS, over a connection of its own.

use crate::mesh::{HOST, Identity};
use anyhow::Context as _;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use std::collections::HashMap;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Request, Streaming};

/// The control plane's port for sidecars.
const PORT: u16 = 15012;
/// Requests that wait for the connection: one of each type and its acknowledgement.
const WAITING: usize = 16;

/// The form that a sidecar speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    StateOfTheWorld,
    Delta,
}

impl Form {
    pub(crate) const ALL: [Self; 2] = [Self::StateOfTheWorld, Self::Delta];

    /// For programs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::StateOfTheWorld => "stateOfTheWorld",
            Self::Delta => "delta",
        }
    }
}

/// A response, in whatever form it came.
pub(crate) struct News {
    pub(crate) type_url: String,
    /// Encoded.
    pub(crate) resources: Vec<Vec<u8>>,
    version: String,
    nonce: String,
}

/// A stream that nothing was asked on yet.
pub(crate) enum Stream {
    StateOfTheWorld {
        requests: mpsc::Sender<DiscoveryRequest>,
        responses: Streaming<DiscoveryResponse>,
        /// What is subscribed to by type: each request says it anew.
        names: HashMap<String, Vec<String>>,
    },
    Delta {
        requests: mpsc::Sender<DeltaDiscoveryRequest>,
        responses: Streaming<DeltaDiscoveryResponse>,
    },
}

/// The control plane, by the certificate that it shows.
pub(crate) fn control_plane(root: &str) -> anyhow::Result<Endpoint> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(root))
        .domain_name(HOST);
    Endpoint::from_shared(format!("https://127.0.0.1:{PORT}"))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .context("name the control plane")
}

impl Stream {
    /// Connects, and opens the stream of this sidecar.
    pub(crate) async fn open(
        form: Form,
        control_plane: &Endpoint,
        identity: &Identity,
    ) -> anyhow::Result<Self> {
        let channel = control_plane.connect().await.context("connect")?;
        let mut service = AggregatedDiscoveryServiceClient::new(channel);
        match form {
            Form::StateOfTheWorld => {
                let (requests, receiver) = mpsc::channel(WAITING);
                let request = with_token(receiver, identity)?;
                let response = service.stream_aggregated_resources(request).await?;
                Ok(Self::StateOfTheWorld {
                    requests,
                    responses: response.into_inner(),
                    names: HashMap::new(),
                })
            }
            Form::Delta => {
                let (requests, receiver) = mpsc::channel(WAITING);
                let request = with_token(receiver, identity)?;
                let response = service.delta_aggregated_resources(request).await?;
                Ok(Self::Delta {
                    requests,
                    responses: response.into_inner(),
                })
            }
        }
    }

    /// Subscribes to a type, once: to these names, or with none to everything.
    pub(crate) async fn subscribe(
        &mut self,
        type_url: &str,
        wanted: Vec<String>,
    ) -> anyhow::Result<()> {
        match self {
            Self::StateOfTheWorld {
                requests, names, ..
            } => {
                names.insert(type_url.to_owned(), wanted.clone());
                let request = DiscoveryRequest {
                    type_url: type_url.to_owned(),
                    resource_names: wanted,
                    ..DiscoveryRequest::default()
                };
                requests.send(request).await.context("subscribe")
            }
            Self::Delta { requests, .. } => {
                let request = DeltaDiscoveryRequest {
                    type_url: type_url.to_owned(),
                    resource_names_subscribe: wanted,
                    ..DeltaDiscoveryRequest::default()
                };
                requests.send(request).await.context("subscribe")
            }
        }
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> anyhow::Result<News> {
        match self {
            Self::StateOfTheWorld { responses, .. } => {
                let response = responses.message().await?.context("the stream has ended")?;
                let resources = response.resources.into_iter();
                Ok(News {
                    type_url: response.type_url,
                    resources: resources.map(|resource| resource.value).collect(),
                    version: response.version_info,
                    nonce: response.nonce,
                })
            }
            Self::Delta { responses, .. } => {
                let response = responses.message().await?.context("the stream has ended")?;
                let resources = response.resources.into_iter();
                Ok(News {
                    type_url: response.type_url,
                    resources: resources
                        .filter_map(|resource| Some(resource.resource?.value))
                        .collect(),
                    version: response.system_version_info,
                    nonce: response.nonce,
                })
            }
        }
    }

    /// Hands the acknowledgement of a response to the connection.
    pub(crate) async fn acknowledge(&self, news: News) -> anyhow::Result<()> {
        match self {
            Self::StateOfTheWorld {
                requests, names, ..
            } => {
                let request = DiscoveryRequest {
                    resource_names: names.get(&news.type_url).cloned().unwrap_or_default(),
                    type_url: news.type_url,
                    version_info: news.version,
                    response_nonce: news.nonce,
                    ..DiscoveryRequest::default()
                };
                requests.send(request).await.context("acknowledge")
            }
            Self::Delta { requests, .. } => {
                let request = DeltaDiscoveryRequest {
                    type_url: news.type_url,
                    response_nonce: news.nonce,
                    ..DeltaDiscoveryRequest::default()
                };
                requests.send(request).await.context("acknowledge")
            }
        }
    }
}

fn with_token<T>(
    receiver: mpsc::Receiver<T>,
    identity: &Identity,
) -> anyhow::Result<Request<ReceiverStream<T>>> {
    let mut request = Request::new(ReceiverStream::new(receiver));
    let header = format!("Bearer {}", identity.token)
        .parse()
        .context("write the token")?;
    request.metadata_mut().insert("authorization", header);
    Ok(request)
}
