//! The gRPC service: issues certificates, and tells of the trust bundle.

use crate::authenticate::{Agent, AuthenticateError, TokenReviews};
use crate::behaviour::Behaviour;
use crate::bundle::Announcements;
use crate::certificate::Draft;
use crate::keeping::Issuer;
use crate::keys::{INTERMEDIATE, Keys};
use crate::metrics::Metrics;
use crate::pods::{FindPodError, PodFacts, Pods};
use crate::request::Request as Csr;
use crate::settings::Settings;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryFutureExt as _};
use identity_api::SpiffeId;
use identity_api::authority::service::certificate_authority_server::CertificateAuthority;
use identity_api::authority::{
    IssueReply, IssueRequest, PodReference, TrustBundle, WatchTrustBundleRequest,
};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

/// What calls share.
pub struct Service {
    /// Names and bounds.
    pub settings: Settings,
    /// Decides.
    pub behaviour: Arc<dyn Behaviour>,
    /// Says who somebody is.
    pub reviews: TokenReviews,
    /// Whom certificates are for.
    pub pods: Pods,
    /// Signs.
    pub keys: Keys,
    /// What is issued below.
    pub issuer: watch::Receiver<Option<Arc<Issuer>>>,
    /// The trust bundle.
    pub announcements: Arc<Announcements>,
    /// Told when something could not be signed.
    pub doubt: Arc<Notify>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Ends every stream.
    pub shutdown: CancellationToken,
}

impl Service {
    async fn identify(&self, metadata: &MetadataMap) -> Result<Agent, Status> {
        let token = metadata
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| Status::unauthenticated("no bearer token"))?;
        self.reviews.identify(token).await.map_err(|error| {
            let text = told(&error);
            match error {
                AuthenticateError::Review(_) | AuthenticateError::ReadPod(_) => {
                    Status::unavailable(text)
                }
                AuthenticateError::Invalid(_)
                | AuthenticateError::Unbound
                | AuthenticateError::Nowhere => Status::unauthenticated(text),
                AuthenticateError::Stranger(_) => Status::permission_denied(text),
            }
        })
    }

    /// The pod, if the agent of its node asks.
    async fn admit(&self, agent: &Agent, asked: &PodReference) -> Result<PodFacts, Status> {
        let denied = |text: String| Err(Status::permission_denied(text));
        let PodReference {
            namespace,
            name,
            uid,
        } = asked;
        if *namespace != self.settings.workload_namespace {
            return denied(format!(
                "namespace `{namespace}` is not that of the mesh's workloads"
            ));
        }
        let pod = self.pods.find(uid).await.map_err(|error| match error {
            FindPodError::Incomplete => Status::unavailable(error.to_string()),
            FindPodError::Unknown => Status::permission_denied(error.to_string()),
        })?;
        if pod.name != *name {
            return denied(format!("the pod of UID {uid} is not called `{name}`"));
        }
        if !self.behaviour.accepts_place(&agent.node, &pod) {
            return denied(format!(
                "pod {name} does not run on node {}, where the agent does",
                agent.node
            ));
        }
        Ok(pod)
    }

    async fn grant(&self, agent: &Agent, asked: &IssueRequest) -> Result<IssueReply, Status> {
        let pod = self.admit(agent, &asked.pod).await?;
        let csr = Csr::read(&asked.csr, self.behaviour.as_ref())
            .map_err(|error| Status::invalid_argument(told(&error)))?;
        let identity = SpiffeId {
            trust_domain: self.settings.trust_domain.clone(),
            namespace: asked.pod.namespace.clone(),
            service_account: pod.service_account,
        };
        if !self.behaviour.accepts_names(&csr.names, &identity) {
            return Err(Status::permission_denied(format!(
                "the request is for {:?} instead of `URI:{identity}` alone",
                csr.names
            )));
        }
        if asked.lifetime_seconds == 0 {
            return Err(Status::invalid_argument("a lifetime of 0 seconds"));
        }
        let lifetime = Duration::from_secs(asked.lifetime_seconds.into());
        let lifetime = self
            .behaviour
            .lifetime(lifetime, self.settings.max_lifetime);
        let issuer = self.issuer.borrow().clone();
        let issuer = issuer.ok_or_else(|| Status::unavailable("there is no intermediate yet"))?;
        let now = SystemTime::now();
        let draft = Draft::pod(&identity, csr.key, &issuer.certificate, now, lifetime);
        let draft =
            draft.ok_or_else(|| Status::unavailable("the intermediate is not valid any more"))?;
        let certificate = self
            .keys
            .sign(&draft, INTERMEDIATE, issuer.place.intermediate)
            .await
            .map_err(|error| {
                self.doubt.notify_one();
                if error.is_denial() {
                    Status::failed_precondition(told(&error))
                } else {
                    Status::unavailable(told(&error))
                }
            })?;
        info!(
            pod = asked.pod.name,
            uid = asked.pod.uid,
            identity = %identity,
            agent = agent.pod,
            node = agent.node,
            root = issuer.place.root,
            intermediate = issuer.place.intermediate,
            lifetime_seconds = lifetime.as_secs(),
            "issued"
        );
        Ok(IssueReply {
            chain: vec![certificate.der().to_vec(), issuer.certificate.der.clone()],
        })
    }

    fn counted<T>(&self, outcome: Result<T, Status>) -> Result<T, Status> {
        outcome.inspect_err(|status| {
            self.metrics.refused.fetch_add(1, Ordering::Relaxed);
            warn!(
                code = ?status.code(),
                reason = status.message(),
                "a request is refused"
            );
        })
    }
}

#[tonic::async_trait]
impl CertificateAuthority for Service {
    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueReply>, Status> {
        let (metadata, _, asked) = request.into_parts();
        let outcome = self
            .identify(&metadata)
            .and_then(async |agent| self.grant(&agent, &asked).await)
            .await;
        let reply = self.counted(outcome)?;
        self.metrics.issued.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(reply))
    }

    type WatchTrustBundleStream = BoxStream<'static, Result<TrustBundle, Status>>;

    async fn watch_trust_bundle(
        &self,
        request: Request<WatchTrustBundleRequest>,
    ) -> Result<Response<Self::WatchTrustBundleStream>, Status> {
        let outcome = self.identify(request.metadata()).await;
        let agent = self.counted(outcome)?;
        info!(
            agent = agent.pod,
            node = agent.node,
            "an agent watches the trust bundle"
        );
        let bundles = self.announcements.clone().stream().map(Ok);
        let bundles = bundles.take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(bundles.boxed()))
    }
}

/// An error with what it comes from.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
