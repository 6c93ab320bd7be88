//! What certificates lead to: its keys outlive those who keep them, and it is replaced while everybody goes on.

use crate::tls::{batch, kill, steady, strict_everywhere};
use crate::traffic::{answered, fresh, over_tls, stop};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::handshake::{Alert, Handshake, Shown};
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

/// No request is lost on connections from before, and none on new ones; nothing but certificates and roots changes.
fn goes_on() -> [Expectation; 5] {
    [
        Expectation::Confined,
        answered("steady"),
        over_tls("steady"),
        answered("fresh"),
        over_tls("fresh"),
    ]
}

/// Both roots are trusted while certificates go over from one to the other, and then the old one is not any more. Sidecars
/// renew theirs in time, so it is a probe that has a certificate of the old root still: it is taken as long as that is trusted.
fn root_rolled() -> Scenario {
    let taken = |handshake: &str| Expectation::HandshakeAnswered {
        handshake: handshake.to_owned(),
    };
    let of_the_old = || Shown::As("before".to_owned());
    let mut scenario = rotating(scenario(
        "root-rolled",
        "certificates go over to a new root without a lost request, and one of the old root is refused once that is out of trust",
        vec![
            strict_everywhere(),
            steady("frontend@$zone1"),
            fresh("frontend@$zone1"),
            shows("before", Shown::Right),
            Act::Rotate(Rotation::NewRoot),
            shows("while-both-are-trusted", of_the_old()),
            Act::Rotate(Rotation::DropOldRoots),
            shows("out-of-trust", of_the_old()),
            shows("of-the-new-root", Shown::Right),
            batch("afterwards", "frontend@$zone2", "checkout"),
            stop("steady"),
            stop("fresh"),
        ],
        [
            Expectation::Delivered,
            Expectation::Rotated { step: 4 },
            Expectation::Rotated { step: 6 },
            Expectation::Trusted,
            taken("before"),
            taken("while-both-are-trusted"),
            Expectation::HandshakeRefused {
                handshake: "out-of-trust".to_owned(),
                with: Alert::UnknownCa,
            },
            taken("of-the-new-root"),
            answered("afterwards"),
            over_tls("afterwards"),
        ]
        .into_iter()
        .chain(goes_on())
        .collect(),
    ));
    scenario.requires.push(Capability::Handshakes);
    scenario
}

/// From a workload that sends nothing else, to one that is called by others, too.
fn shows(name: &str, shown: Shown) -> Act {
    Act::Handshake(Handshake {
        name: name.to_owned(),
        from: "inventory@$zone1".to_owned(),
        to: "checkout@$zone1".to_owned(),
        shows: shown,
    })
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
