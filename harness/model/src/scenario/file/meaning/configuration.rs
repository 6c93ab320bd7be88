//! What a configuration can get wrong.

use super::{Check, Step};
use crate::capability::Capability;
use crate::configuration::{Configuration, InboundTls, Tls};
use crate::names::Kind;
use crate::scenario::{CANARY_APPLICATION, Disturbs, Scenario};

impl Check {
    pub(super) fn configuration(&mut self, configuration: &Configuration) {
        self.configurations.insert(configuration.name.clone());
        self.at(Step::Key("name"), |check| {
            let name = &configuration.name;
            let is_fine = !name.is_empty()
                && name.len() <= 40
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !name.starts_with('-')
                && !name.ends_with('-');
            if !is_fine {
                check.complain(
                    format!("`{name}` is not a configuration name"),
                    Some("up to 40 of a-z, 0-9 and `-`, not at the ends"),
                );
            }
        });
        if configuration.toggles.is_empty()
            && configuration.rules.is_empty()
            && configuration.tls.is_none()
        {
            self.complain(
                "a configuration that says nothing",
                Some("add toggles, rules or tls"),
            );
        }
        self.tls(configuration.tls.as_ref());
        self.at(Step::Key("scope"), |check| {
            check.scope(&configuration.scope)
        });
        self.at(Step::Key("rules"), |check| {
            for (name, rule) in &configuration.rules {
                check.at(Step::Name(name.clone()), |check| {
                    check.named("service", Kind::Application, &rule.service);
                    check.at(Step::Key("to"), |check| {
                        for service in rule.to.keys() {
                            check.at(Step::Name(service.clone()), |check| {
                                check.name_of(Kind::Application, service);
                            });
                        }
                    });
                    if rule.to.is_empty() {
                        check.complain(
                            "a rule without destination",
                            Some("write `to: {service: 100}`"),
                        );
                    } else if rule.to.values().all(|weight| *weight == 0) {
                        check.complain("all weights are 0", Some("give one destination a weight"));
                    }
                    if rule.path_prefix.is_some() && rule.path_regex.is_some() {
                        check.complain(
                            "both `pathPrefix` and `pathRegex`",
                            Some("a rule has at most one of them"),
                        );
                    }
                    if rule.service == CANARY_APPLICATION {
                        check.complain("the canary's service is not called by scenarios", None);
                    }
                });
            }
        });
    }

    fn tls(&mut self, tls: Option<&Tls>) {
        let Some(tls) = tls else {
            return;
        };
        self.at(Step::Key("tls"), |check| {
            if *tls == Tls::default() {
                check.complain(
                    "`tls` says nothing",
                    Some("add `inbound`, `outbound` or `allow`"),
                );
            }
            check.at(Step::Key("allow"), |check| {
                if tls.allow.is_some() && tls.inbound == Some(InboundTls::Plaintext) {
                    check.complain(
                        "who may call is known from certificates, and `inbound` takes plaintext",
                        Some("write `inbound: strict`, or leave `allow` out"),
                    );
                }
                for (position, application) in tls.allow.iter().flatten().enumerate() {
                    check.at(Step::Index(position), |check| {
                        check.name_of(Kind::Application, application);
                    });
                }
            });
        });
    }

    /// TLS has no key that would tell one scenario's from another's, and not every mesh has it.
    pub(super) fn tls_alone(&mut self, scenario: &Scenario) {
        if !scenario.speaks_of_tls() {
            return;
        }
        if scenario.disturbs == Disturbs::Nothing {
            self.complain_of_others(
                "it changes how sidecars speak to each other, and `disturbs` does not say so",
                Some("write `disturbs: everything`, so that the scenario runs alone"),
            );
        }
        if !scenario.requires.contains(&Capability::Tls) {
            self.complain_of_others(
                "it speaks of TLS, and `requires` does not say so",
                Some("add `tls` to `requires`, so that it is skipped where the mesh has none"),
            );
        }
    }
}
