//! The trust bundle on its way to node agents, and how far each of them is.
//!
//! Invariant: a stream is counted as told of a bundle only when the bundle was taken from it to be written to its
//! connection; a stream that has ended is not waited for.

use crate::certificate::Authority;
use crate::partner::Partner;
use futures::Stream;
use identity_api::authority::TrustBundle;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A trust bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Counts the bundles of this replica, first = 1.
    pub revision: u64,
    /// Roots by version.
    pub roots: BTreeMap<u32, Arc<Authority>>,
    /// Roots of others by name.
    pub partners: BTreeMap<String, Arc<Partner>>,
}

impl Bundle {
    /// All roots, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let own = self.roots.values().map(|root| root.pem.as_str());
        let others = self.partners.values().map(|root| root.pem.as_str());
        own.chain(others).collect()
    }

    fn message(&self) -> TrustBundle {
        let own = self.roots.values().map(|root| root.der.clone());
        let others = self.partners.values().map(|root| root.der.clone());
        TrustBundle {
            roots: own.chain(others).collect(),
        }
    }
}

/// What is announced, and who has heard it.
pub struct Announcements {
    current: watch::Sender<Option<Arc<Bundle>>>,
    streams: Mutex<BTreeMap<u64, u64>>,
    progress: watch::Sender<()>,
    next: AtomicU64,
}

impl Default for Announcements {
    fn default() -> Self {
        Self {
            current: watch::Sender::new(None),
            streams: Mutex::default(),
            progress: watch::Sender::new(()),
            next: AtomicU64::new(0),
        }
    }
}

impl Announcements {
    /// Tells every stream of these roots, unless they are what was told last.
    pub fn announce(
        &self,
        roots: BTreeMap<u32, Arc<Authority>>,
        partners: BTreeMap<String, Arc<Partner>>,
    ) -> Arc<Bundle> {
        let mut announced = None;
        self.current.send_if_modified(|current| {
            let revision = match current {
                Some(bundle) if bundle.roots == roots && bundle.partners == partners => {
                    announced = Some(bundle.clone());
                    return false;
                }
                Some(bundle) => bundle.revision + 1,
                None => 1,
            };
            let bundle = Arc::new(Bundle {
                revision,
                roots,
                partners,
            });
            announced = Some(bundle.clone());
            *current = Some(bundle);
            true
        });
        // It was set just now; what is current is the same.
        announced.unwrap_or_else(|| {
            Arc::new(Bundle {
                revision: 0,
                roots: BTreeMap::new(),
                partners: BTreeMap::new(),
            })
        })
    }

    /// Every stream has been told of a bundle of at least this revision.
    #[must_use]
    pub fn is_everywhere(&self, revision: u64) -> bool {
        let streams = self.streams();
        streams.values().all(|told| *told >= revision)
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams_open(&self) -> usize {
        self.streams().len()
    }

    /// Changes whenever a stream has been told something, or has ended.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<()> {
        self.progress.subscribe()
    }

    /// A new stream: the bundle as soon as there is one, and each later one; one that is superseded before it could be
    /// sent is left out.
    pub fn stream(self: Arc<Self>) -> impl Stream<Item = TrustBundle> + Send + use<> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let bundles = self.current.subscribe();
        self.streams().insert(number, 0);
        let listener = Listener {
            announcements: self,
            number,
            taken: 0,
        };
        futures::stream::unfold((listener, bundles), async |(mut listener, mut bundles)| {
            // Who asks for the next one has taken the one before.
            listener.told();
            let taken = listener.taken;
            let is_newer = |bundle: &Option<Arc<Bundle>>| {
                bundle
                    .as_ref()
                    .is_some_and(|bundle| bundle.revision > taken)
            };
            let bundle = bundles.wait_for(is_newer).await.ok()?.clone()?;
            listener.taken = bundle.revision;
            Some((bundle.message(), (listener, bundles)))
        })
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, u64>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream, as long as it is there.
struct Listener {
    announcements: Arc<Announcements>,
    number: u64,
    taken: u64,
}

impl Listener {
    fn told(&self) {
        self.announcements.streams().insert(self.number, self.taken);
        self.announcements.progress.send_replace(());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.announcements.streams().remove(&self.number);
        self.announcements.progress.send_replace(());
    }
}

/// Since when each root is in the published bundle, without a break.
#[derive(Debug, Default)]
pub struct Spreading {
    roots: BTreeMap<u32, (Instant, u64)>,
}

impl Spreading {
    /// This bundle is published now.
    pub fn published(&mut self, bundle: &Bundle) {
        self.roots
            .retain(|version, _| bundle.roots.contains_key(version));
        for version in bundle.roots.keys() {
            self.roots
                .entry(*version)
                .or_insert_with(|| (Instant::now(), bundle.revision));
        }
    }

    /// For how long a root has been published, and with which revision it came; none when it is not.
    #[must_use]
    pub fn of(&self, version: u32) -> Option<(Duration, u64)> {
        let (since, revision) = self.roots.get(&version)?;
        Some((since.elapsed(), *revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Draft;
    use crate::partner::tests::certificate;
    use crate::public_key::PublicKey;
    use futures::{FutureExt as _, StreamExt as _};
    use rcgen::{BasicConstraints, IsCa, KeyPair, PublicKeyData as _, SigningKey as _};
    use std::time::SystemTime;

    fn roots(versions: &[u32]) -> BTreeMap<u32, Arc<Authority>> {
        let pair = KeyPair::generate().expect("a key");
        let key = PublicKey::read(&pair.subject_public_key_info()).expect("accepted");
        let draft = Draft::root("root", key, SystemTime::now());
        let signature = pair.sign(&draft.message().expect("a message"));
        let certificate = draft.signed(&signature.expect("a signature"));
        let pem = certificate.expect("a certificate").pem();
        let root = Arc::new(Authority::read(&pem).expect("a root"));
        versions.iter().map(|v| (*v, root.clone())).collect()
    }

    #[tokio::test]
    async fn a_stream_is_told_now_and_at_each_change() {
        let announcements = Arc::new(Announcements::default());
        let mut stream = std::pin::pin!(announcements.clone().stream());
        assert!(stream.next().now_or_never().is_none(), "nothing yet");
        let one = roots(&[1]);
        let first = announcements.announce(one.clone(), [].into());
        let again = announcements.announce(one.clone(), [].into());
        assert_eq!((first.revision, again.revision), (1, 1));
        let told = stream.next().await.expect("a bundle");
        assert_eq!(told.roots.len(), 1);
        assert!(stream.next().now_or_never().is_none(), "no change");
        announcements.announce(roots(&[1, 2]), [].into());
        announcements.announce(roots(&[1, 2, 3]), [].into());
        let told = stream.next().await.expect("the newest");
        assert_eq!(told.roots.len(), 3);
        let (pem, _) = certificate(IsCa::Ca(BasicConstraints::Unconstrained), &[]);
        let bank = Arc::new(Partner::read(&pem).expect("a root"));
        let with_bank = announcements.announce(one.clone(), [("bank".to_owned(), bank)].into());
        let told = stream.next().await.expect("a root of somebody else's");
        assert_eq!(told.roots.len(), 2);
        assert_eq!(with_bank.pem().matches("BEGIN CERTIFICATE").count(), 2);
        announcements.announce(one, [].into());
        let told = stream.next().await.expect("it is out of trust");
        assert_eq!(told.roots.len(), 1);
    }

    #[tokio::test]
    async fn a_bundle_is_everywhere_when_each_open_stream_has_taken_it() {
        let announcements = Arc::new(Announcements::default());
        let mut progress = announcements.progress();
        let revision = announcements.announce(roots(&[1]), [].into()).revision;
        assert!(announcements.is_everywhere(revision), "nobody watches");
        let mut quick = Box::pin(announcements.clone().stream());
        let slow = Box::pin(announcements.clone().stream());
        assert!(!announcements.is_everywhere(revision));
        assert!(quick.next().await.is_some());
        assert!(!announcements.is_everywhere(revision), "not written yet");
        assert!(quick.next().now_or_never().is_none());
        assert!(!announcements.is_everywhere(revision), "one is slow");
        progress.mark_unchanged();
        drop(slow);
        assert!(progress.has_changed().is_ok_and(|changed| changed));
        assert!(announcements.is_everywhere(revision));
        let revision = announcements.announce(roots(&[1, 2]), [].into()).revision;
        assert!(!announcements.is_everywhere(revision));
    }

    #[tokio::test(start_paused = true)]
    async fn a_root_that_was_away_spreads_anew() {
        let mut spreading = Spreading::default();
        let bundle = |revision, versions: &[u32]| Bundle {
            revision,
            roots: roots(versions),
            partners: BTreeMap::new(),
        };
        let second = Duration::from_secs(1);
        spreading.published(&bundle(1, &[1]));
        tokio::time::advance(second).await;
        spreading.published(&bundle(2, &[1, 2]));
        tokio::time::advance(second).await;
        assert_eq!(spreading.of(1), Some((2 * second, 1)));
        assert_eq!(spreading.of(2), Some((second, 2)));
        spreading.published(&bundle(3, &[2]));
        spreading.published(&bundle(4, &[1, 2]));
        assert_eq!(spreading.of(1), Some((Duration::ZERO, 4)));
        assert_eq!(spreading.of(2), Some((second, 2)));
        assert_eq!(spreading.of(3), None);
    }
}
