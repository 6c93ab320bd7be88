//! What must hold, and what that takes, in words.

use crate::asking::DenialCause;
use crate::capability::Capability;
use crate::expectation::Expectation;
use crate::history::{RefusalCause, Spoken};
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
            "after step {} every sidecar's keys are hash-equal to those after step {}, and its TLS is as it was then",
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
        Expectation::KeepsProtocol { traffic } => {
            format!("every answered request of `{traffic}` arrives in what it was sent in")
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
        Expectation::MovesTo {
            traffic,
            step,
            within,
            is,
        } => format!(
            "{within} after step {} `{traffic}` arrives as {} alone, over whatever connections",
            step,
            spoken(*is)
        ),
        Expectation::Received {
            traffic,
            application,
            times,
        } => match times {
            1 => format!("{application} gets each request of `{traffic}` once"),
            n => format!("{application} gets each request of `{traffic}` {n} times"),
        },
        Expectation::OnTheWire { traffic, is } => format!(
            "between data centers `{traffic}` is seen as {}",
            spoken(*is)
        ),
        Expectation::Refused { traffic, because } => format!(
            "every request of `{traffic}` is refused, because {}",
            cause(*because)
        ),
        Expectation::Renewed { since } => format!(
            "from step {} on every sidecar that holds a certificate gets a new one of its own in time",
            since
        ),
        Expectation::KeepsStream { since } => format!(
            "from step {} on each new certificate comes on the stream on which the one before it came",
            since
        ),
        Expectation::SpreadsRenewals { since } => format!(
            "from step {} on certificates are not all renewed after the same part of their lives",
            since
        ),
        Expectation::BacksOff { component, at_most } => format!(
            "while a fault is in force {component} refuses at most {at_most} requests a second for each sidecar whose certificate may be due"
        ),
        Expectation::Rotated { step } => format!(
            "after step {} what certificates lead to, and what is trusted, is as the act says, in time",
            step
        ),
        Expectation::Trusted => {
            "every certificate always leads to a root that every sidecar trusts then, and where the mesh publishes its roots these are what sidecars trust after each rotation"
                .to_owned()
        }
        Expectation::SameRoot => {
            "all certificates lead to one root, by one issuer, all the time".to_owned()
        }
        Expectation::Granted { ask, at_most } => format!(
            "`{ask}` is granted a certificate of the asking workload alone, for {at_most} at most"
        ),
        Expectation::Denied { ask, because } => {
            format!("`{ask}` is denied, because {}", denial(*because))
        }
        Expectation::Audited { ask, outcome } => format!(
            "the key service's audit log has a call for `{ask}` that was {}, in time",
            outcome.word()
        ),
        Expectation::HandshakeAnswered { handshake } => format!(
            "`{handshake}` is answered over TLS by the callee, who shows its own identity and sees the caller's"
        ),
        Expectation::HandshakeRefused { handshake, with } => {
            format!(
                "`{handshake}` is refused by the callee's sidecar with the alert {}",
                with.name()
            )
        }
        Expectation::FailsOver {
            traffic, within, ..
        } => format!(
            "{within} after the fault began `{traffic}` is answered by others, without loss"
        ),
        Expectation::Unchanged => {
            "sidecars that lost their control plane go on with unchanged configuration, and are not started anew".to_owned()
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
        Capability::PodFreeze => "nodes that can freeze a pod",
        Capability::LateAnswers => "nodes that can hold back what a component is asked",
        Capability::ComponentOutage => "a cluster of ours, where a component can be taken away",
        Capability::ClientDenial => {
            "a component with a list of its clients, on a cluster of ours, where it can be changed"
        }
        Capability::NodeOutage => "nodes that can be switched off and on",
        Capability::SocketFault => "a component with a socket, on nodes where it can be broken",
        Capability::DiskFull => {
            "a component with a folder, on nodes where its file system can be filled"
        }
        Capability::KubernetesOutage => "an API server and an etcd that can be taken away",
        Capability::ZoneLatency => "latency between zones",
        Capability::Reconnect => "sidecars that can be told which replica to dial",
        Capability::Tls => "a mesh with TLS between sidecars",
        Capability::Rotation => "a mesh whose roots can be replaced",
        Capability::PartnerRoots => "a mesh that can be told to trust a root of somebody else's",
        Capability::TokenSigning => "a cluster of ours, whose key for tokens the harness has",
        Capability::Identities => "a probe that can ask for identities",
        Capability::PrivateSocket => "a node agent whose socket is for its owner alone",
        Capability::KeyService => "a key service that a probe can come to",
        Capability::AuditLog => "a key service whose audit log can be read",
        Capability::Handshakes => "a probe that can speak TLS as sidecars do",
        Capability::Wire => "a place between data centers where packets can be looked at",
        Capability::Protocols => "workloads that speak HTTP/2, gRPC and bytes",
        Capability::ServerFirst => "workloads that speak first",
        Capability::ApplicationTls => "workloads that speak TLS themselves",
        Capability::Impostor => "a service whose pods run under another identity than is expected",
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

/// Why an identity was denied.
#[must_use]
pub fn denial(cause: DenialCause) -> &'static str {
    match cause {
        DenialCause::NoToken => "there is no token",
        DenialCause::UnknownToken => "nobody knows the token",
        DenialCause::Expired => "the token has ended",
        DenialCause::OtherAudience => "the token is for somebody else",
        DenialCause::PodGone => "the token's pod is gone",
        DenialCause::Unbound => "the token is bound to no pod",
        DenialCause::OtherNode => "it is of another node",
        DenialCause::OtherAccount => "the token's account may not ask",
        DenialCause::OtherName => "it is not for the pod's own name alone",
        DenialCause::BadSignature => "the signature does not fit",
        DenialCause::WeakKey => "the key is too weak, or of a kind that is not taken",
        DenialCause::TooMuch => "no workload may be that",
        DenialCause::NotServed => "who is asked is not served itself by what it needs",
        DenialCause::NoCertificate => "no client certificate is shown",
        DenialCause::UnknownAuthority => "the client certificate leads to no root that is trusted",
        DenialCause::OtherUser => "the permissions of the socket let its owner alone dial",
    }
}

/// What a connection carries.
#[must_use]
pub fn spoken(spoken: Spoken) -> &'static str {
    match spoken {
        Spoken::Tls => "TLS",
        Spoken::Plaintext => "plaintext",
    }
}

/// Why a request was refused.
#[must_use]
pub fn cause(cause: RefusalCause) -> &'static str {
    match cause {
        RefusalCause::Plaintext => "the callee takes no plaintext",
        RefusalCause::NoTls => "the callee speaks no TLS",
        RefusalCause::OtherName => "the callee is somebody else",
        RefusalCause::Expired => "a certificate has ended",
        RefusalCause::Untrusted => "a certificate is not trusted",
        RefusalCause::NotAllowed => "the caller may not call",
        RefusalCause::Timeout => "the callee takes too long",
        RefusalCause::UnknownService => "the caller's sidecar knows no such service",
    }
}
