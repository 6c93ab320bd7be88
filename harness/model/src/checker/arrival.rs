//! `over_tls` and `in_plaintext`: how requests came to the callee's sidecar.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::history::{Arrival, RequestSeen};
use crate::verdict::Detail;

/// Judges every answered request: TLS, and the caller's own identity in its certificate.
pub(super) fn over_tls(timeline: &Timeline<'_>, name: &str) -> Evidence {
    judge(timeline, name, |arrival, request| match arrival {
        Arrival::Plaintext => Err("over TLS".to_owned()),
        Arrival::Tls { peer, .. } => match identity_of(timeline, request) {
            Some(own) if peer.as_deref() == Some(own) => Ok(()),
            Some(own) => Err(format!("with the identity {own}")),
            None => Err("from a caller whose identity is known".to_owned()),
        },
    })
}

/// Judges every answered request: no TLS.
pub(super) fn in_plaintext(timeline: &Timeline<'_>, name: &str) -> Evidence {
    judge(timeline, name, |arrival, _| match arrival {
        Arrival::Plaintext => Ok(()),
        Arrival::Tls { .. } => Err("in plaintext".to_owned()),
    })
}

fn judge(
    timeline: &Timeline<'_>,
    name: &str,
    is_right: impl Fn(&Arrival, &RequestSeen) -> Result<(), String>,
) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    for request in traffic.answered() {
        let from = |expected: String, observed: String| Detail {
            sidecar: Some(request.from.clone()),
            ..detail(
                format!("requests of `{name}` to arrive {expected}"),
                format!("request {} {observed}", request.sequence),
            )
        };
        match &request.arrived {
            // Who went past the callee's sidecar, or whose sidecar tells nothing, shows nothing.
            None => evidence.open(from(
                "at a sidecar that tells how".to_owned(),
                "without a trace of it".to_owned(),
            )),
            Some(arrival) => match is_right(arrival, request) {
                Ok(()) => evidence.support(1),
                Err(expected) => evidence.contradict(from(expected, words(arrival))),
            },
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}

fn identity_of<'a>(timeline: &'a Timeline<'_>, request: &RequestSeen) -> Option<&'a str> {
    timeline
        .lives
        .iter()
        .rfind(|life| life.sidecar.name == request.from)?
        .sidecar
        .identity
        .as_deref()
}

fn words(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Plaintext => "in plaintext".to_owned(),
        Arrival::Tls { version, peer, .. } => match peer {
            Some(peer) => format!("over {version} from {peer}"),
            None => format!("over {version} from a caller without certificate"),
        },
    }
}
