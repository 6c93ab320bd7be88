//! Services that are taken away: which ones there are to take, and when a sidecar can be without one.

use super::{Check, Step};
use crate::document::suggestion;
use crate::names::{Kind, UNKNOWN};
use crate::scenario::{Act, Scenario};

impl Check {
    /// A service that is there is taken away.
    pub(super) fn withdraw(&mut self, service: &str) {
        match service.strip_prefix(UNKNOWN) {
            Some(name) => self.at(Step::Key("withdraw"), |check| check.nobody_has(name)),
            None => self.named("withdraw", Kind::Service, service),
        }
        if !self.withdrawn.insert(service.to_owned()) {
            self.complain_of_others(
                format!("the service `{service}` is taken away already"),
                Some("bring it back with `offer` first"),
            );
        }
    }

    /// What a scenario says nobody has cannot be taken from anybody.
    fn nobody_has(&mut self, name: &str) {
        let services = self
            .names
            .as_ref()
            .and_then(|names| names.of(Kind::Service));
        let there: Vec<&str> = services
            .unwrap_or_default()
            .iter()
            .map(String::as_str)
            .collect();
        let hint = match suggestion(name, there.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if there.is_empty() => "write the name of a service that is there".to_owned(),
            None => format!("write the name of one that is: {}", there.join(", ")),
        };
        self.complain(
            format!("`{UNKNOWN}{name}` says that no service is called so, and one that is not there cannot be taken away"),
            Some(&hint),
        );
    }

    /// A service that was taken away is brought back.
    pub(super) fn offer(&mut self, service: &str) {
        if !self.withdrawn.remove(service) {
            let hint = suggestion(service, self.withdrawn.iter().map(String::as_str))
                .map(|meant| format!("did you mean `{meant}`?"));
            self.complain_of_others(
                format!("the service `{service}` was not taken away before"),
                hint.as_deref(),
            );
        }
    }

    /// A batch or load cannot be refused because a service is not known where all are there until it ends.
    ///
    /// Told where that is certain, and nowhere else. A sidecar may not have heard of a service yet, or no more, where something
    /// is broken, rolled out or replaced, or where pods come and go; and what a rule does to requests is up to the mesh, which may
    /// not have a service for whom it leads them to.
    pub(super) fn some_service_is_away(&mut self, traffic: &str, scenario: &Scenario) {
        let acts = &scenario.when;
        let sent = acts.iter().position(|act| match act {
            Act::Request(batch) => batch.name == traffic,
            Act::Load(load) => load.name == traffic,
            _ => false,
        });
        let Some(sent) = sent else {
            return;
        };
        let stops = |act: &Act| matches!(act, Act::Stop(load) if load == traffic);
        let end = match acts[sent] {
            Act::Load(_) => acts.iter().position(stops).unwrap_or(acts.len()),
            _ => sent,
        };
        let before = &acts[..end];
        let takes_none_away = |act: &Act| {
            act.leaves_alone() || matches!(act, Act::Apply(_) | Act::Delete(_) | Act::Reconnect)
        };
        let applied = before.iter().filter_map(|act| match act {
            Act::Apply(configuration) => Some(configuration),
            _ => None,
        });
        let given = scenario.given.configurations.iter();
        let mut configurations = given.chain(applied);
        let leads_somewhere = configurations.any(|it| !it.rules.is_empty());
        if !before.iter().all(takes_none_away) || leads_somewhere {
            return;
        }
        self.at(Step::Key("refused"), |check| {
            check.at(Step::Key("because"), |check| {
                check.complain_of_others(
                    format!("it cannot pass: every service is there until `{traffic}` ends, and known"),
                    Some("take one away before it with `withdraw`, and have a rule lead its requests there"),
                );
            });
        });
    }
}
