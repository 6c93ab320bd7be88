//! The words that scenarios are written with: scope entries and payloads.

use harness_model::configuration::{Configuration, Rule, Scope, ScopeEntry};
use std::collections::BTreeMap;

/// The sidecars of a data center.
pub(crate) fn data_center(name: &str) -> ScopeEntry {
    ScopeEntry {
        data_center: Some(name.to_owned()),
        ..ScopeEntry::default()
    }
}

/// The sidecars of an application.
pub(crate) fn application(name: &str) -> ScopeEntry {
    ScopeEntry {
        application: Some(name.to_owned()),
        ..ScopeEntry::default()
    }
}

/// The sidecars with an address.
pub(crate) fn address(ip: &str) -> ScopeEntry {
    ScopeEntry {
        ip: Some(ip.to_owned()),
        ..ScopeEntry::default()
    }
}

/// The sidecars of an application in a data center.
pub(crate) fn workload(of: &str, at: &str) -> ScopeEntry {
    ScopeEntry {
        application: Some(of.to_owned()),
        data_center: Some(at.to_owned()),
        ..ScopeEntry::default()
    }
}

/// Every sidecar.
pub(crate) fn everybody() -> ScopeEntry {
    ScopeEntry::default()
}

/// Whom one of the entries matches.
pub(crate) fn scope<const N: usize>(entries: [ScopeEntry; N]) -> Scope {
    Scope {
        entries: entries.to_vec(),
        except: Vec::new(),
    }
}

/// Toggle `feature` and rule `route`, both of which carry `version`. The rule catches only requests with a
/// header that nobody sends, so that scenarios do not move each other's traffic.
pub(crate) fn payload(name: &str, scope: Scope, version: &str) -> Configuration {
    payload_as(name, scope, version, "")
}

/// [`payload`] with keys of its own, for configurations that must not compete.
pub(crate) fn payload_as(name: &str, scope: Scope, version: &str, suffix: &str) -> Configuration {
    Configuration {
        name: name.to_owned(),
        scope,
        priority: 0,
        toggles: [(format!("feature{suffix}"), version.to_owned())].into(),
        rules: [(
            format!("route{suffix}"),
            header_rule("x-meshproof-version", version),
        )]
        .into(),
        tls: None,
    }
}

/// Requests to `checkout` that carry a header go to `inventory`.
pub(crate) fn header_rule(header: &str, value: &str) -> Rule {
    Rule {
        service: "checkout".to_owned(),
        path_prefix: None,
        path_regex: None,
        headers: [(header.to_owned(), value.to_owned())].into(),
        to: [("inventory".to_owned(), 100)].into(),
        ..Rule::default()
    }
}

/// Requests to `checkout` below a path go to `inventory`.
pub(crate) fn path_rule(prefix: &str) -> Rule {
    Rule {
        service: "checkout".to_owned(),
        path_prefix: Some(prefix.to_owned()),
        path_regex: None,
        headers: BTreeMap::new(),
        to: [("inventory".to_owned(), 100)].into(),
        ..Rule::default()
    }
}
