//! What certificates lead to: its keys outlive those who keep them, and it is replaced while everybody goes on.

use crate::tls::{answered, kill, over_tls, steady, strict_everywhere};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![key_service_replaced()]
}

fn scenario(name: &str, claim: &str, when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        name: format!("rotation/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Qa, Tag::PreRelease, Tag::Chaos],
        requires: vec![Capability::ThreeZones, Capability::Tls],
        disturbs: Disturbs::Everything,
        given: Given::default(),
        when,
        then,
    }
}

/// The pod that has the keys in its memory is gone for good; the next one has them from where they are kept.
fn key_service_replaced() -> Scenario {
    scenario(
        "key-service-replaced",
        "certificates are renewed after another pod has taken the place of the key service",
        vec![
            strict_everywhere(),
            steady("frontend@$zone1"),
            kill("key-service"),
            Act::Recover,
            // A certificate lives for twenty seconds: who got none since would have none any more.
            Act::Hold(Span::secs(22)),
            Act::Stop("steady".to_owned()),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Renewed { since: 4 },
            answered("steady"),
            over_tls("steady"),
        ],
    )
}
