//! Who runs beside whom, and what stops the rest.

use super::*;
use harness_model::scenario::Given;
use std::collections::BTreeSet;
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
async fn who_disturbs_others_runs_alone_and_last() {
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
    assert_eq!(log[3..], ["loud-1", "loud-2"]);
}

#[tokio::test]
async fn a_failure_stops_the_rest_when_asked_to() {
    let scenarios = [
        scenario("a", Disturbs::Nothing),
        scenario("b", Disturbs::Nothing),
        scenario("c", Disturbs::Everything),
    ];
    for (fail_fast, expected) in [(true, vec!["b", "c"]), (false, vec![])] {
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
