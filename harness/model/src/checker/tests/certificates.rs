//! The histories that the tests of what becomes of certificates begin with.

use super::histories::{both, inside};
use super::requests::{expecting, finding, load};
use crate::configuration::{Configuration, InboundTls, Tls};
use crate::expectation::Expectation;
use crate::history::{CertificateSeen, Observation, Validity};
use crate::scenario::Act;
use crate::testing::{Recorder, configuration, entry_zone, shows};
use crate::verdict::Verdict;

pub(super) const OWN: &str = "spiffe://mesh/sa/checkout";

pub(super) fn with_tls(tls: Tls) -> Configuration {
    Configuration {
        tls: Some(tls),
        ..configuration("scoped", vec![entry_zone("zone1")], "v1")
    }
}

pub(super) fn permissive() -> Configuration {
    with_tls(Tls {
        inbound: Some(InboundTls::Permissive),
        ..Tls::default()
    })
}

pub(super) fn certificate(of: &str, serial: &str) -> Option<CertificateSeen> {
    Some(CertificateSeen {
        warming: false,
        identities: vec![of.to_owned()],
        serial: serial.to_owned(),
        ..CertificateSeen::default()
    })
}

/// Its own certificate, valid from then on for so many milliseconds.
pub(super) fn valid_for(life_ms: i64, serial: &str, from_ms: u64) -> Option<CertificateSeen> {
    let from_ms = i64::try_from(from_ms).expect("small");
    certificate(OWN, serial).map(|own| CertificateSeen {
        valid: Some(Validity {
            from_ms,
            until_ms: from_ms + life_ms,
        }),
        ..own
    })
}

/// A reading of the sidecar in scope with this certificate.
pub(super) fn showing(certificate: Option<CertificateSeen>) -> Observation {
    Observation {
        certificate,
        ..shows(&inside(), "a", "v1", "")
    }
}

/// TLS is turned on in the first step.
pub(super) fn turned_on() -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&permissive());
    recorder
}

/// What is expected of the second step stays open when that was not carried out.
#[track_caller]
pub(super) fn needs_its_step(expectation: Expectation) {
    let when = vec![Act::Apply(permissive()), load()];
    let found = finding(&expecting(when, expectation), &turned_on());
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "no event of it");
}
