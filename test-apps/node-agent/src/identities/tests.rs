//! With paused time: what happens is decided by timers alone.

use super::*;
use crate::behaviour::Faithful;
use crate::stub::Root;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use identity_api::authority::TrustBundle;
use std::sync::atomic::AtomicBool;
use tokio::sync::mpsc;
use tonic::Status;

const LIFETIME: Duration = Duration::from_secs(60);

/// Signs at once, or refuses, and tells of every request.
struct Scripted {
    root: Mutex<Arc<Root>>,
    away: AtomicBool,
    asked: mpsc::UnboundedSender<IssueRequest>,
}

impl Authority for Scripted {
    fn issue(
        &self,
        request: IssueRequest,
    ) -> BoxFuture<'_, Result<Vec<Vec<u8>>, AskAuthorityError>> {
        let root = self.root.lock().expect("not poisoned").clone();
        let answer = if self.away.load(Ordering::Relaxed) {
            Err(AskAuthorityError::Call {
                what: "a certificate",
                source: Box::new(Status::unavailable("away")),
            })
        } else {
            Ok(vec![root.sign(&request.csr, None, LIFETIME)])
        };
        self.asked.send(request).expect("the test listens");
        async { answer }.boxed()
    }

    fn watch_bundle(
        &self,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<TrustBundle, Status>>, AskAuthorityError>>
    {
        std::future::pending().boxed()
    }
}

struct Bench {
    identities: Arc<Identities>,
    authority: Arc<Scripted>,
    asked: mpsc::UnboundedReceiver<IssueRequest>,
    pods: watch::Sender<Arc<Pods>>,
    bundle: watch::Sender<Option<Arc<Bundle>>>,
}

fn pod(name: &str) -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "mesh-workloads".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        service_account: name.into(),
    })
}

fn listed(pods: &[&Arc<Pod>]) -> Arc<Pods> {
    let by_uid = pods.iter().map(|pod| (pod.uid.clone(), (*pod).clone()));
    Arc::new(Pods {
        complete: true,
        by_uid: by_uid.collect(),
    })
}

fn of(roots: &[&Root]) -> Option<Arc<Bundle>> {
    let roots = roots.iter().map(|root| root.der.clone()).collect();
    Some(Arc::new(Bundle::new(roots)))
}

fn bench(behaviour: impl Behaviour) -> Bench {
    let (sender, asked) = mpsc::unbounded_channel();
    let root = Arc::new(Root::new("root"));
    let (pods, bundle) = (
        watch::Sender::new(listed(&[&pod("a"), &pod("b")])),
        watch::Sender::new(of(&[&root])),
    );
    let authority = Arc::new(Scripted {
        root: Mutex::new(root),
        away: AtomicBool::new(false),
        asked: sender,
    });
    let terms = Terms {
        trust_domain: "mesh.local".into(),
        lifetime: LIFETIME,
    };
    let sources = Sources {
        authority: authority.clone(),
        behaviour: Arc::new(behaviour),
        pods: pods.subscribe(),
        bundle: bundle.subscribe(),
        signed: Arc::default(),
        metrics: Arc::default(),
    };
    Bench {
        identities: Identities::new(terms, sources),
        authority,
        asked,
        pods,
        bundle,
    }
}

impl Bench {
    /// The next request, within an hour.
    async fn next(&mut self) -> Option<IssueRequest> {
        let hour = Duration::from_secs(3600);
        tokio::time::timeout(hour, self.asked.recv()).await.ok()?
    }

    fn metrics(&self) -> &Metrics {
        &self.identities.sources.metrics
    }
}

async fn served(told: &mut watch::Receiver<Option<Arc<Identity>>>) -> Arc<Identity> {
    told.changed().await.expect("open");
    told.borrow_and_update().clone().expect("an identity")
}

#[tokio::test(start_paused = true)]
async fn certificates_are_renewed_with_new_keys_between_half_and_six_tenths_of_their_life() {
    let mut bench = bench(Faithful);
    let lease = bench.identities.hold(&pod("a"));
    let mut told = lease.identity();
    let asked = bench.next().await.expect("asked");
    assert_eq!(asked.pod.uid, "uid-a");
    assert_eq!(asked.lifetime_seconds, 60);
    let mut held = served(&mut told).await;
    let mut parts = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        bench.next().await.expect("asked again");
        let part = started.elapsed().as_secs_f64() / LIFETIME.as_secs_f64();
        // Certificates count whole seconds, so that a lifetime is up to one shorter.
        assert!((0.49..=0.61).contains(&part), "{part}");
        parts.push(part);
        let next = served(&mut told).await;
        assert_ne!(next.key.pem(), held.key.pem());
        assert_ne!(next.version, held.version);
        held = next;
    }
    assert_eq!(bench.metrics().renewals.load(Ordering::Relaxed), 20);
    // That second makes a hundredth of a constant part; twenty random ones are so close once in a million million times.
    let least = parts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = parts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!(most - least > 0.02, "{parts:?}");
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_pod_share_one_identity_and_pods_do_not() {
    let mut bench = bench(Faithful);
    let leases = ["a", "a", "b"].map(|name| bench.identities.hold(&pod(name)));
    let mut versions = Vec::new();
    for lease in &leases {
        let mut told = lease.identity();
        let identity = told.wait_for(Option::is_some).await.expect("open");
        versions.push(identity.as_ref().expect("is some").version.clone());
    }
    assert_eq!(versions[0], versions[1]);
    assert_ne!(versions[0], versions[2]);
    assert_eq!(bench.metrics().identities.load(Ordering::Relaxed), 2);
    let mut uids =
        [bench.next().await, bench.next().await].map(|asked| asked.expect("two").pod.uid);
    uids.sort();
    assert_eq!(uids, ["uid-a", "uid-b"]);
}

#[tokio::test(start_paused = true)]
async fn what_there_is_stays_while_the_authority_is_away() {
    let mut bench = bench(Faithful);
    let lease = bench.identities.hold(&pod("a"));
    let mut told = lease.identity();
    let first = served(&mut told).await;
    bench.next().await.expect("the first");
    bench.authority.away.store(true, Ordering::Relaxed);
    let mut last = Instant::now();
    for tries in 0..40 {
        bench.next().await.expect("tried again");
        let pause = last.elapsed();
        assert!(
            tries == 0 || pause <= Duration::from_millis(5001),
            "{pause:?}"
        );
        last = Instant::now();
        assert!(!told.has_changed().expect("open"));
    }
    assert_eq!(bench.metrics().failures.load(Ordering::Relaxed), 40);
    bench.authority.away.store(false, Ordering::Relaxed);
    assert_ne!(served(&mut told).await.version, first.version);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_each_certificate_and_each_failure_and_no_key() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().expect("there")))
        .with_ansi(false)
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut bench = bench(Faithful);
    let lease = bench.identities.hold(&pod("a"));
    let mut told = lease.identity();
    let held = [served(&mut told).await, served(&mut told).await];
    bench.authority.away.store(true, Ordering::Relaxed);
    // The two that were served, one that is refused, and the one after it.
    for _ in 0..4 {
        bench.next().await.expect("asked");
    }
    let log = std::fs::read_to_string(log.path()).expect("text");
    let lines = log.lines();
    let came: Vec<&str> = lines
        .filter(|line| line.contains("a certificate has come"))
        .collect();
    assert_eq!(came.len(), 2, "{log}");
    for ((line, identity), is_renewal) in came.iter().zip(&held).zip([false, true]) {
        let (serial, not_after) = identity.serial_and_end().expect("a certificate");
        for part in [
            " INFO ",
            "identity=spiffe://mesh.local/ns/mesh-workloads/sa/a ",
            &format!("serial=\"{serial}\""),
            &format!("not_after=\"{not_after}\""),
            &format!("is_renewal={is_renewal}"),
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let failed = |line: &str| line.contains(" WARN ") && line.contains("could not be had");
    assert!(
        log.lines()
            .any(|line| failed(line) && line.contains("away")),
        "{log}"
    );
    let of_keys = held.iter().flat_map(|identity| identity.key.pem().lines());
    for line in of_keys {
        assert!(!log.contains(line), "{line}");
    }
}

const TAKEN_BACK: &str = "taken back";

/// Serves something else while a certificate cannot be renewed.
struct Withdrawing;

impl Behaviour for Withdrawing {
    fn serves_unrenewed(&self, id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
        assert_eq!(id.to_string(), "spiffe://mesh.local/ns/mesh-workloads/sa/a");
        if held.version == TAKEN_BACK {
            return held.clone();
        }
        Arc::new(Identity {
            version: TAKEN_BACK.to_owned(),
            ..Identity::clone(held)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_behaviour_may_take_back_what_cannot_be_renewed() {
    let mut bench = bench(Withdrawing);
    let lease = bench.identities.hold(&pod("a"));
    let mut told = lease.identity();
    served(&mut told).await;
    bench.next().await.expect("the first");
    bench.authority.away.store(true, Ordering::Relaxed);
    assert_eq!(served(&mut told).await.version, TAKEN_BACK);
    for _ in 0..5 {
        bench.next().await.expect("tried again");
    }
    assert!(!told.has_changed().expect("open"), "once is enough");
    bench.authority.away.store(false, Ordering::Relaxed);
    assert_ne!(served(&mut told).await.version, TAKEN_BACK);
}

/// Refuses to serve a number of certificates.
struct Refusing(AtomicU64);

impl Behaviour for Refusing {
    fn before_serving(&self, _pod: &Pod, identity: &Identity) -> io::Result<()> {
        assert_eq!(identity.chain.len(), 1);
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_be_done_before_a_certificate_is_served_keeps_it_back_and_is_tried_again() {
    let mut bench = bench(Refusing(AtomicU64::new(3)));
    let lease = bench.identities.hold(&pod("a"));
    let mut told = lease.identity();
    for _ in 0..4 {
        assert!(told.borrow().is_none());
        bench.next().await.expect("asked");
    }
    served(&mut told).await;
    assert_eq!(bench.metrics().failures.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn an_identity_outlives_its_last_stream_by_a_minute() {
    let mut bench = bench(Faithful);
    let lease = bench.identities.hold(&pod("a"));
    let first = served(&mut lease.identity()).await;
    drop(lease);
    tokio::time::advance(Duration::from_secs(20)).await;
    let lease = bench.identities.hold(&pod("a"));
    let again = lease.identity().borrow().clone().expect("kept");
    assert_eq!(again.version, first.version);
    let gone = lease.gone();
    drop(lease);
    let started = Instant::now();
    gone.cancelled().await;
    assert!(started.elapsed() >= KEPT);
    assert_eq!(bench.metrics().identities.load(Ordering::Relaxed), 0);
    while bench.asked.try_recv().is_ok() {}
    assert!(bench.next().await.is_none(), "not renewed any more");
}

#[tokio::test(start_paused = true)]
async fn an_identity_goes_with_its_pod() {
    let mut bench = bench(Faithful);
    let lease = bench.identities.hold(&pod("a"));
    bench.next().await.expect("asked");
    let started = Instant::now();
    bench.pods.send_replace(listed(&[&pod("b")]));
    lease.gone().cancelled().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(bench.metrics().identities.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_root_arrives_before_the_certificate_that_needs_it() {
    let bench = bench(Faithful);
    let old = bench.bundle.borrow().clone().expect("a bundle");
    // Two streams, as Envoy has them.
    let (lease, roots) = (
        bench.identities.hold(&pod("a")),
        bench.identities.hold(&pod("a")),
    );
    roots.has_seen(BundleSeen::Answered(old.clone()));
    let mut told = lease.identity();
    served(&mut told).await;

    // The next certificate is signed with a root that nobody has been told of.
    let new = Arc::new(Root::new("root"));
    let former = std::mem::replace(
        &mut *bench.authority.root.lock().expect("not poisoned"),
        new.clone(),
    );
    tokio::time::advance(LIFETIME.mul_f64(0.6)).await;
    tokio::task::yield_now().await;
    assert!(!told.has_changed().expect("open"), "no bundle has the root");
    bench.bundle.send_replace(of(&[&former, &new]));
    tokio::task::yield_now().await;
    assert!(!told.has_changed().expect("open"), "the sidecar has it not");
    let started = Instant::now();
    let both = bench.bundle.borrow().clone().expect("a bundle");
    roots.has_seen(BundleSeen::Answered(both));
    served(&mut told).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_root_that_never_arrives_is_not_waited_for_for_ever() {
    let bench = bench(Faithful);
    bench.bundle.send_replace(None);
    let lease = bench.identities.hold(&pod("a"));
    let started = Instant::now();
    served(&mut lease.identity()).await;
    assert!(started.elapsed() >= ROOT_ARRIVES);
}

/// Asks at once, again and again.
struct Hasty;

impl Behaviour for Hasty {
    fn backs_off(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_behaviour_may_ask_again_at_once() {
    let mut bench = bench(Hasty);
    let lease = bench.identities.hold(&pod("a"));
    served(&mut lease.identity()).await;
    bench.next().await.expect("the first");
    bench.authority.away.store(true, Ordering::Relaxed);
    bench.next().await.expect("a renewal");
    let since = Instant::now();
    for _ in 0..20 {
        bench.next().await.expect("asked again");
    }
    assert_eq!(since.elapsed(), Duration::ZERO);
    bench.authority.away.store(false, Ordering::Relaxed);
}

struct Lazy;

impl Behaviour for Lazy {
    fn renews(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_behaviour_may_forget_to_renew() {
    let mut bench = bench(Lazy);
    let _lease = bench.identities.hold(&pod("a"));
    bench.next().await.expect("the first");
    assert!(bench.next().await.is_none());
}
