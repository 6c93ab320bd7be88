//! What the node agents have on their nodes' disks, which is broken under them: the socket through which sidecars get their
//! certificates, and the room around it.

use super::certificates::under_tls;
use super::hold;
use crate::payload::{application, scope};
use crate::tls::{batch, steady, strict};
use crate::traffic::{answered, fresh, over_tls, stop};
use harness_model::duration::Span;
use harness_model::fault::{Fault, SocketHarm};
use harness_model::scenario::{Act, Rollout, Scenario};

/// The name that the mesh definitions give the node agents.
const AGENT: &str = "node-agent";

/// The scenarios about disks.
pub(super) fn all() -> Vec<Scenario> {
    vec![
        broken(
            "socket-unlinked",
            "while the node agents' socket has lost its name, certificates are renewed without a lost request, and pods that start get theirs",
            SocketHarm::Unlinked,
        ),
        broken(
            "socket-forbidden",
            "while nobody may dial the node agents' socket, certificates are renewed without a lost request, and pods that start get theirs",
            SocketHarm::Forbidden,
        ),
        full(),
    ]
}

fn broken(name: &str, claim: &str, how: SocketHarm) -> Scenario {
    let fault = Fault::SocketFault {
        component: AGENT.to_owned(),
        data_center: "$zone1".to_owned(),
        how,
        // An agent that does not mend it has broken it for all of the acts that follow.
        duration: Span::secs(30),
    };
    harmed(name, claim, vec![Act::Inject(fault)])
}

/// The agents are replaced meanwhile: a new one has no keys, and must make its socket and fetch every certificate with no
/// room on the disk. It is a rollout and not a kill, which would excuse what is late until the disk has room again.
fn full() -> Scenario {
    let fault = Fault::DiskFull {
        component: AGENT.to_owned(),
        data_center: "$zone1".to_owned(),
        // For all of the acts that follow.
        duration: Span::secs(50),
    };
    harmed(
        "disk-full",
        "while the disk is full on which node agents have their socket, new agents serve, certificates are renewed without a lost request, and pods that start get theirs",
        vec![
            Act::Inject(fault),
            Act::Restart(Rollout::Component(AGENT.to_owned())),
        ],
    )
}

/// Who has a stream to the agent keeps it, and gets new certificates over it. Who has none must dial: pods that started
/// afterwards, which are told to speak TLS only then, so that nobody waits for the end of the fault.
fn harmed(name: &str, claim: &str, acts: Vec<Act>) -> Scenario {
    let before = scope([application("frontend"), application("checkout")]);
    let afterwards = scope([application("inventory")]);
    let from = "frontend@$zone1";
    let mut when = vec![strict("before", before), steady(from), fresh(from)];
    let since = when.len();
    when.extend(acts);
    when.extend([
        Act::Restart(Rollout::Application("inventory".to_owned())),
        strict("afterwards", afterwards),
        batch("newcomer", "inventory@$zone1", "checkout"),
        hold(13),
        stop("steady"),
        stop("fresh"),
        Act::Recover,
    ]);
    let mut scenario = under_tls(name, claim, since, when);
    scenario
        .then
        .extend([answered("newcomer"), over_tls("newcomer")]);
    scenario
}
