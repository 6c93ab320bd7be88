//! Judging: one module for each expectation, each a pure function of scenario, history and patience.
//!
//! Invariant: a checker never panics on a history, however garbled, and what it cannot decide is inconclusive.

mod answered;
mod answered_by;
mod arrival;
mod asked;
mod audited;
mod backs_off;
mod carried_out;
mod confined;
mod delivered;
mod evidence;
mod fails_over;
mod handshook;
mod keeps_protocol;
mod keeps_stream;
mod lateness;
mod moves_to;
mod on_the_wire;
mod passes_both_sidecars;
mod prefers_own_zone;
mod proof;
mod published;
mod received;
mod recovers;
mod refused;
mod rejected;
mod renewed;
mod requests;
mod restored;
mod rotated;
mod rule_hashes;
mod shared_by;
mod spreads_renewals;
mod status_is_true;
#[cfg(test)]
mod tests;
mod timeline;
mod traffic;
mod trusted;
mod unchanged;

pub(crate) use evidence::clock;
pub use lateness::may_come_of_lateness;

use crate::expectation::Expectation;
use crate::history::{Event, RequestSeen};
use crate::in_vain;
use crate::patience::Patience;
use crate::scenario::Scenario;
use crate::verdict::{Detail, Finding, Judgement, Verdict};
use evidence::Evidence;
use serde_json::Value;
use timeline::Timeline;

/// Judges every expectation of a scenario over its history.
#[must_use]
pub fn judge(scenario: &Scenario, events: &[Event], patience: &Patience) -> Judgement {
    let timeline = Timeline::new(scenario, events, patience);
    let lacking = carried_out::lacking(&timeline);
    let unwritten: Vec<Detail> = carried_out::failed_writes(&timeline)
        .chain(carried_out::unchanged_services(&timeline))
        .collect();
    let findings: Vec<Finding> = scenario
        .then
        .iter()
        .enumerate()
        .map(|(index, expectation)| {
            let finding = Finding {
                expectation: Some(in_file(index, expectation)),
                ..evidence(expectation, &timeline).finding(name(expectation))
            };
            let finding = only_if_carried_out(finding, &lacking);
            only_if_written(expectation, finding, &unwritten)
        })
        .collect();
    let verdict = sum(&findings);
    let waited_in_vain = match verdict {
        Verdict::Passed => Vec::new(),
        Verdict::Inconclusive | Verdict::Failed => in_vain::of(scenario, events),
    };
    Judgement {
        verdict,
        findings,
        waited_in_vain,
    }
}

/// Whether more requests of a load can still decide an expectation `recovers` of it: a fault has ended, and the traffic is
/// neither back nor was it sent until the bound was over. False where the scenario expects nothing of that kind of it.
#[must_use]
pub fn is_recovery_open(
    scenario: &Scenario,
    events: &[Event],
    patience: &Patience,
    load: &str,
) -> bool {
    let is_expected = scenario.then.iter().any(
        |expectation| matches!(expectation, Expectation::Recovers { traffic } if traffic == load),
    );
    is_expected && recovers::is_open(&Timeline::new(scenario, events, patience), load)
}

/// Whether a request was refused as these expectations want it: one of them is `refused`, names its batch or load, and has its
/// cause. Whoever counts requests that were not answered goes by this, so that none is called lost that supports an expectation.
#[must_use]
pub fn is_refused_as_wanted(then: &[Expectation], request: &RequestSeen) -> bool {
    let wants = |expectation: &Expectation| {
        matches!(expectation, Expectation::Refused { traffic, because }
            if *traffic == request.traffic && refused::is_refused(request, *because))
    };
    then.iter().any(wants)
}

/// Stands in the matrix of seeded bugs for a checker where it is not a scenario that finds a bug, but the search for private
/// keys at the end of a run.
pub const PRIVATE_KEYS: &str = "private_keys";

/// The checker that judges an expectation, as findings and the mutant matrix name it.
#[must_use]
pub fn name(expectation: &Expectation) -> &'static str {
    match expectation {
        Expectation::Delivered => "delivered",
        Expectation::Confined => "confined",
        Expectation::Restored { .. } => "restored",
        Expectation::StatusIsTrue => "status_is_true",
        Expectation::Rejected { .. } => "rejected",
        Expectation::Answered { .. } => "answered",
        Expectation::PassesBothSidecars { .. } => "passes_both_sidecars",
        Expectation::KeepsProtocol { .. } => "keeps_protocol",
        Expectation::PrefersOwnZone { .. } => "prefers_own_zone",
        Expectation::AnsweredBy { .. } => "answered_by",
        Expectation::SharedBy { .. } => "shared_by",
        Expectation::OverTls { .. } => "over_tls",
        Expectation::InPlaintext { .. } => "in_plaintext",
        Expectation::MovesTo { .. } => "moves_to",
        Expectation::Received { .. } => "received",
        Expectation::OnTheWire { .. } => "on_the_wire",
        Expectation::Refused { .. } => "refused",
        Expectation::Renewed { .. } => "renewed",
        Expectation::KeepsStream { .. } => "keeps_stream",
        Expectation::SpreadsRenewals { .. } => "spreads_renewals",
        Expectation::BacksOff { .. } => "backs_off",
        Expectation::Rotated { .. } => "rotated",
        Expectation::Trusted => "trusted",
        Expectation::SameRoot => "same_root",
        Expectation::Granted { .. } => "granted",
        Expectation::Denied { .. } => "denied",
        Expectation::Audited { .. } => "audited",
        Expectation::HandshakeAnswered { .. } => "handshake_answered",
        Expectation::HandshakeRefused { .. } => "handshake_refused",
        Expectation::FailsOver { .. } => "fails_over",
        Expectation::Unchanged => "unchanged",
        Expectation::Recovers { .. } => "recovers",
    }
}

fn evidence(expectation: &Expectation, timeline: &Timeline<'_>) -> Evidence {
    match expectation {
        Expectation::Delivered => delivered::check(timeline),
        Expectation::Confined => confined::check(timeline),
        Expectation::Restored { reference, step } => restored::check(timeline, *reference, *step),
        Expectation::StatusIsTrue => status_is_true::check(timeline),
        Expectation::Rejected { step } => rejected::check(timeline, *step),
        Expectation::Answered { traffic, lost } => answered::check(timeline, traffic, *lost),
        Expectation::PassesBothSidecars { traffic } => {
            passes_both_sidecars::check(timeline, traffic)
        }
        Expectation::KeepsProtocol { traffic } => keeps_protocol::check(timeline, traffic),
        Expectation::PrefersOwnZone { traffic, percent } => {
            prefers_own_zone::check(timeline, traffic, *percent)
        }
        Expectation::AnsweredBy {
            traffic,
            application,
        } => answered_by::check(timeline, traffic, application),
        Expectation::SharedBy { traffic, percents } => {
            shared_by::check(timeline, traffic, percents)
        }
        Expectation::OverTls { traffic } => arrival::over_tls(timeline, traffic),
        Expectation::InPlaintext { traffic } => arrival::in_plaintext(timeline, traffic),
        Expectation::MovesTo {
            traffic,
            step,
            within,
            is,
        } => moves_to::check(timeline, traffic, *step, *within, *is),
        Expectation::Received {
            traffic,
            application,
            times,
        } => received::check(timeline, traffic, application, *times),
        Expectation::OnTheWire { traffic, is } => on_the_wire::check(timeline, traffic, *is),
        Expectation::Refused { traffic, because } => refused::check(timeline, traffic, *because),
        Expectation::Renewed { since } => renewed::check(timeline, *since),
        Expectation::KeepsStream { since } => keeps_stream::check(timeline, *since),
        Expectation::SpreadsRenewals { since } => spreads_renewals::check(timeline, *since),
        Expectation::BacksOff { component, at_most } => {
            backs_off::check(timeline, component, *at_most)
        }
        Expectation::Rotated { step } => rotated::check(timeline, *step),
        Expectation::Trusted => trusted::check(timeline),
        Expectation::SameRoot => trusted::same_root(timeline),
        Expectation::Granted { ask, at_most } => asked::granted(timeline, ask, *at_most),
        Expectation::Denied { ask, because } => asked::denied(timeline, ask, *because),
        Expectation::Audited { ask, outcome } => audited::check(timeline, ask, *outcome),
        Expectation::HandshakeAnswered { handshake } => handshook::answered(timeline, handshake),
        Expectation::HandshakeRefused { handshake, with } => {
            handshook::refused(timeline, handshake, *with)
        }
        Expectation::FailsOver { traffic, within } => fails_over::check(timeline, traffic, *within),
        Expectation::Unchanged => unchanged::check(timeline),
        Expectation::Recovers { traffic } => recovers::check(timeline, traffic),
    }
}

/// An expectation as a scenario file has it: `then[2] answeredBy`.
fn in_file(index: usize, expectation: &Expectation) -> String {
    let word: String = match serde_json::to_value(expectation) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(fields)) => fields.into_iter().map(|(word, _)| word).collect(),
        _ => name(expectation).to_owned(),
    };
    format!("then[{index}] {word}")
}

fn sum(findings: &[Finding]) -> Verdict {
    findings
        .iter()
        .map(|finding| finding.verdict)
        .max()
        .unwrap_or(Verdict::Inconclusive)
}

/// Whatever was seen, it proves nothing where the scenario was not carried out as it says.
fn only_if_carried_out(finding: Finding, lacking: &[Detail]) -> Finding {
    if finding.verdict != Verdict::Passed || lacking.is_empty() {
        return finding;
    }
    Finding {
        verdict: Verdict::Inconclusive,
        details: lacking.to_vec(),
        ..finding
    }
}

/// Requests and connections go as configurations say, and where there are services. Checkers of configurations know by
/// themselves which are in force.
fn follows_from_writes(expectation: &Expectation) -> bool {
    matches!(
        expectation,
        Expectation::Answered { .. }
            | Expectation::PassesBothSidecars { .. }
            | Expectation::KeepsProtocol { .. }
            | Expectation::PrefersOwnZone { .. }
            | Expectation::AnsweredBy { .. }
            | Expectation::SharedBy { .. }
            | Expectation::OverTls { .. }
            | Expectation::InPlaintext { .. }
            | Expectation::MovesTo { .. }
            | Expectation::Received { .. }
            | Expectation::OnTheWire { .. }
            | Expectation::Refused { .. }
            | Expectation::HandshakeAnswered { .. }
            | Expectation::HandshakeRefused { .. }
    )
}

/// A mesh is not to blame for what comes of a configuration that it was not given, or of a service that was not taken away.
fn only_if_written(expectation: &Expectation, finding: Finding, unwritten: &[Detail]) -> Finding {
    let may_follow = follows_from_writes(expectation) && !unwritten.is_empty();
    if finding.verdict != Verdict::Failed || !may_follow {
        return finding;
    }
    Finding {
        verdict: Verdict::Inconclusive,
        details: [unwritten.to_vec(), finding.details].concat(),
        ..finding
    }
}
