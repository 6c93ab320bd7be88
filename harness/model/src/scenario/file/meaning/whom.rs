//! Whom a scenario speaks of: scopes, workloads, applications and places. A name that nobody has is a mistake, unless it
//! is said to be unknown.

use super::{Check, Step};
use crate::configuration::{Scope, ScopeEntry};
use crate::document::suggestion;
use crate::fault::Fault;
use crate::names::{Components, Kind, UNKNOWN};
use crate::oracle::Block;

impl Check {
    pub(super) fn scope(&mut self, scope: &Scope) {
        for (key, entries) in [("match", &scope.entries), ("except", &scope.except)] {
            self.at(Step::Key(key), |check| {
                for (index, entry) in entries.iter().enumerate() {
                    check.at(Step::Index(index), |check| check.entry(entry));
                }
            });
        }
        if scope.except.contains(&ScopeEntry::default()) {
            self.at(Step::Key("except"), |check| {
                check.complain(
                    "`except` takes everybody out",
                    Some("name at least one field in each entry"),
                );
            });
        }
    }

    fn entry(&mut self, entry: &ScopeEntry) {
        for (key, kind, value) in [
            ("application", Kind::Application, &entry.application),
            ("cluster", Kind::Cluster, &entry.cluster),
            ("dataCenter", Kind::DataCenter, &entry.data_center),
        ] {
            if let Some(value) = value {
                self.at(Step::Key(key), |check| match value.strip_prefix(UNKNOWN) {
                    Some(name) => check.meant_to_be_unknown(kind, name),
                    None => check.name_of(kind, value),
                });
            }
        }
        if let Some(ip) = &entry.ip {
            self.at(Step::Key("ip"), |check| check.address(ip));
        }
    }

    fn address(&mut self, ip: &str) {
        if let Some(rest) = ip.strip_prefix("$ip:") {
            let workload = rest.split_once('/').map_or(rest, |(workload, _)| workload);
            self.workload_names(workload);
        } else if Block::parse(ip).is_none() {
            self.complain(
                format!("`{ip}` is not an IPv4 address or block"),
                Some("for example `10.1.2.3`, `10.1.0.0/16` or `$ip:checkout@$zone1`"),
            );
        }
    }

    /// `application@data-center`.
    pub(super) fn workload(&mut self, key: &'static str, workload: &str) {
        self.at(Step::Key(key), |check| check.workload_names(workload));
    }

    fn workload_names(&mut self, workload: &str) {
        match workload.split_once('@') {
            Some((application, place)) if !application.is_empty() && !place.is_empty() => {
                self.name_of(Kind::Application, application);
                self.name_of(Kind::DataCenter, place);
            }
            _ => self.complain(
                format!("`{workload}` is not a workload"),
                Some("write `application@data-center`, for example `checkout@$zone1`"),
            ),
        }
    }

    /// The value of a field that must be the name of something that is there.
    pub(super) fn named(&mut self, key: &'static str, kind: Kind, name: &str) {
        self.at(Step::Key(key), |check| check.name_of(kind, name));
    }

    /// Whom requests call. The name of a service that is away leads nowhere.
    pub(super) fn called(&mut self, service: &str) {
        self.named("to", Kind::Service, service);
        if self.withdrawn.contains(service) {
            let hint = format!(
                "its name leads nowhere: call another service, with a rule that leads from there to `{service}`"
            );
            self.at(Step::Key("to"), |check| {
                let told = format!("the service `{service}` is taken away here");
                check.complain_of_others(told, Some(&hint));
            });
        }
    }

    /// A component must have what a fault breaks.
    pub(super) fn has_what_breaks(&mut self, fault: &Fault, component: &str) {
        let Some(components) = self
            .names
            .as_ref()
            .and_then(|names| names.components.clone())
        else {
            return;
        };
        let (field, having) = match fault {
            Fault::SocketFault { .. } => ("socket", components.with_socket),
            Fault::DiskFull { .. } => ("folder", components.with_folder),
            Fault::ClientDenial { client, .. } => {
                self.serves(component, client, &components);
                return;
            }
            _ => return,
        };
        let is_in = |names: &[String]| names.iter().any(|name| name == component);
        if is_in(&components.all) && !is_in(&having) {
            let hint = format!("the mesh definition says with `{field}` where it is");
            self.at(Step::Key("component"), |check| {
                check.complain(format!("`{component}` has no {field}"), Some(&hint));
            });
        }
    }

    /// A component must have a client for it to be denied.
    fn serves(&mut self, component: &str, client: &str, components: &Components) {
        let is_there = components.all.iter().any(|name| name == component);
        match components.clients.get(component) {
            None if is_there => self.at(Step::Key("component"), |check| {
                check.complain(
                    format!("`{component}` has no list of clients"),
                    Some("the mesh definition says with `clients` where it is"),
                );
            }),
            Some(clients) if !clients.iter().any(|name| name == client) => {
                let hint = match suggestion(client, clients.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the mesh definition names {}", clients.join(", ")),
                };
                self.at(Step::Key("client"), |check| {
                    let told = format!("`{client}` is no client of `{component}`");
                    check.complain(told, Some(&hint));
                });
            }
            _ => {}
        }
    }

    /// A name of something that must be there: its own, or its number.
    pub(super) fn name_of(&mut self, kind: Kind, name: &str) {
        let word = kind.word();
        let number = kind.numbered().and_then(|mark| name.strip_prefix(mark));
        if name.starts_with('$') && number.is_none_or(|number| number.parse::<usize>().is_err()) {
            let hint = match kind.numbered() {
                Some(mark) => format!("write a name, or `{mark}1` for the first"),
                None => format!("write the name of a {word}").replace("a app", "an app"),
            };
            self.complain(format!("`{name}` is no {word}"), Some(&hint));
            return;
        }
        if kind == Kind::DataCenter && self.requires_two_zones && is_third(number) {
            self.complain_of_others(
                format!("it names `{name}`, and `requires` says `two-zones`"),
                Some("write `three-zones` there, so that it is skipped where there are only two"),
            );
            return;
        }
        let Some(known) = self.names.as_ref().and_then(|names| names.of(kind)) else {
            return;
        };
        let is_there = match number.and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => (1..=known.len()).contains(&number),
            None => known.iter().any(|found| found == name),
        };
        if is_there {
            return;
        }
        // The first letters of another name may be like it, and would be another place.
        let marked = kind.numbered().map(|mark| mark.trim_start_matches('$'));
        let forgotten = marked.and_then(|mark| name.strip_prefix(mark)?.parse::<usize>().ok());
        let is_place = forgotten.is_some_and(|number| (1..=known.len()).contains(&number));
        let meant = suggestion(name, known.iter().map(String::as_str));
        // Who writes numbers is told numbers.
        let there: Vec<String> = match kind.numbered().filter(|_| number.is_some()) {
            Some(mark) => (1..=known.len()).map(|at| format!("{mark}{at}")).collect(),
            None => known.to_vec(),
        };
        let hint = match meant.filter(|_| number.is_none()) {
            _ if is_place => format!("did you mean `${name}`?"),
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "there {}: {}",
                if there.len() == 1 { "is one" } else { "are" },
                there.join(", ")
            ),
        };
        self.complain(format!("there is no {word} `{name}`"), Some(&hint));
    }

    /// A name that a scenario says is nobody's.
    fn meant_to_be_unknown(&mut self, kind: Kind, name: &str) {
        let known = self.names.as_ref().and_then(|names| names.of(kind));
        if name.is_empty() || name.starts_with('$') {
            self.complain(
                format!("`{UNKNOWN}{name}` does not name anything"),
                Some("write the name that nobody has behind it, for example `$unknown:elsewhere`"),
            );
        } else if known.is_some_and(|known| known.iter().any(|found| found == name)) {
            self.complain(
                format!(
                    "the {} `{name}` is said to be unknown and is there",
                    kind.word()
                ),
                Some("choose a name that nobody has"),
            );
        }
    }
}

/// The number of the zone that an environment of two does not have and one of three has. No scenario can require more.
fn is_third(number: Option<&str>) -> bool {
    number.and_then(|number| number.parse::<usize>().ok()) == Some(3)
}
