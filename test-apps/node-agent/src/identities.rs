//! One certificate and key for each pod that has a stream, renewed while it has one.
//!
//! Invariant: streams of one pod share one identity. It is dropped when the pod is gone, or when no stream asked for it
//! for a while; until then there is the newest that could be had, even when it is not valid any more.

mod lease;

pub use lease::{BundleSeen, Lease};

use crate::authority::{AskAuthorityError, Authority};
use crate::backoff::Backoff;
use crate::behaviour::Behaviour;
use crate::bundle::Bundle;
use crate::certificate::{Identity, MakeRequestError, Request, UnusableCertificateError};
use crate::metrics::Metrics;
use crate::pods::{Pod, Pods};
use identity_api::SpiffeId;
use identity_api::authority::{IssueRequest, PodReference};
use lease::Entry;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

/// How long an identity is kept for a pod without streams: its sidecar may be starting again.
const KEPT: Duration = Duration::from_secs(60);
/// How long a new certificate is held back for the sake of a root that it needs and that has not arrived at the pod's
/// sidecar. A bundle that never comes must not keep a pod without a valid certificate for ever.
const ROOT_ARRIVES: Duration = Duration::from_secs(5);
/// No certificate is renewed sooner, however short the authority makes its life: that would be asking all the time.
const SOONEST: Duration = Duration::from_millis(500);

/// No pause after a failure is longer than this part of what is left of the last certificate's life.
const PAUSES_LEFT: u32 = 8;

/// How certificates are asked for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The beginning of every SPIFFE ID.
    pub trust_domain: String,
    /// How long they are to be valid.
    pub lifetime: Duration,
}

/// What identities are made from.
pub struct Sources {
    /// Signs.
    pub authority: Arc<dyn Authority>,
    /// Decides.
    pub behaviour: Arc<dyn Behaviour>,
    /// The pods of the node.
    pub pods: watch::Receiver<Arc<Pods>>,
    /// The newest trust bundle.
    pub bundle: watch::Receiver<Option<Arc<Bundle>>>,
    /// Told whenever the authority signed.
    pub signed: Arc<Notify>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// No certificate could be had.
#[derive(Debug, thiserror::Error)]
enum ObtainError {
    #[error("ask for a certificate")]
    Request(#[from] MakeRequestError),
    #[error("be given a certificate")]
    Ask(#[from] AskAuthorityError),
    #[error("use the certificate")]
    Use(#[from] UnusableCertificateError),
    #[error("prepare to serve the certificate")]
    Prepare(#[source] io::Error),
}

/// The identities of the pods of this node.
pub struct Identities {
    terms: Terms,
    sources: Sources,
    /// By the pod's UID.
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    streams: AtomicU64,
}

impl Identities {
    /// None yet.
    #[must_use]
    pub fn new(terms: Terms, sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            terms,
            sources,
            entries: Mutex::default(),
            streams: AtomicU64::new(0),
        })
    }

    /// Registers a stream of a pod. Its certificate is asked for if that has not been done yet.
    pub fn hold(self: &Arc<Self>, pod: &Arc<Pod>) -> Lease {
        let stream = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let mut entries = self.entries();
        let entry = entries.entry(pod.uid.clone()).or_insert_with(|| {
            let entry = Arc::new(Entry::new(pod.clone()));
            tokio::spawn(self.clone().keep(entry.clone()));
            entry
        });
        let lease = Lease::new(entry.clone(), stream);
        self.count(&entries);
        lease
    }

    /// Keeps one identity until its pod is gone or nobody asks for it.
    async fn keep(self: Arc<Self>, entry: Arc<Entry>) {
        let _ends_streams = entry.gone.clone().drop_guard();
        let uid = &entry.pod.uid;
        let mut pods = self.sources.pods.clone();
        tokio::select! {
            () = self.renew(&entry) => {}
            () = self.until_unused(&entry) => {
                info!(pod = entry.pod.name, uid, "an identity is dropped: nobody asks for it");
            }
            _ = pods.wait_for(|pods| pods.complete && !pods.by_uid.contains_key(uid)) => {
                let mut entries = self.entries();
                entries.remove(uid);
                self.count(&entries);
                info!(pod = entry.pod.name, uid, "an identity is dropped: its pod is gone");
            }
        }
    }

    /// Returns when no stream was there for a while; the identity has been taken out then.
    async fn until_unused(&self, entry: &Entry) {
        let mut streams = entry.streams.subscribe();
        loop {
            let _ = streams
                .wait_for(|streams| streams.is_empty())
                .await
                .map(drop);
            let comes_back = streams.wait_for(|streams| !streams.is_empty());
            if tokio::time::timeout(KEPT, comes_back).await.is_ok() {
                continue;
            }
            // Streams are registered below this lock, so none can come in between.
            let mut entries = self.entries();
            if entry.streams.borrow().is_empty() {
                entries.remove(&entry.pod.uid);
                self.count(&entries);
                return;
            }
        }
    }

    /// Obtains certificates for ever, each in time before the last one ends.
    async fn renew(&self, entry: &Entry) {
        let metrics = &self.sources.metrics;
        let mut backoff = Backoff::default();
        let mut ends = Instant::now();
        loop {
            match self.obtain(&entry.pod).await {
                Ok(identity) => {
                    backoff.reset();
                    ends = Instant::now() + identity.lifetime;
                    metrics.issued.fetch_add(1, Ordering::Relaxed);
                    let pause = self.sources.behaviour.renews_after(identity.lifetime);
                    let next = Instant::now() + pause.max(SOONEST);
                    self.root_first(entry, &identity).await;
                    let identity = Arc::new(identity);
                    let is_renewal = entry
                        .identity
                        .send_replace(Some(identity.clone()))
                        .is_some();
                    if is_renewal {
                        metrics.renewals.fetch_add(1, Ordering::Relaxed);
                    }
                    self.tell(&entry.pod, &identity, is_renewal);
                    if !self.sources.behaviour.renews() {
                        return std::future::pending().await;
                    }
                    tokio::time::sleep_until(next).await;
                }
                Err(error) => {
                    metrics.failures.fetch_add(1, Ordering::Relaxed);
                    let has_one = self.serve_unrenewed(entry);
                    warn!(
                        error = &error as &dyn std::error::Error,
                        pod = entry.pod.name,
                        has_one,
                        "a certificate could not be had"
                    );
                    if has_one && !self.sources.behaviour.asks_again() {
                        return std::future::pending().await;
                    }
                    if has_one && !self.sources.behaviour.backs_off() {
                        // Others must have their turn all the same.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    // An authority that comes back late must find us asking before the certificate ends.
                    let left = ends.saturating_duration_since(Instant::now());
                    backoff
                        .pause(Some(left / PAUSES_LEFT).filter(|most| !most.is_zero()))
                        .await;
                }
            }
        }
    }

    /// Writes into the log which certificate a pod has now, and nothing of its key.
    fn tell(&self, pod: &Pod, identity: &Identity, is_renewal: bool) {
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let (serial, not_after) = identity.serial_and_end().unwrap_or_default();
        info!(
            pod = pod.name,
            identity = %self.id_of(pod),
            serial,
            not_after,
            is_renewal,
            "a certificate has come"
        );
    }

    /// Goes on without a new certificate. Whether there is an older one.
    fn serve_unrenewed(&self, entry: &Entry) -> bool {
        let held = entry.identity.borrow().clone();
        let Some(held) = held else {
            return false;
        };
        let behaviour = &self.sources.behaviour;
        let served = behaviour.serves_unrenewed(&self.id_of(&entry.pod), &held);
        if !Arc::ptr_eq(&served, &held) {
            entry.identity.send_replace(Some(served));
        }
        true
    }

    /// Who a pod is.
    pub(crate) fn id_of(&self, pod: &Pod) -> SpiffeId {
        SpiffeId {
            trust_domain: self.terms.trust_domain.clone(),
            namespace: pod.namespace.clone(),
            service_account: pod.service_account.clone(),
        }
    }

    /// A certificate for a new key.
    async fn obtain(&self, pod: &Pod) -> Result<Identity, ObtainError> {
        let lifetime = self.terms.lifetime;
        let request = Request::new(self.id_of(pod))?;
        let asked = IssueRequest {
            csr: request.csr.clone(),
            pod: PodReference {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
            },
            lifetime_seconds: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
        };
        let chain = self.sources.authority.issue(asked).await?;
        self.sources.signed.notify_waiters();
        let identity = request.answered(chain, lifetime, SystemTime::now())?;
        let behaviour = &self.sources.behaviour;
        behaviour
            .before_serving(pod, &identity)
            .map_err(ObtainError::Prepare)?;
        Ok(identity)
    }

    /// Waits until the bundle has the root that a certificate needs, and every stream of the pod that asked for the
    /// bundle has answered one that does. Envoy asks for each secret on a stream of its own, so the order on one
    /// stream does not order them.
    async fn root_first(&self, entry: &Entry, identity: &Identity) {
        let vouches = |bundle: &Bundle| bundle.vouches_for(&identity.chain);
        let mut bundle = self.sources.bundle.clone();
        let mut streams = entry.streams.subscribe();
        let arrives = async {
            let _ = bundle
                .wait_for(|bundle| bundle.as_deref().is_some_and(vouches))
                .await
                .map(drop);
            let _ = streams
                .wait_for(|streams| {
                    streams.values().all(|seen| match seen {
                        BundleSeen::NotAsked => true,
                        BundleSeen::Asked => false,
                        BundleSeen::Answered(bundle) => vouches(bundle),
                    })
                })
                .await
                .map(drop);
        };
        if tokio::time::timeout(ROOT_ARRIVES, arrives).await.is_err() {
            self.sources
                .metrics
                .rootless
                .fetch_add(1, Ordering::Relaxed);
            warn!(
                pod = entry.pod.name,
                "a certificate is served though its root has not arrived"
            );
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, entries: &HashMap<String, Arc<Entry>>) {
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        self.sources
            .metrics
            .identities
            .store(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
