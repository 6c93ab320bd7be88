//! Whom a scope covers, and how narrowly.
//!
//! Invariant: pure, and decided by what the Kubernetes API says of the sidecar's pod, never by what the
//! sidecar says of itself.

use crate::world::Sidecar;
use mesh_api::{ScopeConfigSpec, ScopeEntry};
use std::net::IpAddr;

/// How narrowly an entry speaks of a sidecar; a later variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Specificity {
    /// An entry without fields.
    Everywhere,
    /// By data center.
    DataCenter,
    /// By cluster.
    Cluster,
    /// By application.
    Application,
    /// By address; the longer prefix wins.
    Ip {
        /// Length of the prefix in bits.
        prefix: u8,
    },
}

/// The specificity of the narrowest matching entry; none when the scope does not cover the sidecar.
#[must_use]
pub fn specificity(scope: &ScopeConfigSpec, sidecar: &Sidecar) -> Option<Specificity> {
    if scope.except.iter().any(|entry| matches(entry, sidecar)) {
        return None;
    }
    narrowest(&scope.entries, sidecar)
}

/// The specificity of the narrowest of these entries that matches, whatever is excepted.
#[must_use]
pub fn narrowest(entries: &[ScopeEntry], sidecar: &Sidecar) -> Option<Specificity> {
    entries
        .iter()
        .filter(|entry| matches(entry, sidecar))
        .map(entry_specificity)
        .max()
}

/// Every field that the entry has agrees with the sidecar.
#[must_use]
pub fn matches(entry: &ScopeEntry, sidecar: &Sidecar) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
    same(&entry.data_center, &sidecar.data_center)
        && same(&entry.cluster, &sidecar.cluster)
        && same(&entry.application, &sidecar.application)
        && entry
            .ip
            .as_deref()
            .is_none_or(|ip| Block::parse(ip).is_some_and(|block| block.contains(sidecar.ip)))
}

fn entry_specificity(entry: &ScopeEntry) -> Specificity {
    if let Some(block) = entry.ip.as_deref().and_then(Block::parse) {
        Specificity::Ip {
            prefix: block.prefix,
        }
    } else if entry.application.is_some() {
        Specificity::Application
    } else if entry.cluster.is_some() {
        Specificity::Cluster
    } else if entry.data_center.is_some() {
        Specificity::DataCenter
    } else {
        Specificity::Everywhere
    }
}

/// An address block; a single address is a block with the full prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    network: IpAddr,
    prefix: u8,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().ok()?;
        let full = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= full)?,
            None => full,
        };
        Some(Self { network, prefix })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.prefix))
                    .unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.prefix))
                    .unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar() -> Sidecar {
        Sidecar {
            data_center: "east".into(),
            cluster: "one".into(),
            application: "checkout".into(),
            ip: "10.101.1.7".parse().expect("an address"),
            ..Sidecar::default()
        }
    }

    fn entry(data_center: &str, cluster: &str, application: &str, ip: &str) -> ScopeEntry {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ScopeEntry {
            data_center: some(data_center),
            cluster: some(cluster),
            application: some(application),
            ip: some(ip),
        }
    }

    #[test]
    fn fields_are_anded() {
        use Specificity::{Application, Cluster, DataCenter, Everywhere, Ip};
        let table = [
            (entry("", "", "", ""), Some(Everywhere)),
            (entry("east", "", "", ""), Some(DataCenter)),
            (entry("west", "", "", ""), None),
            (entry("", "one", "", ""), Some(Cluster)),
            (entry("", "two", "", ""), None),
            (entry("east", "one", "", ""), Some(Cluster)),
            (entry("", "", "checkout", ""), Some(Application)),
            (entry("", "", "frontend", ""), None),
            (entry("east", "", "checkout", ""), Some(Application)),
            (entry("west", "", "checkout", ""), None),
            (entry("", "", "", "10.101.1.7"), Some(Ip { prefix: 32 })),
            (entry("", "", "", "10.101.1.0/24"), Some(Ip { prefix: 24 })),
            (entry("", "", "", "10.101.1.9/24"), Some(Ip { prefix: 24 })),
            (entry("", "", "", "0.0.0.0/0"), Some(Ip { prefix: 0 })),
            (entry("", "", "", "10.101.2.0/24"), None),
            (entry("", "", "", "::/0"), None),
            (entry("", "", "", "nonsense"), None),
            (entry("", "", "", "10.0.0.0/33"), None),
            (entry("", "", "frontend", "10.101.1.7"), None),
        ];
        for (entry, expected) in table {
            assert_eq!(
                narrowest(std::slice::from_ref(&entry), &sidecar()),
                expected,
                "{entry:?}"
            );
        }
    }

    #[test]
    fn entries_are_ored_and_the_narrowest_speaks() {
        let scope = ScopeConfigSpec {
            entries: vec![
                entry("east", "", "", ""),
                entry("", "", "", "10.101.0.0/16"),
                entry("", "", "x", ""),
            ],
            except: vec![],
        };
        assert_eq!(
            specificity(&scope, &sidecar()),
            Some(Specificity::Ip { prefix: 16 })
        );
    }

    #[test]
    fn no_entry_is_nobody_and_except_wins() {
        assert_eq!(specificity(&ScopeConfigSpec::default(), &sidecar()), None);
        let mut scope = ScopeConfigSpec {
            entries: vec![entry("", "", "", "10.101.1.7")],
            except: vec![entry("west", "", "", "")],
        };
        assert!(specificity(&scope, &sidecar()).is_some());
        scope.except.push(entry("", "", "", ""));
        assert_eq!(specificity(&scope, &sidecar()), None);
    }

    #[test]
    fn specificities_are_ordered_as_designed() {
        use Specificity::{Application, Cluster, DataCenter, Everywhere, Ip};
        let order = [
            Everywhere,
            DataCenter,
            Cluster,
            Application,
            Ip { prefix: 0 },
            Ip { prefix: 32 },
        ];
        assert!(order.is_sorted());
    }

    #[test]
    fn an_ipv6_block_holds_ipv6_addresses() {
        let block = Block::parse("fd00::/8").expect("a block");
        assert!(block.contains("fd12::1".parse().expect("an address")));
        assert!(!block.contains("fe80::1".parse().expect("an address")));
    }
}
