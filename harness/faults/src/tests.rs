//! The ledger and the injector with a fake cluster: what is written down when, and what is healed.

use super::*;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use harness_cluster::healer::Change;
use harness_cluster::{Cluster, ConnectError, Part, PodAddress, PodStream};
use harness_model::capability::Capability;
use harness_model::topology::{ClusterShape, DataCenter, Topology};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A cluster with one border that can be cut; it notes the ledger's file at the moment of the cut.
struct OneBorder {
    cut: AtomicBool,
    cuts: bool,
    /// What is measured while it is cut.
    measured: Crossing,
    ledger: PathBuf,
    seen_when_cut: Mutex<String>,
    topology: Topology,
    /// What its pods answer, before they keep the connection; without it they end it at once.
    answer: Mutex<Option<&'static str>>,
    /// What was given back does not work yet.
    boots: AtomicBool,
    /// How often somebody waited for it.
    waits: AtomicUsize,
}

impl OneBorder {
    fn measured(ledger: &Path, cuts: bool, measured: Crossing) -> Arc<Self> {
        Arc::new(Self {
            cut: AtomicBool::new(false),
            cuts,
            measured,
            ledger: ledger.to_owned(),
            seen_when_cut: Mutex::new(String::new()),
            topology: Topology {
                name: "one".to_owned(),
                clusters: vec![ClusterShape {
                    name: "one".to_owned(),
                    data_centers: vec![DataCenter {
                        name: "alpha".to_owned(),
                        region: "north".to_owned(),
                        nodes: 1,
                    }],
                }],
                latency: Default::default(),
            },
            answer: Mutex::new(None),
            boots: AtomicBool::new(false),
            waits: AtomicUsize::new(0),
        })
    }

    fn cut_now(&self) {
        let seen = std::fs::read_to_string(&self.ledger).unwrap_or_default();
        *self.seen_when_cut.lock().expect("nobody panicked") = seen;
        self.cut.store(self.cuts, Ordering::SeqCst);
    }

    /// What was in the ledger at the moment of the cut.
    fn seen_when_cut(&self) -> String {
        self.seen_when_cut.lock().expect("nobody panicked").clone()
    }
}

/// An injector with a new ledger, and the cluster that it breaks.
struct Stage {
    path: PathBuf,
    cluster: Arc<OneBorder>,
    injector: Injector,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(cuts: bool) -> Self {
        Self::measured(cuts, Crossing::Blocked("timed out".to_owned()))
    }

    fn measured(cuts: bool, measured: Crossing) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ledger.jsonl");
        let cluster = OneBorder::measured(&path, cuts, measured);
        let ledger = Ledger::open(&path).expect("a new ledger");
        Self {
            injector: Injector::new(Arc::new(Clusters::one(cluster.clone())), ledger),
            path,
            cluster,
            _folder: folder,
        }
    }
}

impl Cluster for OneBorder {
    fn client(&self) -> kube::Client {
        unreachable!("no test here asks the API server")
    }
    fn kubeconfig(&self) -> Option<&Path> {
        None
    }
    fn topology(&self) -> &Topology {
        &self.topology
    }
    fn service_cidr(&self) -> &str {
        ""
    }
    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::new()
    }
    fn connect<'a>(
        &'a self,
        pod: &'a PodAddress,
        port: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>> {
        Box::pin(async move {
            if self.cut.load(Ordering::SeqCst) {
                return Err(ConnectError {
                    namespace: pod.namespace.clone(),
                    pod: pod.name.clone(),
                    port,
                    source: std::io::ErrorKind::ConnectionRefused.into(),
                });
            }
            let (ours, mut theirs) = tokio::io::duplex(1024);
            if let Some(answer) = *self.answer.lock().expect("nobody panicked") {
                tokio::spawn(async move {
                    let _ = theirs.read(&mut [0; 1024]).await;
                    let _ = theirs.write_all(answer.as_bytes()).await;
                    std::future::pending::<()>().await;
                });
            }
            Ok(Box::new(ours) as Box<dyn PodStream>)
        })
    }
    fn take_away<'a>(
        &'a self,
        _: &'a Part,
        _: Duration,
    ) -> BoxFuture<'a, Result<String, ClusterError>> {
        Box::pin(async {
            self.cut_now();
            Ok("it is away".to_owned())
        })
    }
    fn give_back<'a>(&'a self, _: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async {
            self.cut.store(false, Ordering::SeqCst);
            Ok(())
        })
    }
    fn wait_until_back<'a>(&'a self, _: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async {
            self.waits.fetch_add(1, Ordering::SeqCst);
            if self.boots.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
    fn load_images<'a>(
        &'a self,
        _: &'a [harness_cluster::ImageArchive],
    ) -> BoxFuture<'a, Result<harness_cluster::ImageNames, ClusterError>> {
        Box::pin(async { Ok(harness_cluster::ImageNames::new()) })
    }
    fn cut_zone<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async {
            self.cut_now();
            Ok(())
        })
    }
    fn heal_zone<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async {
            self.cut.store(false, Ordering::SeqCst);
            Ok(())
        })
    }
    fn collect_diagnostics<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }
    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}

impl Reachability for OneBorder {
    fn measure<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Reached> {
        let side = if self.cut.load(Ordering::SeqCst) {
            self.measured.clone()
        } else {
            Crossing::Reached
        };
        Box::pin(async move {
            Reached {
                outwards: side.clone(),
                inwards: side,
            }
        })
    }
}

#[tokio::test]
async fn a_cut_is_in_the_ledger_before_it_is_in_the_cluster_and_healed_on_request() {
    let stage = Stage::new(true);
    let Stage {
        path,
        cluster,
        injector,
        ..
    } = &stage;

    let fault = injector
        .cut_zone("alpha", Duration::from_secs(600), cluster.as_ref())
        .await
        .expect("it bites");

    let seen = cluster.seen_when_cut();
    assert!(seen.contains("alpha"), "the ledger named it first: {seen}");
    assert!(fault.efficacy.contains("timed out"), "{}", fault.efficacy);
    let reopened = Ledger::open(path).expect("the ledger");
    assert_eq!(reopened.active().len(), 1, "it survives us");
    assert_eq!(injector.heal_all().await, Vec::<String>::new());
    assert!(!cluster.cut.load(Ordering::SeqCst));
    assert!(injector.ledger.active().is_empty());
    assert!(Ledger::open(path).expect("the ledger").active().is_empty());
}

#[tokio::test]
async fn a_cut_that_does_not_bite_is_removed_and_says_so() {
    let stage = Stage::new(false);
    let Stage {
        cluster, injector, ..
    } = &stage;

    let error = injector
        .cut_zone("alpha", Duration::from_millis(5), cluster.as_ref())
        .await
        .expect_err("nothing was cut");

    assert!(matches!(error, InjectError::WithoutEffect(_)), "{error}");
    assert!(injector.ledger.active().is_empty());
}

#[tokio::test]
async fn a_border_that_was_closed_before_is_not_cut() {
    let stage = Stage::new(true);
    let Stage {
        path,
        cluster,
        injector,
        ..
    } = &stage;
    cluster.cut.store(true, Ordering::SeqCst);

    let error = injector
        .cut_zone("alpha", Duration::from_secs(600), cluster.as_ref())
        .await
        .expect_err("its bite could not be told");

    assert!(
        matches!(error, InjectError::NotReachableBefore(_)),
        "{error}"
    );
    assert!(!path.exists(), "nothing was begun");
}

/// A border that the first attempt and the third one cross too late.
struct Late<'a> {
    border: &'a OneBorder,
    attempts: AtomicUsize,
}

impl Reachability for Late<'_> {
    fn measure<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Reached> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        if attempt == 0 || attempt == 2 {
            let late = Crossing::Blocked("it took too long".to_owned());
            let reached = Reached {
                outwards: late,
                inwards: Crossing::Reached,
            };
            return Box::pin(async { reached });
        }
        self.border.measure(data_center)
    }
}

#[tokio::test]
async fn a_border_is_cut_once_it_was_crossed_twice_in_a_row() {
    let stage = Stage::new(true);
    let late = Late {
        border: stage.cluster.as_ref(),
        attempts: AtomicUsize::new(0),
    };
    let _active = stage
        .injector
        .cut_zone("alpha", Duration::from_secs(600), &late)
        .await
        .expect("it can be crossed, and is cut");
    // Five before, two in a row afterwards.
    assert_eq!(late.attempts.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn a_cut_that_nobody_could_measure_does_not_count_as_biting() {
    let unknown = Crossing::Unknown("the probe does not answer".to_owned());
    let stage = Stage::measured(true, unknown);
    let Stage {
        cluster, injector, ..
    } = &stage;

    let error = injector
        .cut_zone("alpha", Duration::from_millis(5), cluster.as_ref())
        .await
        .expect_err("nobody saw it bite");

    assert!(matches!(error, InjectError::WithoutEffect(_)), "{error}");
    assert!(!cluster.cut.load(Ordering::SeqCst), "it is healed");
}

#[tokio::test]
async fn nothing_is_removed_from_a_cluster_to_which_nothing_may_be_written_after_our_end() {
    let stage = Stage::new(true);
    let change = || Change {
        path: "/apis/apps/v1/namespaces/a/deployments/b".to_owned(),
        patch: serde_json::Value::Null,
    };
    let removals = [Removal {
        cluster: "one".to_owned(),
        away: vec![change()],
        back: vec![change()],
    }];

    let removed = stage.injector.remove(
        "b is away".to_owned(),
        &removals,
        Vec::new(),
        Duration::from_secs(600),
    );
    let error = removed.await.expect_err("nobody would put it back");

    let InjectError::TakeAway { source, .. } = error else {
        panic!("{error}");
    };
    let reason = source.source.expect("it has a reason").to_string();
    assert!(reason.contains("somebody else's"), "{reason}");
    assert!(stage.injector.ledger.active().is_empty());
}

#[tokio::test]
async fn a_pod_that_cannot_be_asked_shows_neither_that_a_line_is_there_nor_that_it_is_gone() {
    let stage = Stage::new(true);
    stage.cluster.cut.store(true, Ordering::SeqCst);
    let shows = [Pulse::Shows {
        victim: victim(),
        path: "/clients".to_owned(),
        line: "authority.svc".to_owned(),
    }];

    let before = stage.injector.all_react(&shows).await;
    let until = Instant::now() + Duration::from_millis(20);
    let after = stage.injector.none_reacts(&shows, until).await;

    for why in [before.unwrap_err(), after.unwrap_err()] {
        assert!(why.contains("`authority.svc` in /clients"), "{why}");
    }
}

#[tokio::test]
async fn an_answer_is_there_when_it_says_so_though_the_connection_goes_on() {
    let stage = Stage::new(true);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nauthority.svc\n";
    *stage.cluster.answer.lock().expect("nobody panicked") = Some(answer);
    let shows = |line: &str| {
        [Pulse::Shows {
            victim: victim(),
            path: "/clients".to_owned(),
            line: line.to_owned(),
        }]
    };

    let there = stage.injector.all_react(&shows("authority.svc")).await;
    let until = Instant::now() + Duration::from_secs(60);
    let gone = stage.injector.none_reacts(&shows("agent.svc"), until).await;

    there.expect("it is shown");
    let why = gone.expect("the answer does not have it");
    assert!(why.contains("it is not there"), "{why}");
}

fn victim() -> Victim {
    Victim {
        address: PodAddress {
            cluster: "one".to_owned(),
            namespace: "mesh".to_owned(),
            name: "checkout".to_owned(),
            node: "alpha-1".to_owned(),
            ip: "10.0.0.1".to_owned(),
        },
        port: 80,
    }
}

async fn frozen(injector: &Injector, for_: Duration) -> Result<ActiveFault, InjectError> {
    let part = Part::PodProcesses(victim().address);
    let pulses = vec![Pulse::Connects(victim())];
    injector
        .take_away("freeze checkout".to_owned(), vec![part], pulses, for_)
        .await
}

#[tokio::test]
async fn what_is_taken_away_is_in_the_ledger_before_and_until_it_is_back() {
    let stage = Stage::new(true);
    let Stage {
        cluster, injector, ..
    } = &stage;

    let fault = frozen(injector, Duration::from_secs(600))
        .await
        .expect("it bites");

    let seen = cluster.seen_when_cut();
    assert!(seen.contains("freeze checkout"), "{seen}");
    assert!(
        fault.efficacy.contains("port 80 of checkout"),
        "{}",
        fault.efficacy
    );
    assert_eq!(injector.ledger.active().len(), 1);
    assert_eq!(injector.heal_all().await, Vec::<String>::new());
    assert!(!cluster.cut.load(Ordering::SeqCst), "it is given back");
    assert!(injector.ledger.active().is_empty());
}

#[tokio::test]
async fn whoever_goes_on_after_healing_early_waits_once_until_it_works_again() {
    let stage = Stage::new(true);
    let Stage {
        cluster, injector, ..
    } = &stage;
    let nothing = Vec::<String>::new();
    let waits = || cluster.waits.load(Ordering::SeqCst);
    let _active = frozen(injector, Duration::from_secs(600))
        .await
        .expect("it bites");
    cluster.boots.store(true, Ordering::SeqCst);

    assert_eq!(injector.heal_all().await, nothing);
    assert_eq!(waits(), 0, "who is interrupted does not wait");
    let broken_off = injector.wait_for_healed().now_or_never();
    assert!(broken_off.is_none(), "it does not work yet");
    cluster.boots.store(false, Ordering::SeqCst);
    assert_eq!(injector.wait_for_healed().await, nothing);
    assert_eq!(waits(), 2, "it is waited for again");
    assert_eq!(injector.wait_for_healed().await, nothing);
    assert_eq!(waits(), 2, "nothing is left to be waited for");
}

#[tokio::test]
async fn what_lives_on_was_not_taken_away() {
    let stage = Stage::new(false);
    let Stage {
        cluster, injector, ..
    } = &stage;
    let error = frozen(injector, Duration::from_millis(5))
        .await
        .expect_err("it lives");
    assert!(matches!(error, InjectError::WithoutEffect(_)), "{error}");
    assert!(injector.ledger.active().is_empty());
    assert_eq!(cluster.waits.load(Ordering::SeqCst), 1, "it works again");

    cluster.cut.store(true, Ordering::SeqCst);
    let error = frozen(injector, Duration::from_millis(5))
        .await
        .expect_err("it was dead before");
    assert!(
        matches!(error, InjectError::NotReachableBefore(_)),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_cluster_measures_is_told_and_its_end_is_felt() {
    let stage = Stage::new(true);
    let Stage {
        cluster, injector, ..
    } = &stage;
    let harmed = async |time: Duration| {
        let part = Part::Promptness {
            pod: victim().address,
            port: 80,
            delay: Duration::from_secs(1),
        };
        let pulses = vec![Pulse::Reacts(victim())];
        let what = "have checkout answer late".to_owned();
        injector.harm(what, vec![part], pulses, time).await
    };

    let fault = harmed(Duration::from_millis(50)).await.expect("it bites");

    let seen = cluster.seen_when_cut();
    assert!(seen.contains("have checkout answer late"), "{seen}");
    assert_eq!(fault.efficacy, "it is away");
    let ended = async |patience: Duration| {
        let fault = &fault;
        injector
            .wait_for_end(fault, cluster.as_ref(), patience)
            .await
    };
    let error = ended(Duration::from_millis(1)).await.expect_err("not yet");
    assert!(matches!(error, EndError::NotBack { .. }), "{error}");
    let error = harmed(Duration::from_millis(50)).await;
    let error = error.expect_err("it was late before");
    assert!(
        matches!(error, InjectError::NotReachableBefore(_)),
        "{error}"
    );
    assert_eq!(injector.ledger.active().len(), 1);
    cluster.cut.store(false, Ordering::SeqCst);
    ended(Duration::from_secs(60)).await.expect("it is over");
    assert!(injector.ledger.active().is_empty());
}

#[tokio::test]
async fn what_does_not_come_back_stays_in_the_ledger() {
    let stage = Stage::new(true);
    let Stage {
        cluster, injector, ..
    } = &stage;
    let fault = frozen(injector, Duration::from_millis(50))
        .await
        .expect("it bites");
    let patience = Duration::from_millis(1);
    let error = injector
        .wait_for_end(&fault, cluster.as_ref(), patience)
        .await
        .expect_err("nobody gives it back");
    assert!(matches!(error, EndError::NotBack { .. }), "{error}");
    assert_eq!(injector.ledger.active().len(), 1);
    cluster.cut.store(false, Ordering::SeqCst);
    injector
        .wait_for_end(&fault, cluster.as_ref(), Duration::from_secs(60))
        .await
        .expect("it is back");
    assert!(injector.ledger.active().is_empty());
}

#[test]
fn a_line_cut_off_by_a_kill_is_ignored() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger.jsonl");
    let ledger = Ledger::open(&path).expect("a new ledger");
    ledger
        .begin("cut off alpha".to_owned(), Some("alpha".to_owned()), None)
        .expect("written");
    let mut text = std::fs::read_to_string(&path).expect("the file");
    text.push_str("{\"begun\":{\"num");
    std::fs::write(&path, text).expect("the file");
    assert_eq!(Ledger::open(&path).expect("the ledger").active().len(), 1);
}
