//! `over_tls` and `in_plaintext`: how requests came to the callee's sidecar.

use super::evidence::Evidence;
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::history::{Arrival, RequestSeen};

/// Judges every answered request: TLS, of a version that the mesh speaks, and the caller's own identity in its certificate.
pub(super) fn over_tls(timeline: &Timeline<'_>, name: &str) -> Evidence {
    judge(timeline, name, |arrival, request| match arrival {
        Arrival::Plaintext => Err("over TLS".to_owned()),
        Arrival::Tls { outdated: true, .. } => {
            Err("over a version of TLS that the mesh speaks".to_owned())
        }
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
    let mut wrong = Alike::of(traffic.answered().count());
    let mut unknown = Alike::of(traffic.answered().count());
    for request in traffic.answered() {
        let to_arrive = |how: &str| format!("requests of `{name}` to arrive {how}");
        match &request.arrived {
            // Who went past the callee's sidecar, or whose sidecar tells nothing, shows nothing.
            None => unknown.note(
                request,
                to_arrive("at a sidecar that tells how"),
                " without a trace of it".to_owned(),
            ),
            Some(arrival) => match is_right(arrival, request) {
                Ok(()) => evidence.support(1),
                Err(expected) => wrong.note(request, to_arrive(&expected), words(arrival)),
            },
        }
    }
    wrong.contradict(&mut evidence);
    unknown.leave_open(&mut evidence);
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
        Arrival::Plaintext => " in plaintext".to_owned(),
        Arrival::Tls { version, peer, .. } => match peer {
            Some(peer) => format!(" over {version} from {peer}"),
            None => format!(" over {version} from a caller without certificate"),
        },
    }
}
