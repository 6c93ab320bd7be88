//! A scenario in words: what `explain`, findings and reports say of given, when and then.

mod configuration;
mod expectations;
mod faults;

pub use configuration::{configuration, scope};
pub use expectations::{capability, cause, denial, expectation, spoken, tag};
pub use faults::fault;

use crate::asking::{Ask, Desk, Token, Wish};
use crate::handshake::{Handshake, PartnerCertificate, Shown};
use crate::names::UNKNOWN;
use crate::protocol::{Connections, Protocol};
use crate::rotation::Rotation;
use crate::scenario::{Act, Rollout, Scenario};
use std::collections::BTreeMap;

/// The timeline, one line for each act.
#[must_use]
pub fn acts(scenario: &Scenario) -> Vec<String> {
    scenario.when.iter().map(act).collect()
}

/// What must hold, one line for each expectation.
#[must_use]
pub fn expectations(scenario: &Scenario) -> Vec<String> {
    scenario.then.iter().map(expectation).collect()
}

/// What is there before the first act, one line for each configuration.
#[must_use]
pub fn given(scenario: &Scenario) -> Vec<String> {
    scenario
        .given
        .configurations
        .iter()
        .map(|c| format!("{}, in force", configuration(c)))
        .collect()
}

/// `application checkout`, or that it is not there where nobody is meant to have the name.
fn named(kind: &str, name: &str) -> String {
    match name.strip_prefix(UNKNOWN) {
        Some(name) => format!("some {kind} `{name}` that is not there"),
        None => format!("{kind} {name}"),
    }
}

/// `$ip:checkout@$zone1/24` → `the /24 block around checkout in zone 1`.
fn address(ip: &str) -> String {
    let Some(workload) = ip.strip_prefix("$ip:") else {
        return format!("address {ip}");
    };
    match workload.split_once('/') {
        None | Some((_, "32")) => {
            let workload = workload.trim_end_matches("/32");
            format!("the address of {}", place(workload))
        }
        Some((workload, bits)) => format!("the /{bits} block around {}", place(workload)),
    }
}

fn ask(ask: &Ask) -> String {
    let whom = match ask.at {
        Desk::NodeAgent => "the node agent",
        Desk::Authority => "the authority",
        Desk::KeyService => "the key service",
    };
    let token = match &ask.token {
        Token::None if ask.at == Desk::KeyService => "without a certificate".to_owned(),
        Token::Own if ask.at == Desk::KeyService => "with its own certificate".to_owned(),
        Token::Right => "with the right token".to_owned(),
        Token::None => "without a token".to_owned(),
        Token::Garbage => "with a token that nobody made".to_owned(),
        Token::Signed => "with the right token, signed anew".to_owned(),
        Token::Expired => "with the right token, signed anew so that it has ended".to_owned(),
        Token::OtherAudience => "with a token for somebody else".to_owned(),
        Token::Unbound => "with a token that is bound to no pod".to_owned(),
        Token::Gone => "with the token of a pod that is gone".to_owned(),
        Token::Own => "with its own token".to_owned(),
        Token::Of(workload) if ask.at == Desk::NodeAgent => {
            format!("with the token of {}", place(workload))
        }
        Token::Of(workload) => format!("with the token of the agent beside {}", place(workload)),
        Token::OtherUser => "as another user than the owner of its socket".to_owned(),
    };
    let wish = match ask.wish {
        Wish::Right => "",
        Wish::OtherName => ", for another name",
        Wish::TwoNames => ", for a second name",
        Wish::OtherDomain => ", for its name in another trust domain",
        Wish::OtherNamespace => ", for its name in another namespace",
        Wish::Tampered => ", with a request that was changed",
        Wish::WeakKey => ", for a weak key",
        Wish::OtherCurve => ", for a key on another curve",
        Wish::Signer => ", to sign others",
        Wish::LongLife => ", for a year",
    };
    let from = place(&ask.from);
    format!("{from} asks {whom} {token}{wish} (`{}`)", ask.name)
}

fn handshake(handshake: &Handshake) -> String {
    let shown = match &handshake.shows {
        Shown::Right => "with the right certificate".to_owned(),
        Shown::None => "without a certificate".to_owned(),
        Shown::UnknownRoot => "with a certificate of an unknown root".to_owned(),
        Shown::Expired => "with a certificate that has ended".to_owned(),
        Shown::OtherKey => "with a certificate of another key".to_owned(),
        Shown::OfPartner(what) => of_partner(*what).to_owned(),
        Shown::As(name) => format!("with the certificate of `{name}` once more"),
    };
    let (from, to) = (place(&handshake.from), place(&handshake.to));
    format!(
        "{from} speaks TLS to {to} past its own sidecar, {shown} (`{}`)",
        handshake.name
    )
}

fn of_partner(what: PartnerCertificate) -> &'static str {
    match what {
        PartnerCertificate::Right => "with the right certificate, of its partner's root",
        PartnerCertificate::NotValidYet => {
            "with a certificate of its partner's root that is not valid yet"
        }
        PartnerCertificate::OtherTrustDomain => {
            "with a certificate of its partner's root for another trust domain"
        }
        PartnerCertificate::NoSpiffeId => {
            "with a certificate of its partner's root without a SPIFFE ID"
        }
    }
}

/// A pattern of sidecar names, as the matrix of seeded bugs has them: `*@$zone2` → `a sidecar in zone 2`, `checkout@*` → `a
/// sidecar of checkout`, `*` → `some sidecar`.
#[must_use]
pub fn sidecars(pattern: &str) -> String {
    match pattern.split_once('@') {
        Some(("*", data_center)) => format!("a sidecar in {}", place(data_center)),
        Some((application, "*")) => format!("a sidecar of {application}"),
        // The further pods of a workload have a number behind its name.
        Some(_) => place(pattern.trim_end_matches('*')),
        None => "some sidecar".to_owned(),
    }
}

/// `$zone1` → `zone 1`, `checkout@$zone1` → `checkout in zone 1`, `east` → `data center east`.
fn place(text: &str) -> String {
    let zone = |name: &str| match name.strip_prefix("$zone") {
        Some(number) => format!("zone {number}"),
        None => named("data center", name),
    };
    match text.split_once('@') {
        Some((application, data_center)) => format!("{application} in {}", zone(data_center)),
        None => zone(text),
    }
}

/// One act.
#[must_use]
pub fn act(act: &Act) -> String {
    match act {
        Act::Apply(value) => format!("apply {}", configuration(value)),
        Act::Delete(name) => format!("delete `{name}`"),
        Act::Join {
            application,
            data_center,
            ..
        } => format!("one more {application} joins in {}", place(data_center)),
        Act::Leave {
            application,
            data_center,
            ..
        } => format!("{application} leaves {}", place(data_center)),
        Act::Withdraw(service) => format!("take the service {service} away"),
        Act::Offer(service) => format!("bring the service {service} back"),
        Act::Restart(Rollout::Application(name)) => {
            format!("roll {name} out anew in every data center at once")
        }
        Act::Restart(Rollout::Component(name)) => format!("roll {name} out anew"),
        Act::Reschedule {
            application,
            from,
            to,
        } => format!("{application} moves from {} to {}", place(from), place(to)),
        Act::Reconnect => "every sidecar dials each control-plane replica in turn".to_owned(),
        Act::Hold(span) => format!("go on watching for {span}"),
        Act::Request(traffic) => {
            let headers = headers(&traffic.headers);
            let path = match traffic.protocol {
                Protocol::Http1 | Protocol::Http2 => traffic.path.as_str(),
                Protocol::Grpc
                | Protocol::Tcp
                | Protocol::ServerFirst
                | Protocol::ApplicationTls => traffic.path.trim_end_matches('/'),
            };
            format!(
                "{} sends {} requests to {}{path}{headers}{} (`{}`)",
                place(&traffic.from),
                traffic.count,
                traffic.to,
                over(traffic.protocol),
                traffic.name
            )
        }
        Act::Load(load) => format!(
            "{} starts {} requests a second to {}{}{}{} (`{}`)",
            place(&load.from),
            load.rate,
            load.to,
            headers(&load.headers),
            over(load.protocol),
            match (load.connections, load.protocol.is_bytes()) {
                (Connections::Usual, _) => "",
                (Connections::Kept, true) => ", all over one connection while that is open",
                (Connections::Kept, false) => ", all over one stream while that is open",
            },
            load.name
        ),
        Act::Stop(name) => format!("stop `{name}`"),
        Act::Inject(value) => fault(value),
        Act::Ask(value) => ask(value),
        Act::Handshake(value) => handshake(value),
        Act::Rotate(Rotation::NewRoot) => {
            "make a new root, trusted beside the old one, and have certificates lead to it"
                .to_owned()
        }
        Act::Rotate(Rotation::NewIntermediate) => {
            "have certificates issued by a new intermediate below the same root".to_owned()
        }
        Act::Rotate(Rotation::DropOldRoots) => {
            "take every root out of trust but the one that certificates lead to".to_owned()
        }
        Act::Rotate(Rotation::TrustPartner(of)) => format!(
            "take a root into trust that the mesh's authority has no key of, made by the probe of {}",
            place(of)
        ),
        Act::Rotate(Rotation::DropPartner) => {
            "take the root that the authority has no key of out of trust".to_owned()
        }
        Act::Recover => "wait until every fault has ended and what it hit is back".to_owned(),
    }
}

/// What requests carry, to be put behind where they go.
fn headers(headers: &BTreeMap<String, String>) -> String {
    let headers = headers.iter();
    headers
        .map(|(name, value)| format!(", {name}: {value}"))
        .collect()
}

/// What is spoken, where that is not what is spoken everywhere.
fn over(protocol: Protocol) -> String {
    match protocol {
        Protocol::Http1 => String::new(),
        other => format!(" over {}", other.name()),
    }
}

/// One act without its details, for those who can look them up.
#[must_use]
pub fn act_in_short(value: &Act) -> String {
    match value {
        Act::Apply(configuration) => format!("apply `{}`", configuration.name),
        Act::Request(traffic) => format!("send `{}`", traffic.name),
        Act::Load(load) => format!("start `{}`", load.name),
        other => act(other),
    }
}

/// `step 2 (delete payload)`, or `step 2` where the scenario is not known. Counted from 0, as
/// in scenario files, in `explain` and in the paths of mistakes.
#[must_use]
pub fn step(step: usize, scenario: Option<&Scenario>) -> String {
    match scenario.and_then(|scenario| scenario.when.get(step)) {
        Some(act) => format!("step {step} ({})", act_in_short(act)),
        None => format!("step {step}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Scope, ScopeEntry};

    #[test]
    fn a_scope_reads_as_a_clause() {
        let zone = |n: u8| ScopeEntry {
            data_center: Some(format!("$zone{n}")),
            ..ScopeEntry::default()
        };
        let both = ScopeEntry {
            application: Some("checkout".to_owned()),
            ..zone(2)
        };
        let one = ScopeEntry {
            ip: Some("$ip:checkout@$zone1".to_owned()),
            ..ScopeEntry::default()
        };
        assert_eq!(
            scope(&Scope {
                entries: vec![zone(1), both],
                except: vec![one],
            }),
            "zone 1, or application checkout in zone 2, except the address of checkout in zone 1"
        );
        assert_eq!(scope(&Scope::default()), "nobody");
        assert_eq!(
            scope(&Scope {
                entries: vec![ScopeEntry::default()],
                except: vec![]
            }),
            "everybody"
        );
    }

    #[test]
    fn services_are_taken_away_and_brought_back() {
        let said = |change: fn(String) -> Act| act(&change("inventory".to_owned()));
        assert_eq!(said(Act::Withdraw), "take the service inventory away");
        assert_eq!(said(Act::Offer), "bring the service inventory back");
    }

    #[test]
    fn a_pattern_of_sidecars_reads_as_words() {
        for (pattern, said) in [
            ("*", "some sidecar"),
            ("*@$zone2", "a sidecar in zone 2"),
            ("checkout@*", "a sidecar of checkout"),
            ("checkout@$zone1", "checkout in zone 1"),
            ("checkout@$zone2*", "checkout in zone 2"),
        ] {
            assert_eq!(sidecars(pattern), said);
        }
    }
}
