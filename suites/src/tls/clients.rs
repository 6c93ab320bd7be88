//! What a callee's sidecar makes of the certificates that clients show.

use super::{scenario, takes, with_tls};
use crate::payload::{application, scope};
use harness_model::capability::Capability;
use harness_model::configuration::InboundTls;
use harness_model::expectation::Expectation;
use harness_model::handshake::{Alert, Handshake, Shown};
use harness_model::scenario::{Act, Scenario};

/// What is shown, under which name, and with which alert it is refused. An alert names the cause (RFC 8446, 6.2); these are
/// those of BoringSSL, which Envoy is built with.
const WRONG: [(&str, Shown, Alert); 4] = [
    ("none", Shown::None, Alert::CertificateRequired),
    ("unknown-root", Shown::UnknownRoot, Alert::UnknownCa),
    ("other-key", Shown::OtherKey, Alert::DecryptError),
    ("expired", Shown::Expired, Alert::CertificateExpired),
];

/// A caller's sidecar always shows the certificate that it was given. Here the probe speaks TLS itself, so that it can show
/// another one.
pub(super) fn client_certificates() -> Scenario {
    let mut when = vec![Act::Apply(with_tls(
        "callee",
        scope([application("checkout")]),
        takes(InboundTls::Strict),
    ))];
    when.push(shows("right", Shown::Right));
    when.extend(WRONG.map(|(name, shown, _)| shows(name, shown)));
    // What was refused before leaves nothing behind.
    when.push(shows("right-again", Shown::Right));
    let mut then = vec![Expectation::Delivered];
    then.extend(
        ["right", "right-again"].map(|name| Expectation::HandshakeAnswered {
            handshake: name.to_owned(),
        }),
    );
    then.extend(WRONG.map(|(name, _, with)| Expectation::HandshakeRefused {
        handshake: name.to_owned(),
        with,
    }));
    let mut scenario = scenario(
        "client-certificates",
        "a strict callee takes the client with the right certificate, and refuses others with the alert that names what is wrong",
        when,
        then,
    );
    scenario.requires.push(Capability::Handshakes);
    scenario
}

fn shows(name: &str, shown: Shown) -> Act {
    Act::Handshake(Handshake {
        name: name.to_owned(),
        from: "frontend@$zone1".to_owned(),
        to: "checkout@$zone1".to_owned(),
        shows: shown,
    })
}
