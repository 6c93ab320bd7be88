//! How a sidecar is set up for TLS: whom it lets in and how, and what it offers to those that it calls.

use crate::configuration::{InboundTls, OutboundTls};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a reading tells of a sidecar's part in TLS, for each direction what is in force and what only waits to be. A set has
/// one member where the sidecar does the same everywhere, and none where it does nothing at all yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsSeen {
    /// Who comes in, of all ways that lead to its application.
    pub inbound: BTreeSet<Guard>,
    /// What it offers, of all services that it can call.
    pub outbound: BTreeSet<OutboundTls>,
    /// `inbound` of what is warming.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub warming_inbound: BTreeSet<Guard>,
    /// `outbound` of what is warming.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub warming_outbound: BTreeSet<OutboundTls>,
}

impl TlsSeen {
    /// Whether nothing of it is TLS, neither in force nor warming.
    #[must_use]
    pub fn is_plaintext(&self) -> bool {
        let mut inbound = self.inbound.iter().chain(&self.warming_inbound);
        let outbound = self.outbound.iter().chain(&self.warming_outbound);
        inbound.all(|guard| *guard == Guard::default())
            && outbound.copied().all(|mode| mode == OutboundTls::default())
    }
}

/// Who comes in to a sidecar's application, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guard {
    /// What is taken.
    pub takes: InboundTls,
    /// The applications that may call, or what stands there in their place where it is no application's identity; absent:
    /// everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<BTreeSet<String>>,
}

impl Guard {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        let takes = match self.takes {
            InboundTls::Plaintext => "inbound `plaintext`",
            InboundTls::Permissive => "inbound `permissive`",
            InboundTls::Strict => "inbound `strict`",
        };
        match &self.allow {
            None => takes.to_owned(),
            Some(nobody) if nobody.is_empty() => format!("{takes} of nobody"),
            Some(allowed) => {
                let allowed: Vec<String> = allowed.iter().map(|who| format!("`{who}`")).collect();
                format!("{takes} of {} only", allowed.join(", "))
            }
        }
    }
}

/// What a caller offers, in words.
#[must_use]
pub fn offered(mode: OutboundTls) -> String {
    let mode = match mode {
        OutboundTls::Plaintext => "plaintext",
        OutboundTls::Permissive => "permissive",
        OutboundTls::Strict => "strict",
    };
    format!("outbound `{mode}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_told_with_whom_they_let_in() {
        let strict = |allow: Option<&[&str]>| Guard {
            takes: InboundTls::Strict,
            allow: allow.map(|all| all.iter().map(|who| (*who).to_owned()).collect()),
        };
        assert_eq!(strict(None).describe(), "inbound `strict`");
        assert_eq!(strict(Some(&[])).describe(), "inbound `strict` of nobody");
        assert_eq!(
            strict(Some(&["b", "a"])).describe(),
            "inbound `strict` of `a`, `b` only"
        );
    }

    #[test]
    fn what_warms_is_not_overlooked() {
        let plain = TlsSeen {
            inbound: [Guard::default()].into(),
            outbound: [OutboundTls::Plaintext].into(),
            ..TlsSeen::default()
        };
        assert!(plain.is_plaintext() && TlsSeen::default().is_plaintext());
        let strict = Guard {
            takes: InboundTls::Strict,
            allow: None,
        };
        let restricted = Guard {
            allow: Some(BTreeSet::new()),
            ..Guard::default()
        };
        for guard in [strict, restricted] {
            let mut seen = plain.clone();
            seen.inbound.insert(guard.clone());
            assert!(!seen.is_plaintext());
            let mut seen = plain.clone();
            seen.warming_inbound.insert(guard);
            assert!(!seen.is_plaintext());
        }
        let mut seen = plain.clone();
        seen.outbound.insert(OutboundTls::Permissive);
        assert!(!seen.is_plaintext());
        let mut seen = plain;
        seen.warming_outbound.insert(OutboundTls::Strict);
        assert!(!seen.is_plaintext());
    }
}
