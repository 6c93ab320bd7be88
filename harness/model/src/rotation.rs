//! Replacing what certificates lead to.

use crate::history::CertificateSeen;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One act of an operator. How it is done in a mesh is said by the mesh definition.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Rotation {
    /// Makes a new root with a new key, which is trusted beside the old one, and to which certificates lead from then on.
    NewRoot,
    /// Makes a new intermediate with a new key below the same root, which certificates are issued by from then on.
    NewIntermediate,
    /// Takes every root out of trust but the one that certificates lead to.
    DropOldRoots,
    /// Takes a root of somebody else's into trust, which the mesh's authority has no key of: one that the probe of this workload
    /// makes (`application@data-center` with placeholders). It is taken out again after the scenario at the latest.
    TrustPartner(String),
    /// Takes the root of somebody else's out of trust.
    DropPartner,
}

/// What the certificates of a cluster led to before an act. The runner waits for what the checker judges, so both ask here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedTo {
    roots: BTreeSet<String>,
    issuers: BTreeSet<String>,
    root_keys: BTreeSet<String>,
    issuer_keys: BTreeSet<String>,
    trusted: BTreeSet<String>,
}

impl LedTo {
    /// Adds a certificate.
    pub fn note(&mut self, certificate: &CertificateSeen) {
        self.roots.extend(certificate.root.clone());
        self.issuers.extend(certificate.issuer.clone());
        self.root_keys.extend(certificate.root_key.clone());
        self.issuer_keys.extend(certificate.issuer_key.clone());
        self.trusted.extend(certificate.roots.iter().cloned());
    }

    /// What is expected of a certificate after the act, and what is there instead; none when it is as it must be.
    #[must_use]
    pub fn lacking(
        &self,
        rotation: &Rotation,
        certificate: &CertificateSeen,
    ) -> Option<(&'static str, String)> {
        let Some(root) = certificate.root.as_ref() else {
            return Some((
                "a certificate that leads to a root that its sidecar trusts",
                "it leads to none".to_owned(),
            ));
        };
        let issuer = certificate.issuer.as_deref().unwrap_or_default();
        let trusted = &certificate.roots;
        match rotation {
            Rotation::NewRoot if self.roots.contains(root) => Some((
                "a certificate that leads to the new root",
                "to an old one".to_owned(),
            )),
            Rotation::NewRoot if has(&self.root_keys, certificate.root_key.as_ref()) => Some((
                "a certificate that leads to a root with a new key",
                "to one with the key of an old root".to_owned(),
            )),
            Rotation::NewRoot if !trusted.is_superset(&self.roots) => Some((
                "trust in the old root beside the new one",
                format!(
                    "{} trusted, and not all that certificates led to",
                    count(trusted)
                ),
            )),
            Rotation::NewIntermediate if self.issuers.contains(issuer) => Some((
                "a certificate of the new intermediate",
                "of an old one".to_owned(),
            )),
            Rotation::NewIntermediate if !self.roots.contains(root) => Some((
                "a certificate that leads to the same root as before",
                "to another one".to_owned(),
            )),
            Rotation::NewIntermediate
                if has(&self.issuer_keys, certificate.issuer_key.as_ref()) =>
            {
                Some((
                    "a certificate of an intermediate with a new key",
                    "of one with the key of an old intermediate".to_owned(),
                ))
            }
            Rotation::DropOldRoots if !(trusted.len() == 1 && trusted.contains(root)) => Some((
                "trust in the root that its certificate leads to, and in no other",
                format!("{} trusted", count(trusted)),
            )),
            Rotation::DropOldRoots if self.trusted.len() < 2 => Some((
                "several roots that were trusted before",
                format!("{} was, so nothing was dropped", count(&self.trusted)),
            )),
            Rotation::TrustPartner(_) | Rotation::DropPartner if !self.roots.contains(root) => {
                Some((
                    "a certificate that leads to the same root as before",
                    "to another one".to_owned(),
                ))
            }
            Rotation::TrustPartner(_) if trusted.is_subset(&self.trusted) => Some((
                "trust in one more root",
                format!("{} trusted, and none is new", count(trusted)),
            )),
            Rotation::DropPartner if trusted.len() >= self.trusted.len() => Some((
                "trust in fewer roots than before",
                format!("{} trusted, as before", count(trusted)),
            )),
            Rotation::NewRoot
            | Rotation::NewIntermediate
            | Rotation::DropOldRoots
            | Rotation::TrustPartner(_)
            | Rotation::DropPartner => None,
        }
    }
}

/// Whether a key is among those; one that nobody tells is not.
fn has(keys: &BTreeSet<String>, key: Option<&String>) -> bool {
    key.is_some_and(|key| keys.contains(key))
}

fn count(roots: &BTreeSet<String>) -> String {
    match roots.len() {
        1 => "one root".to_owned(),
        several => format!("{several} roots"),
    }
}
