//! Keeps roots and intermediates as they are wanted: reads the ledger, publishes what is trusted, and does the next step,
//! again and again.
//!
//! Invariant: the ledger is written only as it was read (its resource version is checked), so of two replicas that do the
//! same step one does it, and the other reads what came of it. The bundle is announced before anything is issued below a
//! root that is new in it.

use crate::behaviour::{Behaviour, Spread};
use crate::bundle::{Announcements, Spreading};
use crate::certificate::{Authority, Draft};
use crate::keys::{INTERMEDIATE, Keys, KeysError, ROOT};
use crate::ledger::{
    self, DESIRED, Desired, ISSUING, Ledger, Place, ReadLedgerError, intermediate_key, root_key,
};
use crate::metrics::Metrics;
use crate::publishing::{PublishError, Publishing};
use crate::roll::{Step, next, trusted};
use crate::settings::Settings;
use api_client::Impatient;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::runtime::watcher::Config;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tracing::{info, warn};

/// How often everything is looked at again though nothing changed.
const AGAIN: Duration = Duration::from_secs(60);
/// Whoever writes the trust bundle otherwise than we do is not fought faster than this.
const TRUCE: Duration = Duration::from_millis(100);

/// What pods' certificates are issued below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Which versions.
    pub place: Place,
    /// The intermediate.
    pub certificate: Arc<Authority>,
}

/// A turn of the keeping did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The ConfigMap cannot be read.
    #[error("read ConfigMap {}", ledger::NAME)]
    Read(#[source] kube::Error),
    /// It is not one of ours.
    #[error(transparent)]
    Ledger(#[from] ReadLedgerError),
    /// It cannot be written.
    #[error("write ConfigMap {}", ledger::NAME)]
    Write(#[source] kube::Error),
    /// The trust bundle cannot be written everywhere.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The key service fails.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Nothing can be signed below a root that is not valid any more.
    #[error(
        "make an intermediate below root {0}, which is not valid any more; raise `root` in `desired`"
    )]
    Expired(u32),
}

/// Keeps the ledger.
pub struct Keeping {
    settings: Settings,
    behaviour: Arc<dyn Behaviour>,
    keys: Keys,
    announcements: Arc<Announcements>,
    issuer: watch::Sender<Option<Arc<Issuer>>>,
    metrics: Arc<Metrics>,
    own: Api<ConfigMap>,
    /// It is not `Sync`, so who waits has all of this for itself.
    publishing: Publishing,
    spreading: Spreading,
}

impl Keeping {
    /// Nothing is read or written yet. `issuer` is told what to issue below.
    #[must_use]
    pub fn new(
        client: Client,
        settings: Settings,
        behaviour: Arc<dyn Behaviour>,
        keys: Keys,
        announcements: Arc<Announcements>,
        issuer: watch::Sender<Option<Arc<Issuer>>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (home, selector) = behaviour.publishes_in(&settings);
        Self {
            own: Api::namespaced(client.clone(), &settings.pod_namespace),
            publishing: Publishing::new(client, &home, &selector, metrics.clone()),
            settings,
            behaviour,
            keys,
            announcements,
            issuer,
            metrics,
            spreading: Spreading::default(),
        }
    }

    /// Keeps for ever.
    #[expect(
        clippy::disallowed_methods,
        reason = "what was taken away or failed is done again after a while; changes are events"
    )]
    pub async fn run(mut self) {
        let mine = Config::default().fields(&format!("metadata.name={}", ledger::NAME));
        let mut changes = watcher(self.own.clone(), mine)
            .backoff(Impatient::default())
            .boxed();
        let mut progress = self.announcements.progress();
        let mut failures = Impatient::default();
        // Nothing is issued before the bundle is where it belongs.
        self.publishing.listed().await;
        loop {
            progress.mark_unchanged();
            let (pause, is_waiting) = match self.turn().await {
                Ok(wait) => {
                    failures = Impatient::default();
                    (wait.unwrap_or(AGAIN), wait.is_some())
                }
                Err(error) => {
                    self.metrics
                        .keeping_failures
                        .fetch_add(1, Ordering::Relaxed);
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "roots and intermediates are not as they are wanted"
                    );
                    (failures.next().unwrap_or(AGAIN), false)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = progress.changed(), if is_waiting => {}
                // Another replica that knows of a newer root has perhaps written it: the ledger is read before it is undone.
                () = self.publishing.lacks() => tokio::time::sleep(TRUCE).await,
                change = changes.next() => if let Some(Err(error)) = change {
                    self.metrics.watch_failures.fetch_add(1, Ordering::Relaxed);
                    warn!(%error, "the watch of the ledger failed and is started again");
                }
            }
        }
    }

    /// Does all that can be done; tells how long to wait at most when a root must spread first, or the behaviour says so.
    async fn turn(&mut self) -> Result<Option<Duration>, KeepError> {
        loop {
            let map = self
                .own
                .get_opt(ledger::NAME)
                .await
                .map_err(KeepError::Read)?
                .unwrap_or_default();
            let mut ledger = Ledger::read(map.data.as_ref().unwrap_or(&BTreeMap::new()))?;
            let again = self.behaviour.read(&mut ledger, SystemTime::now());
            let published = self.publish(&ledger).await;
            let (key, value) = match next(&ledger, |root| self.has_spread(root)) {
                Step::Begin => self.begin().await?,
                Step::Root(version) => (root_key(version), self.root(version).await?),
                Step::Intermediate(place) => (
                    intermediate_key(place),
                    self.intermediate(&ledger, place).await?,
                ),
                Step::Issue(place) => (ISSUING.to_owned(), serde_json::json!(place).to_string()),
                Step::Wait(root) => {
                    published?;
                    let spread = self.spreading.of(root).map(|(since, _)| since);
                    let left = self
                        .settings
                        .roll_after
                        .checked_sub(spread.unwrap_or_default());
                    // What is not a matter of time is told by the streams.
                    let left = left.filter(|left| !left.is_zero());
                    return Ok(Some(left.unwrap_or(self.settings.roll_after.max(AGAIN))));
                }
                Step::Rest => {
                    published?;
                    return Ok(again);
                }
            };
            info!(key, "the ledger is written");
            self.write(map, key, value).await?;
        }
    }

    /// Tells everybody what is trusted, and only then what is issued below.
    async fn publish(&mut self, ledger: &Ledger) -> Result<(), KeepError> {
        let mut roots = trusted(ledger);
        let mut partners = BTreeMap::new();
        if let Some(desired) = &ledger.desired {
            let is_trusted = |version: &u32| roots.contains_key(version);
            let taken = ledger.roots.iter().filter(|(version, _)| {
                let is_trusted = is_trusted(version);
                self.behaviour.trusts(**version, is_trusted, desired)
            });
            roots = taken
                .map(|(version, root)| (*version, root.clone()))
                .collect();
            partners.clone_from(&ledger.partners);
            partners.retain(|name, _| {
                let is_trusted = desired.partners.contains(name);
                self.behaviour.trusts_partner(is_trusted)
            });
        }
        let mut outcome = Ok(());
        if !roots.is_empty() {
            let count = (roots.len() + partners.len()) as u64;
            let bundle = self.announcements.announce(roots, partners);
            self.metrics.trusted_roots.store(count, Ordering::Relaxed);
            let published = self.publishing.published();
            let pem = self.behaviour.publishes(bundle.pem(), published);
            outcome = self.publishing.publish(&pem).await;
            if outcome.is_ok() {
                self.spreading.published(&bundle);
            }
        }
        let issuer = ledger.issuing.and_then(|place| {
            let certificate = ledger.intermediates.get(&place)?.clone();
            Some(Arc::new(Issuer { place, certificate }))
        });
        if let Some(Issuer { place, .. }) = issuer.as_deref() {
            let set = |gauge: &std::sync::atomic::AtomicU64, version: u32| {
                gauge.store(version.into(), Ordering::Relaxed);
            };
            set(&self.metrics.issuing_root, place.root);
            set(&self.metrics.issuing_intermediate, place.intermediate);
        }
        self.issuer.send_if_modified(|current| {
            let is_changed = *current != issuer;
            if is_changed {
                if let Some(Issuer { place, .. }) = issuer.as_deref() {
                    info!(place.root, place.intermediate, "issuing below another one");
                }
                *current = issuer;
            }
            is_changed
        });
        Ok(outcome?)
    }

    fn has_spread(&self, root: u32) -> bool {
        let spread = self.spreading.of(root).map(|(since, revision)| Spread {
            since,
            is_everywhere: self.announcements.is_everywhere(revision),
        });
        self.behaviour
            .accepts_root(spread, self.settings.roll_after)
    }

    /// What is wanted at first: the newest keys that there are, so that an authority that has lost its ConfigMap goes on
    /// with the keys that are trusted.
    async fn begin(&mut self) -> Result<(String, String), KeepError> {
        let root = self.keys.newest(ROOT).await?.max(1);
        let desired = Desired {
            root,
            intermediate: self.keys.newest(INTERMEDIATE).await?.max(1),
            trust: BTreeSet::from([root]),
            partners: BTreeSet::new(),
        };
        Ok((DESIRED.to_owned(), serde_json::json!(desired).to_string()))
    }

    async fn root(&mut self, version: u32) -> Result<String, KeepError> {
        let key = self.keys.obtain(ROOT, version).await?;
        let name = format!("{} root {version}", self.settings.trust_domain);
        let draft = Draft::root(&name, key, SystemTime::now());
        Ok(self.keys.sign(&draft, ROOT, version).await?.pem())
    }

    async fn intermediate(&mut self, ledger: &Ledger, place: Place) -> Result<String, KeepError> {
        let Place { root, intermediate } = place;
        let key = self.keys.obtain(INTERMEDIATE, intermediate).await?;
        let name = format!(
            "{} intermediate {intermediate} below root {root}",
            self.settings.trust_domain
        );
        let draft = ledger
            .roots
            .get(&root)
            .and_then(|issuer| Draft::intermediate(&name, key, issuer, SystemTime::now()))
            .ok_or(KeepError::Expired(root))?;
        Ok(self.keys.sign(&draft, ROOT, root).await?.pem())
    }

    /// Writes one key of the ledger as it was read. When another one has written first, that is read next.
    async fn write(
        &mut self,
        mut map: ConfigMap,
        key: String,
        value: String,
    ) -> Result<(), KeepError> {
        map.data.get_or_insert_default().insert(key, value);
        let params = PostParams::default();
        let written = if map.metadata.resource_version.is_some() {
            self.own.replace(ledger::NAME, &params, &map).await
        } else {
            map.metadata.name = Some(ledger::NAME.to_owned());
            self.own.create(&params, &map).await
        };
        match written {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            written => written.map(drop).map_err(KeepError::Write),
        }
    }
}
