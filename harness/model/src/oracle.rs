//! What each sidecar must hold, computed from the configurations in force.
//!
//! Invariant: written from the specification (`ARCHITECTURE.md`, precedence) and never shared with a control plane:
//! shared logic would agree with its own bugs.

use crate::configuration::{Configuration, InboundTls, OutboundTls, Rule, Scope, ScopeEntry, Tls};
use crate::directory::Sidecar;
use crate::history::Guard;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The configurations in force, in the order of their creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    configurations: Vec<Configuration>,
    /// What it says of modes could not be compared with anything.
    leaves_modes_out: bool,
}

/// What one sidecar must hold: nothing less and nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Toggle key → value.
    pub toggles: BTreeMap<String, String>,
    /// Rule name → rule.
    pub rules: BTreeMap<String, Rule>,
    /// A certificate of its own: it speaks TLS in some direction. Without that it must have none.
    pub certificate: bool,
    /// How it is set up for TLS; none where readings do not tell.
    pub modes: Option<Modes>,
}

/// How a sidecar is set up for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Who comes in, and how.
    pub inbound: Guard,
    /// What it offers to those that it calls.
    pub outbound: OutboundTls,
}

impl Expected {
    /// Nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_plaintext = |modes: &Modes| *modes == Modes::default();
        self.toggles.is_empty()
            && self.rules.is_empty()
            && !self.certificate
            && self.modes.as_ref().is_none_or(is_plaintext)
    }
}

impl Oracle {
    /// For a history whose readings do not tell how sidecars are set up for TLS.
    #[must_use]
    pub fn without_modes() -> Self {
        Self {
            leaves_modes_out: true,
            ..Self::default()
        }
    }

    /// Puts a configuration in force. One of the same name is replaced and keeps its age.
    pub fn write(&mut self, configuration: Configuration) {
        match self
            .configurations
            .iter_mut()
            .find(|known| known.name == configuration.name)
        {
            Some(known) => *known = configuration,
            None => self.configurations.push(configuration),
        }
    }

    /// Takes a configuration out of force; fine when there is none.
    pub fn delete(&mut self, name: &str) {
        self.configurations.retain(|known| known.name != name);
    }

    /// Whether the scope of the named configuration covers the sidecar, whoever wins.
    #[must_use]
    pub fn in_scope(&self, name: &str, sidecar: &Sidecar) -> bool {
        self.configurations
            .iter()
            .any(|known| known.name == name && specificity(&known.scope, sidecar).is_some())
    }

    /// What the sidecar must hold.
    #[must_use]
    pub fn expected(&self, sidecar: &Sidecar) -> Expected {
        let mut ranked: Vec<_> = self
            .configurations
            .iter()
            .enumerate()
            .filter_map(|(age, configuration)| {
                let specificity = specificity(&configuration.scope, sidecar)?;
                let rank = (
                    specificity,
                    configuration.priority,
                    Reverse(age),
                    Reverse(&configuration.name),
                );
                Some((rank, configuration))
            })
            .collect();
        // Weakest first, so that what is written later wins.
        ranked.sort_by_key(|(rank, _)| *rank);
        let mut expected = Expected::default();
        let mut tls = Tls::default();
        for (_, configuration) in ranked {
            expected.toggles.extend(configuration.toggles.clone());
            expected.rules.extend(configuration.rules.clone());
            if let Some(says) = &configuration.tls {
                tls.inbound = says.inbound.or(tls.inbound);
                tls.outbound = says.outbound.or(tls.outbound);
                tls.allow = says.allow.clone().or(tls.allow);
            }
        }
        let modes = Modes {
            inbound: Guard {
                takes: tls.inbound.unwrap_or_default(),
                allow: tls.allow.map(BTreeSet::from_iter),
            },
            outbound: tls.outbound.unwrap_or_default(),
        };
        expected.certificate = modes.inbound.takes != InboundTls::Plaintext
            || modes.outbound != OutboundTls::Plaintext;
        expected.modes = (!self.leaves_modes_out).then_some(modes);
        expected
    }
}

/// How narrowly an entry speaks of a sidecar; a later variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Everywhere,
    DataCenter,
    Cluster,
    Application,
    /// With the length of the prefix.
    Ip(u8),
}

/// The specificity of the narrowest matching entry; none when the scope does not cover the sidecar.
fn specificity(scope: &Scope, sidecar: &Sidecar) -> Option<Specificity> {
    if scope.except.iter().any(|entry| matches(entry, sidecar)) {
        return None;
    }
    scope
        .entries
        .iter()
        .filter(|entry| matches(entry, sidecar))
        .map(entry_specificity)
        .max()
}

fn entry_specificity(entry: &ScopeEntry) -> Specificity {
    if let Some(block) = entry.ip.as_deref().and_then(Block::parse) {
        Specificity::Ip(block.prefix)
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

fn matches(entry: &ScopeEntry, sidecar: &Sidecar) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
    same(&entry.data_center, &sidecar.data_center)
        && same(&entry.cluster, &sidecar.cluster)
        && same(&entry.application, &sidecar.application)
        && entry
            .ip
            .as_deref()
            .is_none_or(|ip| Block::parse(ip).is_some_and(|block| block.contains(&sidecar.ip)))
}

/// An IPv4 address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    network: u32,
    prefix: u8,
}

impl Block {
    /// `10.1.2.3` (one address) or `10.1.0.0/16`; bits beyond the prefix are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, prefix.parse().ok().filter(|p| *p <= 32)?),
            None => (text, 32),
        };
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self {
            network: u32::from(address) & mask(prefix),
            prefix,
        })
    }

    /// Whether the address lies in the block; false for what is no IPv4 address.
    #[must_use]
    pub fn contains(self, address: &str) -> bool {
        address
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| u32::from(address) & mask(self.prefix) == self.network)
    }

    /// The first address of the block.
    #[must_use]
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.network)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
