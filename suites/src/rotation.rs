//! What certificates lead to: its keys outlive those who keep them, and it is replaced while everybody goes on.

use crate::tls::{batch, kill, steady, strict_everywhere};
use crate::traffic::{answered, fresh, over_tls, stop};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::rotation::Rotation;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![root_rolled(), intermediate_rolled(), key_service_replaced()]
}

fn scenario(name: &str, claim: &str, when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        name: format!("rotation/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Qa, Tag::PreRelease, Tag::Chaos],
        requires: vec![
            Capability::ThreeZones,
            Capability::Tls,
            Capability::Protocols,
        ],
        disturbs: Disturbs::Everything,
        given: Given::default(),
        when,
        then,
    }
}

/// No request is lost on connections from before, and none on new ones.
fn goes_on() -> [Expectation; 4] {
    [
        answered("steady"),
        over_tls("steady"),
        answered("fresh"),
        over_tls("fresh"),
    ]
}

/// Both roots are trusted while certificates go over from one to the other, and then the old one is not any more.
fn root_rolled() -> Scenario {
    rotating(scenario(
        "root-rolled",
        "certificates go over to a new root and the old one goes out of trust without a lost request",
        vec![
            strict_everywhere(),
            steady("frontend@$zone1"),
            fresh("frontend@$zone1"),
            Act::Rotate(Rotation::NewRoot),
            Act::Rotate(Rotation::DropOldRoots),
            batch("afterwards", "frontend@$zone2", "checkout"),
            stop("steady"),
            stop("fresh"),
        ],
        [
            Expectation::Delivered,
            Expectation::Rotated { step: 3 },
            Expectation::Rotated { step: 4 },
            Expectation::Trusted,
            answered("afterwards"),
            over_tls("afterwards"),
        ]
        .into_iter()
        .chain(goes_on())
        .collect(),
    ))
}

/// Nobody needs to know an intermediate before: it comes with the certificate.
fn intermediate_rolled() -> Scenario {
    rotating(scenario(
        "intermediate-rolled",
        "certificates go over to a new intermediate below the same root without a lost request",
        vec![
            strict_everywhere(),
            steady("frontend@$zone3"),
            fresh("frontend@$zone3"),
            Act::Rotate(Rotation::NewIntermediate),
            batch("afterwards", "inventory@$zone3", "checkout"),
            stop("steady"),
            stop("fresh"),
        ],
        [
            Expectation::Delivered,
            Expectation::Rotated { step: 3 },
            Expectation::Trusted,
            answered("afterwards"),
            over_tls("afterwards"),
        ]
        .into_iter()
        .chain(goes_on())
        .collect(),
    ))
}

fn rotating(scenario: Scenario) -> Scenario {
    let mut requires = scenario.requires;
    requires.push(Capability::Rotation);
    Scenario {
        tags: vec![Tag::Qa, Tag::PreRelease],
        requires,
        ..scenario
    }
}

/// The pod that has the keys in its memory is gone for good; the next one has them from where they are kept.
fn key_service_replaced() -> Scenario {
    scenario(
        "key-service-replaced",
        "certificates are renewed with the same keys after another pod has taken the place of the key service",
        vec![
            strict_everywhere(),
            steady("frontend@$zone1"),
            fresh("frontend@$zone1"),
            kill("key-service"),
            Act::Recover,
            // A certificate lives for twenty seconds: who got none since would have none any more.
            Act::Hold(Span::secs(22)),
            stop("steady"),
            stop("fresh"),
        ],
        [
            Expectation::Delivered,
            Expectation::Renewed { since: 5 },
            Expectation::SameRoot,
        ]
        .into_iter()
        .chain(goes_on())
        .collect(),
    )
}
