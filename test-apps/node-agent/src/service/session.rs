//! One stream of one pod, in either form of the protocol.

use super::Shared;
use crate::bundle::Bundle;
use crate::certificate::Identity;
use crate::identities::{BundleSeen, Lease};
use crate::pods::Pod;
use crate::secret::{Kind, TYPE_URL, of_bundle, of_identity};
use crate::stream::{Form, Meaning, Names, Request, Response, Stream, Versions};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

/// A form of the protocol: how its requests are read and its responses written.
pub(super) trait Protocol: Sized + Send + 'static {
    /// What is sent.
    type Response: Send + 'static;
    /// Which.
    const FORM: Form;

    /// The type that is asked for, and the request.
    fn read(self) -> (String, Request);

    /// Writes a response; `resource` makes each of its resources.
    fn write(response: Response, resource: impl Fn(Kind) -> Option<Any>) -> Self::Response;
}

impl Protocol for DiscoveryRequest {
    type Response = DiscoveryResponse;
    const FORM: Form = Form::StateOfTheWorld;

    fn read(self) -> (String, Request) {
        let request = Request {
            names: Names::Exactly(self.resource_names),
            nonce: self.response_nonce,
            error: self.error_detail.map(|detail| detail.message),
        };
        (self.type_url, request)
    }

    fn write(response: Response, resource: impl Fn(Kind) -> Option<Any>) -> DiscoveryResponse {
        let kinds = response.resources.into_iter().map(|(kind, _)| kind);
        DiscoveryResponse {
            version_info: response.version,
            resources: kinds.filter_map(resource).collect(),
            type_url: TYPE_URL.to_owned(),
            nonce: response.nonce,
            ..DiscoveryResponse::default()
        }
    }
}

impl Protocol for DeltaDiscoveryRequest {
    type Response = DeltaDiscoveryResponse;
    const FORM: Form = Form::Delta;

    fn read(self) -> (String, Request) {
        let request = Request {
            names: Names::Change {
                more: self.resource_names_subscribe,
                less: self.resource_names_unsubscribe,
                held: self.initial_resource_versions.into_iter().collect(),
            },
            nonce: self.response_nonce,
            error: self.error_detail.map(|detail| detail.message),
        };
        (self.type_url, request)
    }

    fn write(response: Response, resource: impl Fn(Kind) -> Option<Any>) -> DeltaDiscoveryResponse {
        let resources = response
            .resources
            .into_iter()
            .map(|(kind, version)| Resource {
                name: kind.name().to_owned(),
                version,
                resource: resource(kind),
                ..Resource::default()
            });
        DeltaDiscoveryResponse {
            system_version_info: response.version,
            resources: resources.collect(),
            type_url: TYPE_URL.to_owned(),
            removed_resources: response.removed,
            nonce: response.nonce,
            ..DeltaDiscoveryResponse::default()
        }
    }
}

/// One stream and what is known of it.
pub(super) struct Session {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    lease: Lease,
    identity: watch::Receiver<Option<Arc<Identity>>>,
    bundle: watch::Receiver<Option<Arc<Bundle>>>,
    /// The bundle in the response that was sent last with one.
    sent_bundle: Option<Arc<Bundle>>,
}

impl Session {
    pub(super) fn open(shared: Arc<Shared>, pod: Arc<Pod>) -> Self {
        let served = shared.behaviour.identity_of(&pod, &shared.pods.borrow());
        let lease = shared.identities.hold(&served);
        shared.metrics.streams.fetch_add(1, Ordering::Relaxed);
        shared.metrics.streams_total.fetch_add(1, Ordering::Relaxed);
        info!(pod = pod.name, uid = pod.uid, "a sidecar connects");
        Self {
            identity: lease.identity(),
            bundle: shared.bundle.clone(),
            sent_bundle: None,
            shared,
            pod,
            lease,
        }
    }

    /// Feeds the stream until the client leaves, its pod is gone or the agent ends.
    pub(super) async fn run<P: Protocol>(
        mut self,
        mut requests: Streaming<P>,
        responses: mpsc::Sender<Result<P::Response, Status>>,
    ) {
        let mut stream = Stream::new(P::FORM);
        let (shutdown, gone) = (self.shared.shutdown.clone(), self.lease.gone());
        let end = loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    if let Some(last) = self.last::<P>(&mut stream) {
                        let _ = responses.send(Ok(last)).await;
                    }
                    break Some(Status::unavailable("this agent is going"));
                }
                () = gone.cancelled() => break Some(Status::permission_denied("the pod is gone")),
                request = requests.message() => match request {
                    Ok(Some(request)) => {
                        let (url, request) = request.read();
                        if url != TYPE_URL {
                            let text = format!("`{url}` is not served here");
                            break Some(Status::invalid_argument(text));
                        }
                        self.receive(&mut stream, &request);
                    }
                    Ok(None) => break None,
                    Err(error) => {
                        debug!(%error, pod = self.pod.name, "a stream broke");
                        break None;
                    }
                },
                changed = self.bundle.changed() => if changed.is_err() { break None },
                changed = self.identity.changed() => {
                    if changed.is_err() {
                        break None;
                    }
                    let is_replaced = stream.version_of(Kind::Certificate).is_some();
                    if is_replaced && !self.shared.behaviour.keeps_streams() {
                        break Some(Status::unavailable("the certificate is another one"));
                    }
                    if is_replaced && !self.shared.behaviour.sends_renewed(P::FORM) {
                        continue;
                    }
                }
            }
            if let Some(response) = self.due::<P>(&mut stream) {
                self.shared
                    .metrics
                    .responses
                    .fetch_add(1, Ordering::Relaxed);
                if responses.send(Ok(response)).await.is_err() {
                    break None;
                }
            }
        };
        if let Some(status) = end {
            let _ = responses.send(Err(status)).await;
        }
    }

    fn receive(&mut self, stream: &mut Stream, request: &Request) {
        let asked_before = stream.asks_for(Kind::Bundle);
        let meaning = stream.receive(request);
        match (asked_before, stream.asks_for(Kind::Bundle)) {
            (false, true) => self.lease.has_seen(BundleSeen::Asked),
            (true, false) => self.lease.has_seen(BundleSeen::NotAsked),
            _ => {}
        }
        let metrics = &self.shared.metrics;
        let answered = match meaning {
            Meaning::Subscription => return,
            Meaning::Stale => {
                metrics.stale.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Meaning::Acknowledgement(kinds) => {
                metrics.acknowledged.fetch_add(1, Ordering::Relaxed);
                kinds
            }
            Meaning::Rejection(kinds) => {
                metrics.rejected.fetch_add(1, Ordering::Relaxed);
                let message = request.error.as_deref().unwrap_or_default();
                warn!(
                    pod = self.pod.name,
                    ?kinds,
                    message,
                    "an update is rejected"
                );
                kinds
            }
        };
        if answered.contains(&Kind::Bundle)
            && stream.asks_for(Kind::Bundle)
            && let Some(bundle) = &self.sent_bundle
        {
            self.lease.has_seen(BundleSeen::Answered(bundle.clone()));
        }
    }

    /// What is sent before the agent goes: nothing, unless the pod is to be served another certificate.
    fn last<P: Protocol>(&mut self, stream: &mut Stream) -> Option<P::Response> {
        let held = self.identity.borrow().clone()?;
        let id = self.shared.identities.id_of(&self.pod);
        let served = self.shared.behaviour.serves_last(&id, &held);
        if Arc::ptr_eq(&served, &held) {
            return None;
        }
        self.due_with::<P>(stream, Some(served))
    }

    /// The response that is due now.
    fn due<P: Protocol>(&mut self, stream: &mut Stream) -> Option<P::Response> {
        let identity = self.identity.borrow_and_update().clone();
        self.due_with::<P>(stream, identity)
    }

    /// The response that is due when the pod is to have this identity.
    fn due_with<P: Protocol>(
        &mut self,
        stream: &mut Stream,
        identity: Option<Arc<Identity>>,
    ) -> Option<P::Response> {
        let bundle = self.bundle.borrow_and_update().clone();
        let mut versions = Versions::new();
        if let Some(bundle) = &bundle {
            versions.insert(Kind::Bundle, bundle.version.clone());
        }
        if let Some(identity) = &identity {
            versions.insert(Kind::Certificate, identity.version.clone());
        }
        if let Some(bundle) = &bundle
            && self.sent_bundle.is_none()
            && stream.version_of(Kind::Bundle) == Some(bundle.version.as_str())
        {
            // The client has brought it along from an earlier stream. It is not sent again, so no answer will come.
            self.sent_bundle = Some(bundle.clone());
            self.lease.has_seen(BundleSeen::Answered(bundle.clone()));
        }
        let response = stream.due(&versions)?;
        if response
            .resources
            .iter()
            .any(|(kind, _)| *kind == Kind::Bundle)
        {
            self.sent_bundle.clone_from(&bundle);
        }
        let behaviour = &self.shared.behaviour;
        Some(P::write(response, |kind| match kind {
            Kind::Bundle => bundle.as_deref().map(of_bundle),
            Kind::Certificate => identity
                .as_deref()
                .map(|identity| of_identity(identity, behaviour.served(&identity.chain))),
        }))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.metrics.streams.fetch_sub(1, Ordering::Relaxed);
        info!(pod = self.pod.name, uid = self.pod.uid, "a sidecar leaves");
    }
}
