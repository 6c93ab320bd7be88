//! Scenarios name places of the environment they run in without knowing it.
//!
//! | written | means |
//! |---|---|
//! | `$zone1` | the first data center of the topology |
//! | `$cluster1` | the first cluster |
//! | `checkout@$zone1` | a workload by its stable name |
//! | `$ip:checkout@$zone1` | the address of that workload |
//! | `$ip:checkout@$zone1/24` | the block of that length around its address |
//! | `$unknown:elsewhere` | `elsewhere`, which nobody in the environment is called |

use crate::asking::Token;
use crate::configuration::{Configuration, Scope, ScopeEntry, Tls};
use crate::directory::{Directory, Sidecar};
use crate::fault::{Fault, PodSelector};
use crate::names::UNKNOWN;
use crate::oracle::Block;
use crate::rotation::Rotation;
use crate::scenario::{Act, Given, Scenario};

/// A placeholder that means nothing in this environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("resolve `{text}`: {reason}")]
pub struct Unresolved {
    /// As it stands in the scenario.
    pub text: String,
    /// Why it means nothing.
    pub reason: String,
}

/// Puts the values of `directory` into an act.
///
/// # Errors
///
/// Every placeholder that means nothing.
pub fn resolve_act(act: &Act, directory: &Directory) -> Result<Act, Vec<Unresolved>> {
    let mut resolver = Resolver::new(directory);
    let resolved = resolver.act(act);
    resolver.finish(resolved)
}

/// Puts the values of `directory` into a whole scenario. What is resolved again while the scenario runs
/// (a pod may have another address by then) is found to be resolvable here, before anything is done.
///
/// # Errors
///
/// Every placeholder that means nothing.
pub fn resolve_scenario(
    scenario: &Scenario,
    directory: &Directory,
) -> Result<Scenario, Vec<Unresolved>> {
    let mut resolver = Resolver::new(directory);
    let configurations = scenario
        .given
        .configurations
        .iter()
        .map(|configuration| resolver.configuration(configuration))
        .collect();
    let when = scenario.when.iter().map(|act| resolver.act(act)).collect();
    let resolved = Scenario {
        given: Given { configurations },
        when,
        ..scenario.clone()
    };
    resolver.finish(resolved)
}

struct Resolver<'a> {
    directory: &'a Directory,
    unresolved: Vec<Unresolved>,
}

impl<'a> Resolver<'a> {
    fn new(directory: &'a Directory) -> Self {
        Self {
            directory,
            unresolved: Vec::new(),
        }
    }

    fn finish<T>(mut self, resolved: T) -> Result<T, Vec<Unresolved>> {
        self.unresolved.sort();
        self.unresolved.dedup();
        if self.unresolved.is_empty() {
            Ok(resolved)
        } else {
            Err(self.unresolved)
        }
    }

    fn configuration(&mut self, configuration: &Configuration) -> Configuration {
        let mut entries = |list: &[ScopeEntry]| list.iter().map(|e| self.entry(e)).collect();
        let scope = Scope {
            entries: entries(&configuration.scope.entries),
            except: entries(&configuration.scope.except),
        };
        let tls = configuration.tls.as_ref().map(|tls| Tls {
            allow: tls
                .allow
                .as_ref()
                .map(|allow| allow.iter().map(|name| said_unknown(name)).collect()),
            ..tls.clone()
        });
        Configuration {
            scope,
            tls,
            ..configuration.clone()
        }
    }

    fn entry(&mut self, entry: &ScopeEntry) -> ScopeEntry {
        ScopeEntry {
            data_center: entry.data_center.as_deref().map(|text| self.place(text)),
            cluster: entry.cluster.as_deref().map(|text| self.place(text)),
            application: entry.application.as_deref().map(said_unknown),
            ip: entry.ip.as_deref().map(|text| self.address(text)),
        }
    }

    fn act(&mut self, act: &Act) -> Act {
        match act.clone() {
            Act::Apply(configuration) => Act::Apply(self.configuration(&configuration)),
            Act::Join {
                application,
                data_center,
            } => Act::Join {
                application,
                data_center: self.place(&data_center),
            },
            Act::Leave {
                application,
                data_center,
            } => {
                let data_center = self.place(&data_center);
                self.sidecar(&format!("{application}@{data_center}"));
                Act::Leave {
                    application,
                    data_center,
                }
            }
            Act::Reschedule {
                application,
                from,
                to,
            } => {
                let from = self.place(&from);
                self.sidecar(&format!("{application}@{from}"));
                Act::Reschedule {
                    application,
                    from,
                    to: self.place(&to),
                }
            }
            Act::Request(mut traffic) => {
                traffic.from = self.workload(&traffic.from);
                Act::Request(traffic)
            }
            Act::Load(mut load) => {
                load.from = self.workload(&load.from);
                Act::Load(load)
            }
            Act::Ask(mut ask) => {
                ask.from = self.workload(&ask.from);
                if let Token::Of(workload) = &ask.token {
                    ask.token = Token::Of(self.workload(workload));
                }
                Act::Ask(ask)
            }
            Act::Handshake(mut handshake) => {
                handshake.from = self.workload(&handshake.from);
                handshake.to = self.workload(&handshake.to);
                Act::Handshake(handshake)
            }
            Act::Inject(fault) => Act::Inject(self.fault(fault)),
            Act::Rotate(Rotation::TrustPartner(of)) => {
                Act::Rotate(Rotation::TrustPartner(self.workload(&of)))
            }
            other @ (Act::Delete(_)
            | Act::Withdraw(_)
            | Act::Offer(_)
            | Act::Restart(_)
            | Act::Reconnect
            | Act::Hold(_)
            | Act::Stop(_)
            | Act::Recover
            | Act::Rotate(_)) => other,
        }
    }

    fn fault(&mut self, mut fault: Fault) -> Fault {
        match &mut fault {
            Fault::PodKill { selector } | Fault::PodFreeze { selector, .. } => {
                if let PodSelector::Workload(workload) = selector {
                    *workload = self.workload(workload);
                }
            }
            Fault::ZoneOutage { data_center, .. }
            | Fault::NodeOutage { data_center, .. }
            | Fault::SocketFault { data_center, .. }
            | Fault::DiskFull { data_center, .. } => {
                *data_center = self.place(data_center);
            }
            _ => {}
        }
        fault
    }

    /// A data center or cluster.
    fn place(&mut self, text: &str) -> String {
        if text.starts_with(UNKNOWN) {
            return said_unknown(text);
        }
        if let Some(number) = text.strip_prefix("$zone") {
            let found = nth(number, self.directory.data_centers.iter());
            return self.or_unresolved(text, found.cloned(), "there is no such data center");
        }
        if let Some(number) = text.strip_prefix("$cluster") {
            let mut clusters: Vec<&String> = Vec::new();
            for sidecar in &self.directory.sidecars {
                if !clusters.contains(&&sidecar.cluster) {
                    clusters.push(&sidecar.cluster);
                }
            }
            let found = nth(number, clusters.into_iter());
            return self.or_unresolved(text, found.cloned(), "there is no such cluster");
        }
        if text.starts_with('$') {
            return self.or_unresolved(text, None, "it is no data center and no cluster");
        }
        text.to_owned()
    }

    /// A workload that is there.
    fn workload(&mut self, text: &str) -> String {
        match self.workload_name(text) {
            Some(name) => {
                self.sidecar(&name);
                name
            }
            None => text.to_owned(),
        }
    }

    fn workload_name(&mut self, text: &str) -> Option<String> {
        let Some((application, place)) = text.split_once('@') else {
            self.or_unresolved(
                text,
                None,
                "a workload is written `application@data-center`",
            );
            return None;
        };
        let place = self.place(place);
        (!place.starts_with('$')).then(|| format!("{application}@{place}"))
    }

    fn sidecar(&mut self, name: &str) -> Option<&'a Sidecar> {
        let found = self.directory.sidecars.iter().find(|s| s.name == name);
        if found.is_none() {
            self.or_unresolved(name, None, "there is no such workload");
        }
        found
    }

    fn address(&mut self, text: &str) -> String {
        let Some(rest) = text.strip_prefix("$ip:") else {
            return text.to_owned();
        };
        let (workload, prefix) = match rest.split_once('/') {
            Some((workload, prefix)) => (workload, Some(prefix)),
            None => (rest, None),
        };
        let name = self.workload_name(workload);
        let Some(sidecar) = name.and_then(|name| self.sidecar(&name)) else {
            return text.to_owned();
        };
        match prefix {
            None => sidecar.ip.clone(),
            Some(prefix) => {
                let block = Block::parse(&format!("{}/{prefix}", sidecar.ip));
                let block = block.map(|block| format!("{}/{prefix}", block.network()));
                self.or_unresolved(text, block, "the prefix is not between 0 and 32")
            }
        }
    }

    fn or_unresolved(&mut self, text: &str, found: Option<String>, reason: &str) -> String {
        found.unwrap_or_else(|| {
            self.unresolved.push(Unresolved {
                text: text.to_owned(),
                reason: reason.to_owned(),
            });
            text.to_owned()
        })
    }
}

/// The name itself, where a scenario says that nobody has it.
fn said_unknown(name: &str) -> String {
    name.strip_prefix(UNKNOWN).unwrap_or(name).to_owned()
}

/// The element with this number, counted from 1.
fn nth<T>(number: &str, mut of: impl Iterator<Item = T>) -> Option<T> {
    let number: usize = number.parse().ok()?;
    of.nth(number.checked_sub(1)?)
}

#[cfg(test)]
mod tests;
