//! The histories that the tests of traffic checkers begin with.

use crate::checker::judge;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::history::RequestSeen;
use crate::patience::Patience;
use crate::protocol::{Connections, Protocol};
use crate::scenario::{Act, Load, Scenario, Traffic};
use crate::testing::{Recorder, scenario, sidecar};
use crate::verdict::{Finding, Verdict};
use std::collections::BTreeMap;

pub(super) const TRAFFIC: &str = "traffic";

pub(super) fn batch(count: u32) -> Act {
    Act::Request(Traffic {
        name: TRAFFIC.to_owned(),
        from: "frontend@zone1".to_owned(),
        to: "checkout".to_owned(),
        path: "/".to_owned(),
        headers: BTreeMap::new(),
        protocol: Protocol::Http1,
        count,
    })
}

pub(super) fn load() -> Act {
    Act::Load(Load {
        name: TRAFFIC.to_owned(),
        from: "frontend@zone1".to_owned(),
        to: "checkout".to_owned(),
        headers: BTreeMap::new(),
        protocol: Protocol::Http1,
        connections: Connections::Usual,
        rate: 10,
    })
}

pub(super) fn outage() -> Fault {
    Fault::ZoneOutage {
        data_center: "zone1".to_owned(),
        duration: Span::secs(1),
        without: None,
    }
}

pub(super) fn expecting(when: Vec<Act>, expectation: Expectation) -> Scenario {
    Scenario {
        then: vec![expectation],
        ..scenario(when)
    }
}

pub(super) fn finding(scenario: &Scenario, recorder: &Recorder) -> Finding {
    let mut judgement = judge(scenario, &recorder.whole().events, &Patience::default());
    assert_eq!(judgement.findings.len(), 1);
    let finding = judgement.findings.remove(0);
    assert_eq!(judgement.verdict, finding.verdict);
    if finding.verdict == Verdict::Passed {
        assert!(finding.observations > 0 && finding.details.is_empty());
    } else {
        assert!(!finding.details.is_empty());
    }
    finding
}

/// These words are in what is told first of what was seen; without words nothing is told.
#[track_caller]
pub(super) fn assert_told(found: &Finding, words: Option<&str>) {
    let told = found.details.first().map(|detail| detail.observed.as_str());
    match words {
        None => assert_eq!(told, None),
        Some(words) => assert!(told.is_some_and(|told| told.contains(words)), "{found:#?}"),
    }
}

pub(super) fn recorder() -> Recorder {
    let mut sidecars = Vec::new();
    for zone in 1..=3 {
        sidecars.push(sidecar("frontend", zone, 1));
        sidecars.push(sidecar("checkout", zone, 2));
    }
    let mut recorder = Recorder::new(&sidecars);
    recorder.step(0);
    recorder
}

pub(super) fn lose(request: &mut RequestSeen) {
    request.status = None;
    request.answered_by = None;
    request.failure = Some("reset".to_owned());
}

pub(super) fn by_zone(zone: usize) -> impl Fn(&mut RequestSeen) {
    move |request| {
        if let Some(answerer) = &mut request.answered_by {
            answerer.pod = format!("checkout-zone{zone}-0");
            answerer.data_center = format!("zone{zone}");
        }
    }
}

pub(super) fn answered(lost: u64) -> Expectation {
    Expectation::Answered {
        traffic: TRAFFIC.to_owned(),
        lost,
    }
}
