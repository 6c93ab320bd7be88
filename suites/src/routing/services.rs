//! Services that are taken away while rules lead to them.

use super::{answered_by, scenario, traffic};
use crate::payload::{everybody, header_rule, payload, scope};
use crate::traffic::{answered, load, passes_both_sidecars, stop};
use harness_model::configuration::Configuration;
use harness_model::expectation::Expectation;
use harness_model::history::RefusalCause;
use harness_model::scenario::{Act, Disturbs, Scenario, Traffic};

/// What only this scenario sends.
const HEADER: (&str, &str) = ("x-meshproof-service-withdrawn", "yes");

/// Where the callers are. Three, so that both forms of xDS are among them where sidecars have both.
const ZONES: [&str; 3] = ["$zone1", "$zone2", "$zone3"];

fn name(when: &str, zone: &str) -> String {
    format!("{when}-{}", zone.trim_start_matches('$'))
}

/// Requests of each caller that a rule leads to `inventory`: more than it has pods, so that none of them is left out.
fn led(when: &str) -> impl Iterator<Item = Act> {
    ZONES.into_iter().map(move |zone| {
        let from = format!("frontend@{zone}");
        Act::Request(Traffic {
            count: 8,
            ..traffic(&name(when, zone), &from, "/", &[HEADER])
        })
    })
}

/// A sidecar that keeps what leads to a service that is gone goes on sending requests to its pods, which are still there. That it
/// knows the service no more is told by the cause alone: one without endpoints would be refused for another one.
pub(super) fn taken_away() -> Scenario {
    let detour = Configuration {
        rules: [("route".to_owned(), header_rule(HEADER.0, HEADER.1))].into(),
        ..payload("detour", scope([everybody()]), "v1")
    };
    let service = || "inventory".to_owned();
    let begin = [Act::Apply(detour)];
    let others = || ZONES.into_iter().map(|zone| name("others", zone));
    let loads = ZONES.into_iter().map(|zone| {
        let from = format!("frontend@{zone}");
        load(&name("others", zone), &from, "checkout")
    });
    let when = begin
        .into_iter()
        .chain(loads)
        .chain(led("before"))
        .chain([Act::Withdraw(service())])
        .chain(led("meanwhile"))
        .chain([Act::Offer(service())])
        .chain(led("after"))
        .chain(others().map(|load| stop(&load)));
    let mut then = vec![Expectation::Delivered];
    for zone in ZONES {
        for when in ["before", "after"] {
            let traffic = name(when, zone);
            then.extend([
                answered(&traffic),
                answered_by(&traffic, "inventory"),
                passes_both_sidecars(&traffic),
            ]);
        }
        then.push(Expectation::Refused {
            traffic: name("meanwhile", zone),
            because: RefusalCause::UnknownService,
        });
    }
    for load in others() {
        then.extend([
            answered(&load),
            answered_by(&load, "checkout"),
            passes_both_sidecars(&load),
        ]);
    }
    Scenario {
        disturbs: Disturbs::Everything,
        ..scenario(
            "service-withdrawn",
            "requests that a rule leads to a service that was taken away are refused, in every data center, because the caller's sidecar knows no such service; they are answered when it is back, and requests to others do not notice",
            when.collect(),
            then,
        )
    }
}
