//! How a sidecar was set up for TLS over time: its certificate, what it trusts, and its modes.
//!
//! Invariant: what a history does not tell is no span. Only scenarios that speak of TLS have any.

use super::short;
use harness_model::history::{CertificateSeen, Guard, Observation, TlsSeen, offered};

/// A time during which every reading showed the same certificate and modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSpan {
    /// First reading.
    pub from_ns: u64,
    /// Last moment for which it is taken to hold: the next different reading, or the end.
    pub to_ns: u64,
    /// What was shown.
    pub shown: TlsShown,
    /// Still held by the sidecar as far as is known.
    open: bool,
}

/// What one reading shows of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsShown {
    certificate: Option<CertificateSeen>,
    modes: Option<TlsSeen>,
}

/// Takes a reading into the spans of its sidecar.
pub(super) fn take(spans: &mut Vec<TlsSpan>, at_ns: u64, observation: &Observation) {
    let shown = TlsShown::of(observation);
    if let Some(last) = spans.last_mut().filter(|span| span.open) {
        last.to_ns = at_ns;
        if shown.as_ref() == Some(&last.shown) {
            return;
        }
        last.open = false;
    }
    spans.extend(shown.map(|shown| TlsSpan {
        from_ns: at_ns,
        to_ns: at_ns,
        shown,
        open: true,
    }));
}

/// What was shown last held until then.
pub(super) fn close(spans: &mut [TlsSpan], at_ns: u64) {
    if let Some(last) = spans.last_mut().filter(|span| span.open) {
        last.to_ns = at_ns;
        last.open = false;
    }
}

impl TlsShown {
    /// None where the reading tells nothing of TLS.
    fn of(observation: &Observation) -> Option<Self> {
        let (certificate, modes) = (&observation.certificate, &observation.tls);
        (certificate.is_some() || modes.is_some()).then(|| Self {
            certificate: certificate.clone(),
            modes: modes.clone(),
        })
    }

    /// The certificate in few letters: the first digits of its serial number.
    #[must_use]
    pub fn certificate_in_short(&self) -> &str {
        match &self.certificate {
            None => "no certificate",
            Some(certificate) if certificate.warming => "waits for a certificate",
            Some(certificate) => short(&certificate.serial),
        }
    }

    /// Certificate and modes in few words: `3fa29c · in strict · out strict`.
    #[must_use]
    pub fn in_short(&self) -> String {
        let mut parts = vec![self.certificate_in_short().to_owned()];
        if let Some(modes) = &self.modes {
            let told = [inbound(modes.inbound.iter()), outbound(modes)];
            let told = told.into_iter().filter(|part| !part.is_empty());
            parts.extend(told.map(|part| {
                part.replace("inbound ", "in ")
                    .replace("outbound ", "out ")
                    .replace('`', "")
            }));
        }
        parts.join(" · ")
    }

    /// All of it.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut parts = match &self.certificate {
            Some(certificate) if !certificate.warming => told(certificate),
            _ => vec![self.certificate_in_short().to_owned()],
        };
        if let Some(modes) = &self.modes {
            let warming = modes.warming_outbound.iter().copied().map(offered);
            let warming = [
                inbound(modes.warming_inbound.iter()),
                warming.collect::<Vec<_>>().join(" and "),
            ];
            let warming = warming.into_iter().filter(|part| !part.is_empty());
            let in_force = [inbound(modes.inbound.iter()), outbound(modes)];
            parts.extend(in_force.into_iter().filter(|part| !part.is_empty()));
            parts.extend(warming.map(|part| format!("warming {part}")));
        }
        parts.join(", ")
    }
}

/// A certificate: whose it is, and what it leads to.
fn told(certificate: &CertificateSeen) -> Vec<String> {
    let mut parts = vec![format!("certificate {}", certificate.serial)];
    if !certificate.identities.is_empty() {
        parts.push(format!("of {}", certificate.identities.join(" and ")));
    }
    if let Some(root) = &certificate.root {
        parts.push(format!("from the root {}", short(root)));
    }
    if !certificate.roots.is_empty() {
        let roots: Vec<&str> = certificate.roots.iter().map(|root| short(root)).collect();
        parts.push(format!("trusting {}", roots.join(" and ")));
    }
    parts
}

fn inbound<'a>(guards: impl Iterator<Item = &'a Guard>) -> String {
    guards
        .map(Guard::describe)
        .collect::<Vec<_>>()
        .join(" and ")
}

fn outbound(modes: &TlsSeen) -> String {
    let offers = modes.outbound.iter().copied().map(offered);
    offers.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::timeline::tests::{gone, whole};
    use harness_model::configuration::{InboundTls, OutboundTls};
    use harness_model::history::{Event, EventKind};

    /// A reading of a sidecar that takes TLS only and calls over TLS, with a certificate of this serial number.
    pub(crate) fn reading(at_ns: u64, sidecar: &str, serial: Option<&str>) -> Event {
        Event {
            at_ns,
            step: None,
            kind: EventKind::Observed(Box::new(Observation {
                sidecar: sidecar.to_owned(),
                pod_uid: "1".to_owned(),
                certificate: serial.map(|serial| CertificateSeen {
                    serial: serial.to_owned(),
                    identities: vec!["spiffe://mesh/sa/checkout".to_owned()],
                    roots: ["abcdef0123".to_owned()].into(),
                    ..CertificateSeen::default()
                }),
                tls: serial.map(|_| TlsSeen {
                    inbound: [Guard {
                        takes: InboundTls::Strict,
                        allow: None,
                    }]
                    .into(),
                    outbound: [OutboundTls::Permissive].into(),
                    ..TlsSeen::default()
                }),
                ..Observation::default()
            })),
        }
    }

    #[test]
    fn a_span_lasts_as_long_as_the_same_certificate_is_shown() {
        let timeline = whole(&[
            reading(1, "a", None),
            reading(2, "a", Some("0123456789")),
            reading(4, "a", Some("0123456789")),
            reading(7, "a", Some("9876543210")),
            reading(9, "a", Some("9876543210")),
        ]);
        let spans: Vec<_> = timeline.lanes["a"]
            .tls
            .iter()
            .map(|span| (span.from_ns, span.to_ns, span.shown.certificate_in_short()))
            .collect();
        assert_eq!(spans, [(2, 7, "012345"), (7, 9, "987654")]);
    }

    #[test]
    fn who_is_gone_shows_nothing_more() {
        let timeline = whole(&[
            reading(1, "a", Some("01")),
            gone(3),
            reading(8, "a", Some("01")),
        ]);
        let spans: Vec<_> = timeline.lanes["a"]
            .tls
            .iter()
            .map(|span| (span.from_ns, span.to_ns))
            .collect();
        assert_eq!(spans, [(1, 3), (8, 8)]);
    }

    #[test]
    fn certificate_and_modes_are_told_in_short_and_whole() {
        let mut shown = TlsShown {
            certificate: None,
            modes: None,
        };
        assert_eq!(shown.in_short(), "no certificate");
        let EventKind::Observed(seen) = reading(1, "a", Some("0123456789")).kind else {
            panic!("it is a reading");
        };
        shown = TlsShown::of(&seen).expect("it tells of TLS");
        assert_eq!(shown.in_short(), "012345 · in strict · out permissive");
        assert_eq!(
            shown.in_words(),
            "certificate 0123456789, of spiffe://mesh/sa/checkout, trusting abcdef, inbound `strict`, outbound `permissive`"
        );
        let modes = shown.modes.get_or_insert_default();
        modes.warming_outbound.insert(OutboundTls::Strict);
        let waiting = CertificateSeen {
            warming: true,
            ..CertificateSeen::default()
        };
        shown.certificate = Some(waiting);
        assert_eq!(
            shown.in_words(),
            "waits for a certificate, inbound `strict`, outbound `permissive`, warming outbound `strict`"
        );
    }
}
