//! What the replicas agree on: a ConfigMap, as data.
//!
//! | key | content |
//! |---|---|
//! | `desired` | what the operator wants, JSON: `{"root": 1, "intermediate": 1, "trust": [1], "partners": []}` |
//! | `root-N.pem` | the certificate of version N of the key `root` |
//! | `intermediate-N-below-root-M.pem` | that of version N of the key `intermediate`, signed by root M |
//! | `partner-NAME.pem` | a root of somebody else's, as the operator has written it; trusted when `partners` has its name |
//! | `issuing` | what pods' certificates are issued below, JSON: `{"root": 1, "intermediate": 1}` |
//!
//! Invariant: a certificate that we have put in stays as it is; of what is ours only `issuing` changes, and the rest is the
//! operator's.

use crate::certificate::{Authority, ReadAuthorityError};
use crate::partner::{Partner, ReadPartnerError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name of the ConfigMap.
pub const NAME: &str = "certificate-authority";
/// The key of what the operator wants.
pub const DESIRED: &str = "desired";
/// The key of what is issued below.
pub const ISSUING: &str = "issuing";

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// The version of the root that certificates are to lead to; raised by one to roll.
    pub root: u32,
    /// The version of the intermediate's key.
    pub intermediate: u32,
    /// Which versions of the root are trusted besides `root` and the one that is issued below still.
    #[serde(default)]
    pub trust: BTreeSet<u32>,
    /// Which roots of others are trusted besides, by name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub partners: BTreeSet<String>,
}

/// An intermediate: a version of its key, below a version of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The root's version.
    pub root: u32,
    /// The intermediate's version.
    pub intermediate: u32,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// What the operator wants; none before the first start.
    pub desired: Option<Desired>,
    /// What is issued below; none before there is anything.
    pub issuing: Option<Place>,
    /// Roots by version.
    pub roots: BTreeMap<u32, Arc<Authority>>,
    /// Intermediates.
    pub intermediates: BTreeMap<Place, Arc<Authority>>,
    /// Roots of others by name, trusted or not.
    pub partners: BTreeMap<String, Arc<Partner>>,
}

/// The ConfigMap is not one that was written here.
#[derive(Debug, thiserror::Error)]
pub enum ReadLedgerError {
    /// `desired` or `issuing`.
    #[error("understand `{key}` in ConfigMap {NAME}")]
    Json {
        /// Which.
        key: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A certificate.
    #[error("use `{key}` in ConfigMap {NAME}")]
    Certificate {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: ReadAuthorityError,
    },
    /// A root of somebody else's.
    #[error("use `{key}` in ConfigMap {NAME}")]
    Partner {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: ReadPartnerError,
    },
    /// A root of somebody else's that is to be trusted is not there.
    #[error("find `{}` in ConfigMap {NAME}, which `{DESIRED}` wants to be trusted", partner_key(.0))]
    NoPartner(String),
    /// What is issued below is not there.
    #[error("find the certificates that `issuing` in ConfigMap {NAME} names")]
    Missing,
}

impl Ledger {
    /// Reads a ConfigMap's data. Keys that are not ours are left alone.
    ///
    /// # Errors
    ///
    /// When something of it cannot be understood.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, ReadLedgerError> {
        let mut ledger = Self {
            desired: json(data, DESIRED)?,
            issuing: json(data, ISSUING)?,
            ..Self::default()
        };
        for (key, pem) in data {
            let authority = || {
                let read = Authority::read(pem);
                read.map(Arc::new)
                    .map_err(|source| ReadLedgerError::Certificate {
                        key: key.clone(),
                        source,
                    })
            };
            if let Some(version) = root_of(key) {
                ledger.roots.insert(version, authority()?);
            } else if let Some(place) = place_of(key) {
                ledger.intermediates.insert(place, authority()?);
            } else if let Some(name) = partner_of(key) {
                let read = Partner::read(pem).map_err(|source| ReadLedgerError::Partner {
                    key: key.clone(),
                    source,
                })?;
                ledger.partners.insert(name.to_owned(), Arc::new(read));
            }
        }
        let wanted = ledger.desired.iter().flat_map(|desired| &desired.partners);
        for name in wanted {
            if !ledger.partners.contains_key(name) {
                return Err(ReadLedgerError::NoPartner(name.clone()));
            }
        }
        let is_whole = |place: &Place| {
            ledger.roots.contains_key(&place.root) && ledger.intermediates.contains_key(place)
        };
        if !ledger.issuing.iter().all(is_whole) {
            return Err(ReadLedgerError::Missing);
        }
        Ok(ledger)
    }
}

/// The key of a root.
#[must_use]
pub fn root_key(version: u32) -> String {
    format!("root-{version}.pem")
}

/// The key of an intermediate.
#[must_use]
pub fn intermediate_key(place: Place) -> String {
    let Place { root, intermediate } = place;
    format!("intermediate-{intermediate}-below-root-{root}.pem")
}

/// The key of a root of somebody else's.
#[must_use]
pub fn partner_key(name: &str) -> String {
    format!("partner-{name}.pem")
}

fn partner_of(key: &str) -> Option<&str> {
    key.strip_prefix("partner-")?.strip_suffix(".pem")
}

fn root_of(key: &str) -> Option<u32> {
    let version = key.strip_prefix("root-")?.strip_suffix(".pem")?;
    version.parse().ok()
}

fn place_of(key: &str) -> Option<Place> {
    let versions = key.strip_prefix("intermediate-")?.strip_suffix(".pem")?;
    let (intermediate, root) = versions.split_once("-below-root-")?;
    Some(Place {
        root: root.parse().ok()?,
        intermediate: intermediate.parse().ok()?,
    })
}

fn json<T: serde::de::DeserializeOwned>(
    data: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<Option<T>, ReadLedgerError> {
    let text = data.get(key);
    text.map(|text| serde_json::from_str(text))
        .transpose()
        .map_err(|source| ReadLedgerError::Json { key, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::tests::certificate;
    use rcgen::{BasicConstraints, IsCa};

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let place = Place {
            root: 2,
            intermediate: 7,
        };
        assert_eq!(root_of(&root_key(12)), Some(12));
        assert_eq!(place_of(&intermediate_key(place)), Some(place));
        assert_eq!(place_of("root-1.pem"), None);
        assert_eq!(root_of("root-x.pem"), None);
        assert_eq!(partner_of(&partner_key("bank")), Some("bank"));
    }

    #[test]
    fn what_the_operator_wants_is_read() {
        let read = Ledger::read(&data(&[
            (
                DESIRED,
                r#"{"root": 2, "intermediate": 1, "trust": [1, 2]}"#,
            ),
            ("note", "of somebody else"),
        ]));
        let desired = read.expect("well-formed").desired.expect("there");
        assert_eq!((desired.root, desired.intermediate), (2, 1));
        assert_eq!(desired.trust, BTreeSet::from([1, 2]));
        assert_eq!(Ledger::read(&data(&[])).expect("empty"), Ledger::default());
    }

    #[test]
    fn roots_of_others_are_read_whether_they_are_trusted_or_not() {
        let (pem, _) = certificate(IsCa::Ca(BasicConstraints::Unconstrained), &[]);
        let desired = r#"{"root": 1, "intermediate": 1, "partners": ["bank"]}"#;
        let read = Ledger::read(&data(&[
            (DESIRED, desired),
            ("partner-bank.pem", &pem),
            ("partner-shop.pem", &pem),
        ]));
        let read = read.expect("well-formed");
        let names: Vec<&String> = read.partners.keys().collect();
        assert_eq!(names, ["bank", "shop"]);
        assert_eq!(
            read.desired.expect("there").partners,
            BTreeSet::from(["bank".to_owned()])
        );
    }

    #[test]
    fn mistakes_are_told() {
        for (key, value, expected) in [
            (DESIRED, "root: 2", "understand `desired`"),
            (
                DESIRED,
                r#"{"root": 2, "roots": 3, "intermediate": 1}"#,
                "understand `desired`",
            ),
            ("root-1.pem", "nothing", "use `root-1.pem`"),
            ("partner-bank.pem", "nothing", "use `partner-bank.pem`"),
            (
                DESIRED,
                r#"{"root": 1, "intermediate": 1, "partners": ["bank"]}"#,
                "find `partner-bank.pem`",
            ),
            (
                ISSUING,
                r#"{"root": 1, "intermediate": 1}"#,
                "find the certificates",
            ),
        ] {
            let error = Ledger::read(&data(&[(key, value)]))
                .expect_err("no")
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
