//! The ADS service: authenticates a stream, of either form, and keeps it fed.

use crate::acknowledgements::{Acknowledgements, RecipientReport, standings};
use crate::authenticate::{AuthenticateError, Authenticator, admit};
use crate::behaviour::{Behaviour, Recipient};
use crate::metrics::Metrics;
use crate::snapshot::{Kind, Snapshot};
use crate::stream::delta::DeltaStream;
use crate::stream::{Form, Meaning, Stream};
use crate::translate::Translator;
use crate::wire::{DiscoveryCodec, Outgoing, Wire};
use crate::world::{Sidecar, World, WorldStore};
use futures::future::BoxFuture;
use std::collections::HashSet;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

/// Everything that streams share.
pub struct Shared {
    /// `control_plane.identifier`: the name of this replica.
    pub identifier: Arc<str>,
    /// The newest world.
    pub store: WorldStore,
    /// Decides.
    pub behaviour: Arc<dyn Behaviour>,
    /// Says who somebody is.
    pub authenticator: Arc<dyn Authenticator>,
    /// Makes resources.
    pub translator: Translator,
    /// Where streams report.
    pub acknowledgements: Arc<Acknowledgements>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Ends every stream.
    pub shutdown: CancellationToken,
    streams: AtomicU64,
    seen: Mutex<HashSet<String>>,
}

impl Shared {
    /// A replica without streams.
    #[must_use]
    pub fn new(
        identifier: &str,
        store: WorldStore,
        behaviour: Arc<dyn Behaviour>,
        authenticator: Arc<dyn Authenticator>,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            identifier: identifier.into(),
            store,
            behaviour,
            authenticator,
            translator: Translator::default(),
            acknowledgements: Arc::default(),
            metrics,
            shutdown,
            streams: AtomicU64::new(0),
            seen: Mutex::default(),
        }
    }

    async fn identify(&self, token: Option<String>) -> Result<Arc<Sidecar>, Status> {
        let token = token.ok_or_else(|| Status::unauthenticated("no bearer token"))?;
        let identified = async {
            let claim = self.authenticator.authenticate(token).await?;
            admit(&self.store, &claim).await
        };
        identified.await.map_err(|error| {
            self.metrics.refused.fetch_add(1, Ordering::Relaxed);
            warn!(
                error = &error as &dyn std::error::Error,
                "a stream is refused"
            );
            match error {
                AuthenticateError::Review(_) | AuthenticateError::UnknownPod => {
                    Status::unavailable(error.to_string())
                }
                AuthenticateError::Invalid(_) | AuthenticateError::Unbound => {
                    Status::unauthenticated(error.to_string())
                }
                AuthenticateError::OutsideMesh(_) => Status::permission_denied(error.to_string()),
            }
        })
    }
}

/// What is sent on a stream of a form.
type Sent<W> = Result<Outgoing<<W as Wire>::Response>, Status>;

/// One stream and what is known of it.
struct Session<W> {
    shared: Arc<Shared>,
    recipient: Recipient,
    since: i64,
    stream: W,
    counted: Counted,
    snapshot: Option<(Arc<World>, Snapshot)>,
}

/// A stream counts and reports as long as this is there.
struct Counted {
    shared: Arc<Shared>,
    pod: String,
    form: Form,
    stream: u64,
}

impl Counted {
    fn new(shared: Arc<Shared>, pod: &str, form: Form) -> Self {
        shared.metrics.streams.fetch_add(1, Ordering::Relaxed);
        shared.metrics.streams_total.fetch_add(1, Ordering::Relaxed);
        if let Some(streams) = shared.metrics.streams_by_form.get(&form) {
            streams.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            stream: shared.streams.fetch_add(1, Ordering::Relaxed) + 1,
            pod: pod.to_owned(),
            form,
            shared,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.acknowledgements.remove(self.stream);
        self.shared.metrics.streams.fetch_sub(1, Ordering::Relaxed);
        if let Some(streams) = self.shared.metrics.streams_by_form.get(&self.form) {
            streams.fetch_sub(1, Ordering::Relaxed);
        }
        info!(pod = self.pod, "a sidecar leaves");
    }
}

impl<W: Wire> Session<W> {
    fn open(shared: Arc<Shared>, sidecar: Arc<Sidecar>) -> Self {
        let seen_before = {
            let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let world = shared.store.current();
            // Pods that are gone do not come back; they are forgotten before they outnumber the others.
            if seen.len() > 2 * world.sidecars.len() {
                seen.retain(|uid| world.sidecars.contains_key(uid));
            }
            !seen.insert(sidecar.uid.clone())
        };
        info!(
            pod = sidecar.pod,
            data_center = sidecar.data_center,
            form = W::FORM.short(),
            "a sidecar connects"
        );
        let counted = Counted::new(shared.clone(), &sidecar.pod, W::FORM);
        Self {
            recipient: Recipient {
                sidecar,
                stream: counted.stream,
                resumed: seen_before,
                form: W::FORM,
            },
            counted,
            since: jiff::Timestamp::now().as_millisecond(),
            stream: W::open(shared.behaviour.as_ref()),
            shared,
            snapshot: None,
        }
    }

    /// Feeds the stream until the client leaves or the control plane ends.
    async fn run(mut self, mut requests: Streaming<W::Message>, responses: mpsc::Sender<Sent<W>>) {
        let mut worlds = self.shared.store.subscribe();
        let shutdown = self.shared.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    let _ = responses.send(Err(Status::unavailable("this replica is going"))).await;
                    break;
                }
                request = requests.message() => match request {
                    Ok(Some(request)) => self.receive(request),
                    Ok(None) => break,
                    Err(error) => {
                        debug!(%error, pod = self.recipient.sidecar.pod, "a stream broke");
                        break;
                    }
                },
                changed = worlds.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    worlds.mark_unchanged();
                    self.snapshot = None;
                }
            }
            if !self.push(&responses).await {
                break;
            }
        }
    }

    fn receive(&mut self, message: W::Message) {
        let asked = W::read(message);
        let Some(kind) = Kind::from_url(&asked.type_url) else {
            debug!(url = asked.type_url, "a type that is not served");
            return;
        };
        if asked.resumes {
            self.recipient.resumed = true;
            self.snapshot = None;
        }
        let metrics = &self.shared.metrics;
        match self.stream.receive(kind, &asked.request) {
            Meaning::Subscription => {}
            Meaning::Acknowledgement => metrics.count(kind, |m| &m.acknowledged),
            Meaning::Stale => metrics.count(kind, |m| &m.stale),
            Meaning::Rejection => {
                metrics.count(kind, |m| &m.rejected);
                warn!(
                    pod = self.recipient.sidecar.pod,
                    kind = kind.short(),
                    message = asked.error.unwrap_or_default(),
                    "an update is rejected"
                );
            }
        }
    }

    /// Sends what is due and reports; false when the client is gone.
    async fn push(&mut self, responses: &mpsc::Sender<Sent<W>>) -> bool {
        let (world, snapshot) = match self.snapshot.take() {
            Some(known) => known,
            None => self.compute(),
        };
        for response in self.stream.due(&snapshot) {
            self.shared.metrics.sent(W::size(&response));
            let identifier = self.shared.identifier.clone();
            if responses
                .send(Ok(Outgoing {
                    response,
                    identifier,
                }))
                .await
                .is_err()
            {
                return false;
            }
        }
        let report = RecipientReport {
            pod: self.recipient.sidecar.pod.clone(),
            uid: self.recipient.sidecar.uid.clone(),
            since: self.since,
            policies: standings(&world, &snapshot.basis, |kind| self.stream.standing(kind)),
        };
        self.shared
            .acknowledgements
            .put(self.counted.stream, report);
        self.snapshot = Some((world, snapshot));
        true
    }

    fn compute(&mut self) -> (Arc<World>, Snapshot) {
        let shared = &self.shared;
        let world = shared.store.current();
        // A pod that is being deleted goes on with what is known of it.
        if let Some(sidecar) = world.sidecars.get(&self.recipient.sidecar.uid) {
            self.recipient.sidecar = sidecar.clone();
        }
        let world = shared.behaviour.view(world, &self.recipient);
        let effective = shared.behaviour.effective(&world, &self.recipient);
        let snapshot = shared.translator.snapshot(
            &world,
            &self.recipient.sidecar,
            &effective,
            shared.behaviour.traffic(),
            shared.behaviour.security(),
            W::FORM,
        );
        (world, snapshot)
    }
}

/// The gRPC service. It is written by hand where the generated one would encode every response anew.
#[derive(Clone)]
pub struct DiscoveryService {
    shared: Arc<Shared>,
}

impl DiscoveryService {
    /// Serves from `shared`.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl NamedService for DiscoveryService {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tower::Service<http::Request<tonic::body::Body>> for DiscoveryService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            Ok(match request.uri().path().rsplit('/').next() {
                Some("StreamAggregatedResources") => serve::<Stream>(shared, request).await,
                Some("DeltaAggregatedResources") => serve::<DeltaStream>(shared, request).await,
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

async fn serve<W: Wire>(
    shared: Arc<Shared>,
    request: http::Request<tonic::body::Body>,
) -> http::Response<tonic::body::Body> {
    let method = Method::<W>(shared, PhantomData);
    Grpc::new(DiscoveryCodec::<W>::default())
        .streaming(method, request)
        .await
}

/// The method that serves a form.
struct Method<W>(Arc<Shared>, PhantomData<fn() -> W>);

impl<W: Wire> StreamingService<W::Message> for Method<W> {
    type Response = Outgoing<W::Response>;
    type ResponseStream = ReceiverStream<Sent<W>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<W::Message>>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let token = request
                .metadata()
                .get("authorization")
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.strip_prefix("Bearer "))
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty());
            let sidecar = shared.identify(token).await?;
            // At most one response of each type is in flight, so this is never full for long.
            let (sender, receiver) = mpsc::channel(2 * Kind::ALL.len());
            tokio::spawn(Session::<W>::open(shared, sidecar).run(request.into_inner(), sender));
            Ok(tonic::Response::new(ReceiverStream::new(receiver)))
        })
    }
}
