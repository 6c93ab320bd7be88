//! The SDS service: authenticates a stream and keeps it fed.

mod session;

use crate::authenticate::{AuthenticateError, Authenticator, admit};
use crate::behaviour::Behaviour;
use crate::bundle::Bundle;
use crate::identities::Identities;
use crate::metrics::Metrics;
use crate::pods::{Pod, Pods};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryService;
use session::{Protocol, Session};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

/// Everything that streams share.
pub struct Shared {
    /// The node that is served.
    pub node: String,
    /// The namespace that is served.
    pub namespace: String,
    /// Decides.
    pub behaviour: Arc<dyn Behaviour>,
    /// Says who somebody is.
    pub authenticator: Arc<dyn Authenticator>,
    /// The pods of the node.
    pub pods: watch::Receiver<Arc<Pods>>,
    /// Certificates.
    pub identities: Arc<Identities>,
    /// The newest trust bundle.
    pub bundle: watch::Receiver<Option<Arc<Bundle>>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Ends every stream.
    pub shutdown: CancellationToken,
}

impl Shared {
    async fn identify(&self, token: Option<String>) -> Result<Arc<Pod>, Status> {
        let identified = async {
            let token = token.ok_or_else(|| {
                AuthenticateError::Invalid("the request carries no bearer token".to_owned())
            })?;
            let claim = self.authenticator.authenticate(token).await?;
            let (behaviour, pods) = (self.behaviour.as_ref(), self.pods.clone());
            admit(&claim, &self.node, &self.namespace, behaviour, pods).await
        };
        identified.await.map_err(|error| {
            self.metrics.refused.fetch_add(1, Ordering::Relaxed);
            warn!(
                error = &error as &dyn std::error::Error,
                "a stream is refused"
            );
            let text = error.to_string();
            match error {
                // Nobody knows whether the token is good.
                AuthenticateError::Review(_) => Status::unavailable(text),
                AuthenticateError::Invalid(_) | AuthenticateError::Unbound => {
                    Status::unauthenticated(text)
                }
                AuthenticateError::OutsideMesh(_)
                | AuthenticateError::OtherNode(_)
                | AuthenticateError::UnknownPod
                | AuthenticateError::OtherPod => Status::permission_denied(text),
            }
        })
    }
}

type Responses<T> = ReceiverStream<Result<T, Status>>;

/// The gRPC service.
pub struct SecretService {
    shared: Arc<Shared>,
}

impl SecretService {
    /// Serves from `shared`.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn open<P: Protocol>(
        &self,
        request: Request<Streaming<P>>,
    ) -> Result<Response<Responses<P::Response>>, Status> {
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let pod = self.shared.identify(token).await?;
        // At most one response is in flight, and one more goes out when a stream is ended.
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(Session::open(self.shared.clone(), pod).run(request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for SecretService {
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;
    type StreamSecretsStream = Responses<DiscoveryResponse>;

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        self.open(request).await
    }

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        self.open(request).await
    }

    async fn fetch_secrets(
        &self,
        _request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented(
            "secrets are pushed: there are streams only",
        ))
    }
}
