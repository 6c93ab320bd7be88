//! `handshake_answered` and `handshake_refused`: what came of a handshake past the caller's sidecar.
//!
//! Invariant: nobody is said to have refused whose certificate was not seen: an alert of somebody else says nothing of the
//! callee.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use crate::directory::Sidecar;
use crate::handshake::{Alert, End, Met, Server};
use crate::history::{Arrival, EventKind};
use crate::verdict::Detail;

/// The request must have been answered by the callee, over TLS with the certificate that was shown.
pub(super) fn answered(timeline: &Timeline<'_>, handshake: &str) -> Evidence {
    let expected = format!("`{handshake}` to be answered by the callee over TLS");
    judge(timeline, handshake, &expected, |ends, met| {
        let End::Answered {
            status,
            by,
            arrived,
            passed_caller_sidecar,
        } = &met.end
        else {
            return Failed(told(&met.end));
        };
        if *status != 200 {
            return Failed(told(&met.end));
        }
        match by {
            Some(by) if by.pod == ends.to.pod => {}
            Some(by) => return Failed(format!("answered by {}", by.pod)),
            None => return Failed("answered by something that is no workload".to_owned()),
        }
        if *passed_caller_sidecar {
            return Open("it went through the caller's own sidecar".to_owned());
        }
        let Some(own) = &ends.from.identity else {
            return Open("nobody says which identity is the caller's own".to_owned());
        };
        let (peer, serial) = match arrived {
            Some(Arrival::Tls { peer, serial, .. }) => (peer, serial),
            Some(Arrival::Plaintext) => return Failed("it arrived in plaintext".to_owned()),
            None => return Open("the callee's sidecar does not tell how it arrived".to_owned()),
        };
        if peer.as_ref() != Some(own) {
            let peer = peer.as_deref().unwrap_or("nobody");
            return Failed(format!("the callee's sidecar took the caller for {peer}"));
        }
        match (&met.shown, serial) {
            (Some(shown), Some(seen)) if is_serial(shown, seen) => Supported,
            (shown, seen) => {
                let text = |serial: &Option<String>| serial.clone().unwrap_or("none".to_owned());
                let (shown, seen) = (text(shown), text(seen));
                Failed(format!("certificate {shown} was shown and {seen} seen"))
            }
        }
    })
}

/// The callee's sidecar must have sent this alert.
pub(super) fn refused(timeline: &Timeline<'_>, handshake: &str, with: Alert) -> Evidence {
    let expected = format!("`{handshake}` to be refused with the alert {}", with.name());
    judge(timeline, handshake, &expected, |_, met| match met.end {
        End::Alert {
            alert: Some(alert), ..
        } if alert == with => Supported,
        _ => Failed(told(&met.end)),
    })
}

/// What one outcome says.
enum Says {
    Supported,
    /// Something else came of it.
    Failed(String),
    /// It cannot be decided.
    Open(String),
}
use Says::{Failed, Open, Supported};

/// Who called whom.
struct Ends<'a> {
    from: &'a Sidecar,
    to: &'a Sidecar,
}

/// Judges each outcome of a handshake by `fits`, and whom it met in any case.
fn judge(
    timeline: &Timeline<'_>,
    name: &str,
    expected: &str,
    fits: impl Fn(&Ends<'_>, &Met) -> Says,
) -> Evidence {
    let mut evidence = Evidence::default();
    let mut made = false;
    for (position, event) in timeline.events.iter().enumerate() {
        let EventKind::Handshook {
            handshake,
            from,
            to,
            met,
        } = &event.kind
        else {
            continue;
        };
        if handshake != name {
            continue;
        }
        made = true;
        let told = |observed: String| Detail {
            sidecar: Some(to.clone()),
            step: event.step,
            ..detail(expected, observed)
        };
        // A name may have been that of an earlier pod: who joined last before it was called counts.
        let of = |name: &String| {
            let lives = timeline.lives.iter();
            lives
                .filter(|life| life.sidecar.name == *name && life.joined <= position)
                .max_by_key(|life| life.joined)
                .map(|life| life.sidecar)
        };
        let says = match (of(from), of(to)) {
            (Some(from), Some(to)) => one(&Ends { from, to }, met, &fits),
            _ => Open("nobody knows the workloads that it is between".to_owned()),
        };
        match says {
            Supported => evidence.support(1),
            Failed(observed) => evidence.contradict(told(observed)),
            Open(observed) => evidence.open(told(observed)),
        }
    }
    if !made {
        evidence.open(detail(expected, "it was not made"));
    }
    evidence
}

fn one(ends: &Ends<'_>, met: &Met, fits: impl Fn(&Ends<'_>, &Met) -> Says) -> Says {
    if let End::Unanswered { reason } = &met.end {
        return Open(format!("not answered: {reason}"));
    }
    match fits(ends, met) {
        Supported => server(ends.to, met.server.as_ref()),
        other => other,
    }
}

/// Whether it was the callee whom the client met.
fn server(callee: &Sidecar, server: Option<&Server>) -> Says {
    let (Some(server), Some(own)) = (server, &callee.identity) else {
        return Open(
            "nobody has shown a certificate by which the callee would be known".to_owned(),
        );
    };
    if let Some(why) = &server.untrusted {
        return Failed(format!("the callee's certificate is not trusted: {why}"));
    }
    if server.identities.as_slice() != [own.clone()] {
        return Failed(format!(
            "the callee has shown a certificate of {}",
            match server.identities.as_slice() {
                [] => "nobody".to_owned(),
                some => some.join(", "),
            }
        ));
    }
    Supported
}

/// Serial numbers in hex, with or without leading zeros.
fn is_serial(a: &str, b: &str) -> bool {
    let number = |text: &str| text.trim_start_matches('0').to_ascii_lowercase();
    number(a) == number(b)
}

fn told(end: &End) -> String {
    match end {
        End::Answered { status, by, .. } => {
            let by = by.as_ref().map_or("nobody known", |by| by.pod.as_str());
            format!("answered with status {status} by {by}")
        }
        End::Alert { code, alert } => match alert {
            Some(alert) => format!("refused with the alert {}", alert.name()),
            None => format!("refused with alert {code}, which has no name"),
        },
        End::Closed { reason } => format!("closed without an alert: {reason}"),
        End::Unanswered { reason } => format!("not answered: {reason}"),
    }
}
