//! What must hold, and what that takes, in words.

use crate::capability::Capability;
use crate::expectation::Expectation;
use crate::history::RefusalCause;
use crate::scenario::Tag;

/// One expectation.
#[must_use]
pub fn expectation(expectation: &Expectation) -> String {
    match expectation {
        Expectation::Delivered => {
            "after every step each sidecar in scope shows exactly what it must, in time".to_owned()
        }
        Expectation::Confined => {
            "no sidecar ever shows anything it must not, proven by a marker on the same stream"
                .to_owned()
        }
        Expectation::Restored {
            reference, step, ..
        } => format!(
            "after step {} every sidecar's keys are hash-equal to those after step {}",
            step, reference
        ),
        Expectation::StatusIsTrue => {
            "the mesh's own status agrees with what the sidecars show".to_owned()
        }
        Expectation::Rejected { step, .. } => format!(
            "sidecars in scope reject the update of step {} and say why, and the status repeats it",
            step
        ),
        Expectation::Answered { traffic, lost, .. } => match lost {
            0 => format!("every request of `{traffic}` is answered with 200"),
            n => format!("every request of `{traffic}` is answered with 200, but for at most {n}"),
        },
        Expectation::PassesBothSidecars { traffic, .. } => {
            format!(
                "every answered request of `{traffic}` passes the caller's and the callee's sidecar"
            )
        }
        Expectation::PrefersOwnZone {
            traffic, percent, ..
        } => format!(
            "at least {percent}% of the answers to `{traffic}` come from the caller's own zone"
        ),
        Expectation::AnsweredBy {
            traffic,
            application,
            ..
        } => format!("every answer to `{traffic}` comes from {application}"),
        Expectation::SharedBy {
            traffic, percents, ..
        } => {
            let shares: Vec<String> = percents
                .iter()
                .map(|(application, percent)| format!("{percent}% from {application}"))
                .collect();
            format!("of the answers to `{traffic}` come {}", shares.join(", "))
        }
        Expectation::OverTls { traffic } => format!(
            "every answered request of `{traffic}` arrives over TLS with the caller's own identity"
        ),
        Expectation::InPlaintext { traffic } => {
            format!("every answered request of `{traffic}` arrives in plaintext")
        }
        Expectation::Refused { traffic, because } => format!(
            "every request of `{traffic}` is refused, because {}",
            cause(*because)
        ),
        Expectation::Renewed { since } => format!(
            "from step {} on every sidecar that holds a certificate gets a new one of its own",
            since
        ),
        Expectation::FailsOver {
            traffic, within, ..
        } => format!(
            "{within} after the fault began `{traffic}` is answered by others, without loss"
        ),
        Expectation::Unchanged => {
            "sidecars that lost their control plane go on with unchanged configuration".to_owned()
        }
        Expectation::Recovers { traffic, .. } => {
            format!("after the fault `{traffic}` is answered again by what was hit, in time")
        }
    }
}

/// What an environment may lack.
#[must_use]
pub fn capability(capability: Capability) -> String {
    match capability {
        Capability::TwoZones => "at least two zones",
        Capability::ThreeZones => "at least three zones",
        Capability::SeveralReplicas => "more than one control-plane replica",
        Capability::ZoneCut => "a router that can cut a zone off",
        Capability::ZoneLatency => "latency between zones",
        Capability::Reconnect => "sidecars that can be told which replica to dial",
        Capability::Tls => "a mesh with TLS between sidecars",
        Capability::DeliveryStatus => "a mesh that reports delivery status",
    }
    .to_owned()
}

/// A tag as it is written.
#[must_use]
pub fn tag(tag: Tag) -> &'static str {
    match tag {
        Tag::Gate => "gate",
        Tag::Qa => "qa",
        Tag::PreRelease => "pre-release",
        Tag::Chaos => "chaos",
    }
}

/// Why a request was refused.
#[must_use]
pub fn cause(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::Plaintext => "the callee takes no plaintext",
        RefusalCause::NoTls => "the callee speaks no TLS",
        RefusalCause::Untrusted => "a certificate is not trusted",
        RefusalCause::NotAllowed => "the caller may not call",
    }
}
