//! The trust bundle: the roots that the authority says are trusted, followed for as long as the agent runs.
//!
//! Invariant: once there is a bundle there always is one; a bundle without roots is not taken.

use crate::authority::Authority;
use crate::backoff::Backoff;
use crate::behaviour::Behaviour;
use crate::certificate::version;
use crate::metrics::Metrics;
use futures::StreamExt as _;
use identity_api::authority::TrustBundle;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

/// The roots that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Root certificates, DER, each once, in an order that follows from what they are.
    pub roots: Vec<Vec<u8>>,
    /// Follows from the roots.
    pub version: String,
}

impl Bundle {
    /// A bundle of these roots. Their order does not matter: replicas of an authority may tell them in different ones.
    #[must_use]
    pub fn new(mut roots: Vec<Vec<u8>>) -> Self {
        roots.sort();
        roots.dedup();
        Self {
            version: version(&roots),
            roots,
        }
    }

    /// Whether one of the roots leads to the first certificate of the chain. Time does not matter: that a clock is
    /// wrong is for the peers to judge.
    #[must_use]
    pub fn vouches_for(&self, chain: &[Vec<u8>]) -> bool {
        let mut chain = chain.iter().map(|der| CertificateDer::from(der.as_slice()));
        let Some(own) = chain.next() else {
            return false;
        };
        let intermediates: Vec<CertificateDer<'_>> = chain.collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(
            self.roots
                .iter()
                .map(|der| CertificateDer::from(der.as_slice())),
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let Ok(verifier) = verifier else {
            return false;
        };
        !matches!(
            verifier.verify_client_cert(&own, &intermediates, UnixTime::now()),
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer
                    | CertificateError::BadSignature
                    | CertificateError::BadEncoding
            ))
        )
    }
}

/// Follows the authority's bundle for ever. `signed` tells that the authority signed, so is there again: no pause goes on
/// then, since a sidecar waits with its first certificate until the agent knows the root.
pub async fn follow(
    authority: Arc<dyn Authority>,
    behaviour: Arc<dyn Behaviour>,
    bundle: watch::Sender<Option<Arc<Bundle>>>,
    signed: Arc<Notify>,
    metrics: Arc<Metrics>,
) {
    let mut backoff = Backoff::default();
    loop {
        match authority.watch_bundle().await {
            Ok(mut told) => {
                while let Some(message) = told.next().await {
                    match message {
                        Ok(message) => {
                            backoff.reset();
                            take(message, behaviour.as_ref(), &bundle, &metrics);
                        }
                        Err(error) => {
                            warn!(%error, "the watch of the trust bundle broke");
                            break;
                        }
                    }
                }
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the trust bundle cannot be watched"
            ),
        }
        metrics
            .bundle_watch_failures
            .fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = backoff.pause(None) => {}
            () = signed.notified() => {}
        }
    }
}

fn take(
    message: TrustBundle,
    behaviour: &dyn Behaviour,
    bundle: &watch::Sender<Option<Arc<Bundle>>>,
    metrics: &Metrics,
) {
    if message.roots.is_empty() {
        warn!("a trust bundle without roots is not taken");
        return;
    }
    let told = Bundle::new(message.roots);
    bundle.send_if_modified(|current| {
        let is_first = current.is_none();
        if current.as_deref() == Some(&told) || !(is_first || behaviour.follows_bundle()) {
            return false;
        }
        info!(
            version = told.version,
            roots = told.roots.len(),
            "a trust bundle is taken"
        );
        metrics.bundles.fetch_add(1, Ordering::Relaxed);
        *current = Some(Arc::new(told));
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::AskAuthorityError;
    use crate::behaviour::Faithful;
    use crate::certificate::Request;
    use crate::stub::Root;
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use futures::stream::{self, BoxStream};
    use identity_api::authority::IssueRequest;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;
    use tokio::time::Instant;
    use tonic::Status;

    /// Tells of one root, once it is there.
    #[derive(Default)]
    struct Late {
        is_there: AtomicBool,
        failures: watch::Sender<u32>,
    }

    impl Authority for Late {
        fn issue(&self, _: IssueRequest) -> BoxFuture<'_, Result<Vec<Vec<u8>>, AskAuthorityError>> {
            std::future::pending().boxed()
        }

        fn watch_bundle(
            &self,
        ) -> BoxFuture<'_, Result<BoxStream<'static, Result<TrustBundle, Status>>, AskAuthorityError>>
        {
            let told = TrustBundle {
                roots: vec![Root::new("root").der],
            };
            let answer = if self.is_there.load(Ordering::Relaxed) {
                let told = stream::iter([Ok(told)]).chain(stream::pending());
                Ok(told.boxed())
            } else {
                self.failures.send_modify(|failures| *failures += 1);
                Err(AskAuthorityError::Call {
                    what: "the trust bundle",
                    source: Box::new(Status::unavailable("away")),
                })
            };
            async { answer }.boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_signs_is_asked_for_the_bundle_at_once() {
        let authority = Arc::new(Late::default());
        let (bundle, mut told) = watch::channel(None);
        let signed = Arc::new(Notify::new());
        let mut failures = authority.failures.subscribe();
        tokio::spawn(follow(
            authority.clone(),
            Arc::new(Faithful),
            bundle,
            signed.clone(),
            Arc::default(),
        ));
        let _ = failures.wait_for(|failures| *failures > 8).await;
        // It pauses for up to five seconds now.
        authority.is_there.store(true, Ordering::Relaxed);
        let since = Instant::now();
        signed.notify_waiters();
        told.wait_for(Option::is_some).await.expect("it follows");
        assert_eq!(since.elapsed(), Duration::ZERO);
    }

    #[test]
    fn only_the_root_that_signed_vouches() {
        // Of the same name: the signature decides.
        let (old, new) = (Root::new("root"), Root::new("root"));
        let id = "spiffe://mesh.local/ns/a/sa/b".parse().expect("an ID");
        let csr = Request::new(id).expect("a request").csr;
        let chain = vec![new.sign(&csr, None, Duration::from_secs(60))];
        let of = |roots: &[&Root]| Bundle::new(roots.iter().map(|root| root.der.clone()).collect());
        assert!(!of(&[&old]).vouches_for(&chain));
        assert!(of(&[&old, &new]).vouches_for(&chain));
        assert!(!of(&[]).vouches_for(&chain));
        assert!(!of(&[&new]).vouches_for(&[]));
    }

    #[test]
    fn what_is_told_is_taken_when_it_says_something_new() {
        let (bundle, mut told) = watch::channel(None);
        let metrics = Metrics::default();
        let (a, b) = (Root::new("a").der, Root::new("b").der);
        let mut tell = |roots: &[&Vec<u8>]| {
            let roots = roots.iter().map(|root| (*root).clone()).collect();
            take(TrustBundle { roots }, &Faithful, &bundle, &metrics);
            let changed = told.has_changed().expect("open");
            told.mark_unchanged();
            changed
        };
        assert!(!tell(&[]));
        assert!(tell(&[&a, &b]));
        assert!(!tell(&[&b, &a, &b]), "only in another order");
        assert!(tell(&[&b]));
        assert!(!tell(&[]));
        let held = bundle.borrow().clone().expect("kept");
        assert_eq!(held.roots, [b]);
    }
}
