//! Who runs beside whom, and what stops the rest.

use super::*;
use harness_model::configuration::{Configuration, InboundTls, Scope, Tls};
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Given, Traffic};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

fn scenario(name: &str, disturbs: Disturbs) -> Scenario {
    Scenario {
        name: name.to_owned(),
        claim: name.to_owned(),
        tags: Vec::new(),
        requires: Vec::new(),
        disturbs,
        given: Given::default(),
        when: Vec::new(),
        then: Vec::new(),
    }
}

fn sending(name: &str, disturbs: Disturbs) -> Scenario {
    Scenario {
        when: vec![Act::Request(Traffic {
            name: "batch".to_owned(),
            from: "a@b".to_owned(),
            to: "c".to_owned(),
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            protocol: Protocol::Http1,
            count: 1,
        })],
        ..scenario(name, disturbs)
    }
}

fn tls(name: &str, disturbs: Disturbs) -> Scenario {
    Scenario {
        when: vec![Act::Apply(Configuration {
            name: "strict".to_owned(),
            scope: Scope::default(),
            priority: 0,
            toggles: BTreeMap::new(),
            rules: BTreeMap::new(),
            tls: Some(Tls {
                inbound: Some(InboundTls::Strict),
                ..Tls::default()
            }),
        })],
        ..scenario(name, disturbs)
    }
}

static NOBODY: BTreeSet<String> = BTreeSet::new();

fn policy(parallel: usize, fail_fast: bool) -> Policy<'static> {
    Policy {
        parallel,
        fail_fast,
        excused: &NOBODY,
    }
}

fn names(items: &[Item]) -> Vec<&str> {
    let names = items.iter().map(|item| item.scenario.name.as_str());
    names.collect()
}

#[tokio::test]
async fn who_disturbs_others_runs_alone() {
    let scenarios = [
        scenario("loud-1", Disturbs::Everything),
        scenario("quiet-1", Disturbs::Nothing),
        scenario("quiet-2", Disturbs::Nothing),
        scenario("loud-2", Disturbs::Everything),
        scenario("quiet-3", Disturbs::Nothing),
    ];
    let running = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    let log = Mutex::new(Vec::new());
    let left = run_all(
        items(&scenarios, 1, None),
        &policy(2, false),
        &Brake::default(),
        |item| {
            let (running, most, log) = (&running, &most, &log);
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                if item.scenario.disturbs == Disturbs::Everything {
                    assert_eq!(now, 1, "{} is not alone", item.scenario.name);
                }
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                log.lock()
                    .expect("nobody panics")
                    .push(item.scenario.name.clone());
                Verdict::Passed
            }
        },
    )
    .await;
    assert!(left.is_empty());
    assert_eq!(
        most.load(Ordering::SeqCst),
        2,
        "no more than allowed, and no fewer"
    );
    let log = log.into_inner().expect("nobody panics");
    assert_eq!(log[..2], ["loud-1", "loud-2"]);
}

/// What is under way, and what was seen to be under way at the same time.
#[derive(Default)]
struct UnderWay {
    now: Vec<Arc<Scenario>>,
    together: BTreeSet<(String, String)>,
}

#[tokio::test]
async fn whoever_disturbs_traffic_runs_beside_those_that_send_nothing() {
    let scenarios = [
        sending("sends-1", Disturbs::Nothing),
        scenario("silent-1", Disturbs::Nothing),
        tls("tls-1", Disturbs::Traffic),
        scenario("loud", Disturbs::Everything),
        tls("tls-2", Disturbs::Traffic),
        sending("sends-2", Disturbs::Nothing),
        scenario("silent-2", Disturbs::Nothing),
    ];
    let seen = Mutex::new(UnderWay::default());
    let seen = &seen;
    let left = run_all(
        items(&scenarios, 1, None),
        &policy(8, false),
        &Brake::default(),
        |item| async move {
            {
                let mut seen = seen.lock().expect("nobody panics");
                for other in seen.now.clone() {
                    let (one, other) = (&item.scenario, &other);
                    assert!(one.bears(other), "{} beside {}", one.name, other.name);
                    seen.together.insert((other.name.clone(), one.name.clone()));
                }
                seen.now.push(Arc::clone(&item.scenario));
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let mut seen = seen.lock().expect("nobody panics");
            seen.now.retain(|one| one.name != item.scenario.name);
            Verdict::Passed
        },
    )
    .await;
    assert!(left.is_empty());
    let seen = seen.lock().expect("nobody panics");
    for (one, other) in [("silent-1", "tls-1"), ("sends-1", "sends-2")] {
        let pair = (one.to_owned(), other.to_owned());
        assert!(seen.together.contains(&pair), "{:?}", seen.together);
    }
}

#[tokio::test]
async fn whoever_speaks_of_tls_comes_after_whoever_sends_without() {
    let scenarios = [
        tls("traffic", Disturbs::Traffic),
        tls("everything", Disturbs::Everything),
        sending("zones", Disturbs::Everything),
        sending("catch-all", Disturbs::Traffic),
        sending("rule", Disturbs::Nothing),
    ];
    let log = Mutex::new(Vec::new());
    run_all(
        items(&scenarios, 1, None),
        &policy(8, false),
        &Brake::default(),
        |item| {
            let mut log = log.lock().expect("nobody panics");
            log.push(item.scenario.name.clone());
            async { Verdict::Passed }
        },
    )
    .await;
    let log = log.into_inner().expect("nobody panics");
    assert_eq!(log, ["rule", "zones", "catch-all", "everything", "traffic"]);
}

#[tokio::test]
async fn a_failure_stops_the_rest_when_asked_to() {
    let scenarios = [
        scenario("a", Disturbs::Nothing),
        scenario("b", Disturbs::Nothing),
        scenario("c", Disturbs::Everything),
    ];
    for (fail_fast, expected) in [(true, vec!["a", "b"]), (false, vec![])] {
        let left = run_all(
            items(&scenarios, 1, None),
            &policy(1, fail_fast),
            &Brake::default(),
            |_| async { Verdict::Failed },
        )
        .await;
        assert_eq!(names(&left), expected);
    }
}

#[tokio::test]
async fn a_failure_that_is_excused_stops_nothing() {
    let scenarios = ["a", "b", "c"].map(|name| scenario(name, Disturbs::Nothing));
    let excused = ["a".to_owned()].into();
    let left = run_all(
        items(&scenarios, 1, None),
        &Policy {
            excused: &excused,
            ..policy(1, true)
        },
        &Brake::default(),
        |_| async { Verdict::Failed },
    )
    .await;
    assert_eq!(names(&left), ["c"], "b counts");
}

#[test]
fn the_same_seed_gives_the_same_order() {
    let scenarios: Vec<Scenario> = (0..9)
        .map(|n| scenario(&n.to_string(), Disturbs::Nothing))
        .collect();
    let order = |shuffle| -> Vec<String> {
        items(&scenarios, 2, shuffle)
            .iter()
            .map(|item| format!("{}#{}", item.scenario.name, item.repetition))
            .collect()
    };
    assert_eq!(order(Some(7)), order(Some(7)));
    assert_ne!(order(Some(7)), order(None));
    assert_eq!(order(None).len(), 18);
}
