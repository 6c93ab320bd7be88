//! What a callee's sidecar makes of the certificates that clients show.

use super::{scenario, takes, with_tls};
use crate::payload::{application, scope};
use harness_model::capability::Capability;
use harness_model::configuration::InboundTls;
use harness_model::expectation::Expectation;
use harness_model::handshake::{Alert, Handshake, PartnerCertificate, Shown};
use harness_model::rotation::Rotation;
use harness_model::scenario::{Act, Disturbs, Scenario, Tag};

/// What is shown, under which name, and with which alert it is refused. An alert names the cause (RFC 8446, 6.2); these are
/// those of BoringSSL, which Envoy is built with.
const WRONG: [(&str, Shown, Alert); 4] = [
    ("none", Shown::None, Alert::CertificateRequired),
    ("unknown-root", Shown::UnknownRoot, Alert::UnknownCa),
    ("other-key", Shown::OtherKey, Alert::DecryptError),
    ("expired", Shown::Expired, Alert::CertificateExpired),
];

/// What the mesh's authority never issues. A root is trusted that the probe has the key of, so these lead to a root that is known.
const OF_PARTNER: [(&str, PartnerCertificate, Alert); 3] = [
    (
        "not-valid-yet",
        PartnerCertificate::NotValidYet,
        // There is no other alert for it.
        Alert::CertificateExpired,
    ),
    (
        "other-trust-domain",
        PartnerCertificate::OtherTrustDomain,
        Alert::CertificateUnknown,
    ),
    (
        "no-spiffe-id",
        PartnerCertificate::NoSpiffeId,
        Alert::CertificateUnknown,
    ),
];

/// The scenarios.
pub(super) fn all() -> [Scenario; 2] {
    [client_certificates(), partner_root()]
}

fn strict_callee() -> Act {
    let checkout = scope([application("checkout")]);
    Act::Apply(with_tls("callee", checkout, takes(InboundTls::Strict)))
}

fn taken(handshake: &str) -> Expectation {
    Expectation::HandshakeAnswered {
        handshake: handshake.to_owned(),
    }
}

fn refused(handshake: &str, with: Alert) -> Expectation {
    Expectation::HandshakeRefused {
        handshake: handshake.to_owned(),
        with,
    }
}

/// A caller's sidecar always shows the certificate that it was given. Here the probe speaks TLS itself, so that it can show
/// another one.
fn client_certificates() -> Scenario {
    let mut when = vec![strict_callee(), shows("right", Shown::Right)];
    when.extend(WRONG.map(|(name, shown, _)| shows(name, shown)));
    // What was refused before leaves nothing behind.
    when.push(shows("right-again", Shown::Right));
    let mut then = vec![Expectation::Delivered];
    then.extend(["right", "right-again"].map(taken));
    then.extend(WRONG.map(|(name, _, with)| refused(name, with)));
    let mut scenario = scenario(
        "client-certificates",
        "a strict callee takes the client with the right certificate, and refuses others with the alert that names what is wrong",
        when,
        then,
    );
    scenario.requires.push(Capability::Handshakes);
    scenario
}

/// That the partner's right certificate is taken shows that its root is trusted, so what is wrong with the others is what they are
/// refused for; that it is refused in the end shows that the root is not trusted for ever.
fn partner_root() -> Scenario {
    let partner = Shown::OfPartner;
    let mut when = vec![
        strict_callee(),
        Act::Rotate(Rotation::TrustPartner("frontend@$zone1".to_owned())),
        shows("of-the-partner", partner(PartnerCertificate::Right)),
    ];
    when.extend(OF_PARTNER.map(|(name, what, _)| shows(name, partner(what))));
    when.push(shows("of-the-mesh", Shown::Right));
    let dropped = when.len();
    when.extend([
        Act::Rotate(Rotation::DropPartner),
        shows("out-of-trust", partner(PartnerCertificate::Right)),
        shows("of-the-mesh-again", Shown::Right),
    ]);
    let mut then = vec![
        Expectation::Delivered,
        Expectation::Rotated { step: 1 },
        Expectation::Rotated { step: dropped },
        Expectation::Trusted,
    ];
    then.extend(["of-the-partner", "of-the-mesh", "of-the-mesh-again"].map(taken));
    then.extend(OF_PARTNER.map(|(name, _, with)| refused(name, with)));
    then.push(refused("out-of-trust", Alert::UnknownCa));
    let mut scenario = scenario(
        "partner-root",
        "a strict callee takes certificates of a partner's root while that is trusted, but none that are not valid yet, of another trust domain or without a SPIFFE ID",
        when,
        then,
    );
    scenario
        .requires
        .extend([Capability::Handshakes, Capability::PartnerRoots]);
    Scenario {
        tags: vec![Tag::Qa, Tag::PreRelease],
        disturbs: Disturbs::Everything,
        ..scenario
    }
}

fn shows(name: &str, shown: Shown) -> Act {
    Act::Handshake(Handshake {
        name: name.to_owned(),
        from: "frontend@$zone1".to_owned(),
        to: "checkout@$zone1".to_owned(),
        shows: shown,
    })
}
