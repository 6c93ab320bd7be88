//! When a load may end that was to show a recovery.

use super::*;
use crate::clock::Clock;
use harness_model::expectation::Expectation;
use harness_model::fault::Fault;
use harness_model::history::RequestSeen;
use harness_model::scenario::{Disturbs, Given, Scenario};
use std::cell::Cell;
use std::future::{pending, ready};
use std::time::Instant;
use tokio::time::timeout;

const LOAD: &str = "away";
const HIT: &str = "frontend@alpha";

/// Longer than any pause between two looks.
const LONG: Duration = Duration::from_secs(1);

/// A history with a fault that has ended.
struct Fed {
    recorder: Recorder,
    ended_ns: u64,
    sent: Cell<u64>,
}

impl Fed {
    fn new() -> Self {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let clock = Clock::new(Instant::now());
        let recorder = Recorder::new(clock, "suite/name".to_owned(), 1, events);
        recorder.push(EventKind::FaultStarted {
            fault: 0,
            spec: Fault::ZoneOutage {
                data_center: "alpha".to_owned(),
                duration: harness_model::duration::Span::secs(4),
                without: None,
            },
            hits: vec![HIT.to_owned()],
            efficacy: "nobody comes through".to_owned(),
            left: None,
        });
        recorder.push(EventKind::FaultEnded { fault: 0 });
        let ended_ns = recorder.history()[1].at_ns;
        Self {
            recorder,
            ended_ns,
            sent: Cell::new(0),
        }
    }

    /// An outcome comes in of a request that was due so long after the end of the fault.
    fn outcome(&self, traffic: &str, after: Duration, status: Option<u16>) {
        let sequence = self.sent.get();
        self.sent.set(sequence + 1);
        let after_ns = u64::try_from(after.as_nanos()).expect("no long time");
        self.recorder.push(EventKind::Request(Box::new(RequestSeen {
            traffic: traffic.to_owned(),
            sequence,
            connection: None,
            from: HIT.to_owned(),
            due_ns: self.ended_ns + after_ns,
            latency_us: 0,
            protocol: None,
            status,
            failure: None,
            answered_by: None,
            passed_caller_sidecar: true,
            passed_callee_sidecar: true,
            arrived: None,
            cause: None,
        })));
    }

    /// Waits as a scenario does that expects this.
    async fn wait(&self, then: Vec<Expectation>) -> Waited {
        let (scenario, patience) = (scenario(then), Patience::default());
        let is_open = |history: &[Event]| is_recovery_open(&scenario, history, &patience, LOAD);
        let longest = longest(&patience);
        wait(&self.recorder, LOAD, is_open, pending(), longest).await
    }
}

fn recovers() -> Vec<Expectation> {
    vec![Expectation::Recovers {
        traffic: LOAD.to_owned(),
    }]
}

fn scenario(then: Vec<Expectation>) -> Scenario {
    Scenario {
        name: "suite/name".to_owned(),
        claim: "what was cut off comes back".to_owned(),
        tags: Vec::new(),
        requires: Vec::new(),
        disturbs: Disturbs::Everything,
        given: Given::default(),
        when: Vec::new(),
        then,
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_ends_when_its_traffic_is_back() {
    let fed = Fed::new();
    let mut waiting = Box::pin(fed.wait(recovers()));
    fed.outcome(LOAD, Duration::ZERO, None);
    for place in 1..5 {
        fed.outcome(LOAD, Duration::from_millis(50 * place), Some(200));
    }
    assert!(timeout(LONG, &mut waiting).await.is_err(), "four answers");
    // Those of others say nothing.
    fed.outcome("inside", Duration::from_millis(250), Some(200));
    assert!(timeout(LONG, &mut waiting).await.is_err(), "four answers");
    fed.outcome(LOAD, Duration::from_millis(300), Some(200));
    assert_eq!(timeout(LONG, waiting).await, Ok(Waited::Enough));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_back_already_ends_at_once() {
    let fed = Fed::new();
    for place in 0..5 {
        fed.outcome(LOAD, Duration::from_millis(50 * place), Some(200));
    }
    let before = tokio::time::Instant::now();
    assert_eq!(fed.wait(recovers()).await, Waited::Enough);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_does_not_come_back_goes_on_beyond_the_bound() {
    let fed = Fed::new();
    let bound = Patience::default().recovery.0;
    let mut waiting = Box::pin(fed.wait(recovers()));
    fed.outcome(LOAD, bound, None);
    assert!(timeout(LONG, &mut waiting).await.is_err(), "at the bound");
    fed.outcome(LOAD, bound + Duration::from_millis(50), None);
    assert_eq!(timeout(LONG, waiting).await, Ok(Waited::Enough));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_says_nothing_is_waited_for_until_the_time_is_over() {
    let fed = Fed::new();
    let before = tokio::time::Instant::now();
    assert_eq!(fed.wait(recovers()).await, Waited::InVain);
    let (took, patience) = (before.elapsed(), Patience::default());
    assert!(took > patience.recovery.0 + REQUEST, "{took:?}");
    assert!(took < longest(&patience) + LONG, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_has_ended_is_not_waited_for() {
    let fed = Fed::new();
    let waited = wait(&fed.recorder, LOAD, |_| true, ready(()), LONG).await;
    assert_eq!(waited, Waited::Enough);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_to_show_no_recovery_ends_at_once() {
    let fed = Fed::new();
    let of_another = vec![Expectation::Recovers {
        traffic: "inside".to_owned(),
    }];
    let before = tokio::time::Instant::now();
    assert_eq!(fed.wait(of_another).await, Waited::Enough);
    assert_eq!(fed.wait(Vec::new()).await, Waited::Enough);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_checker_is_asked_after_outcomes_alone() {
    let fed = Fed::new();
    let asked = Cell::new(0);
    let is_open = |_: &[Event]| {
        asked.set(asked.get() + 1);
        true
    };
    let mut waiting = Box::pin(wait(&fed.recorder, LOAD, is_open, pending(), LONG * 60));
    assert!(timeout(LONG, &mut waiting).await.is_err());
    for _ in 0..3 {
        fed.recorder.push(EventKind::StepStarted);
        assert!(timeout(LONG, &mut waiting).await.is_err());
    }
    assert_eq!(asked.get(), 1);
    for _ in 0..3 {
        fed.outcome(LOAD, Duration::ZERO, None);
    }
    assert!(timeout(LONG, waiting).await.is_err());
    assert_eq!(asked.get(), 2, "three that came in together");
}
