//! What a configuration can get wrong.

use super::{Check, Step};
use crate::asking::{Ask, Desk, Token, Wish};
use crate::capability::Capability;
use crate::configuration::{Configuration, InboundTls, Tls};
use crate::names::Kind;
use crate::rotation::Rotation;
use crate::scenario::{Act, CANARY_APPLICATION, Disturbs, Scenario};

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
        self.fits_the_api(configuration);
        self.tls(configuration.tls.as_ref());
        self.at(Step::Key("scope"), |check| {
            check.scope(&configuration.scope)
        });
        self.at(Step::Key("rules"), |check| {
            for (name, rule) in &configuration.rules {
                check.at(Step::Name(name.clone()), |check| {
                    check.named("service", Kind::Application, &rule.service);
                    check.at(Step::Key("to"), |check| {
                        for (service, weight) in &rule.to {
                            check.at(Step::Name(service.clone()), |check| {
                                check.name_of(Kind::Application, service);
                                if *weight == 0 && rule.to.values().any(|weight| *weight > 0) {
                                    check.complain("weight 0", Some("leave the service out"));
                                }
                            });
                        }
                    });
                    check.matchable(rule);
                    if let Some(mirror) = &rule.mirror {
                        check.named("mirror", Kind::Service, mirror);
                    }
                    if rule.timeout_ms == Some(0) {
                        check.complain("`timeoutMs` is 0", Some("write at least 1"));
                    }
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

    /// Not every mesh lets its roots be replaced.
    pub(super) fn rotation_said(&mut self, scenario: &Scenario) {
        let required = |act: &Act| match act {
            Act::Rotate(Rotation::TrustPartner(_) | Rotation::DropPartner) => {
                Some(Capability::PartnerRoots)
            }
            Act::Rotate(_) => Some(Capability::Rotation),
            _ => None,
        };
        for (capability, what, hint) in [
            (
                Capability::Rotation,
                "it replaces what certificates lead to, and `requires` does not say so",
                "add `rotation` to `requires`, so that it is skipped where the mesh cannot do it",
            ),
            (
                Capability::PartnerRoots,
                "it has a root of somebody else's trusted, and `requires` does not say so",
                "add `partner-roots` to `requires`, so that it is skipped where the mesh cannot do it",
            ),
        ] {
            let mut needed = scenario.when.iter().filter_map(required);
            if needed.any(|needed| needed == capability) && !scenario.requires.contains(&capability)
            {
                self.complain_of_others(what, Some(hint));
            }
        }
    }

    /// What is asked of somebody who takes no such thing would say nothing.
    pub(super) fn ask(&mut self, ask: &Ask) {
        self.workload("from", &ask.from);
        if let Token::Of(workload) = &ask.token {
            self.at(Step::Key("token"), |check| check.workload("of", workload));
        }
        if ask.at == Desk::NodeAgent && ask.wish != Wish::Right {
            self.complain(
                "the node agent takes no requests, and so no `wish`",
                Some("ask the `authority`"),
            );
        }
        if ask.at == Desk::NodeAgent && ask.token == Token::Own {
            self.complain(
                "at the node agent the own token is the right one",
                Some("write `token: right`"),
            );
        }
        if ask.at != Desk::NodeAgent && ask.token == Token::OtherUser {
            self.complain(
                "only the node agent is asked on a socket that has an owner",
                Some("ask the `nodeAgent`"),
            );
        }
        if ask.at == Desk::KeyService && ask.wish != Wish::Right {
            self.complain(
                "the key service issues nothing, and so takes no `wish`",
                Some("ask the `authority`"),
            );
        }
        if ask.at == Desk::KeyService && !matches!(ask.token, Token::None | Token::Own) {
            self.complain(
                "the key service looks at client certificates, and at no tokens",
                Some("write `token: none` for no certificate, or `token: own` for that of the asking workload"),
            );
        }
    }

    /// Not every mesh lets the probe ask, and fewer say where their keys are, or whom their sockets are for.
    pub(super) fn identities_said(&mut self, scenario: &Scenario) {
        let asks = |act: &Act| matches!(act, Act::Ask(_));
        if scenario.when.iter().any(asks) && !scenario.requires.contains(&Capability::Identities) {
            self.complain_of_others(
                "it asks for identities, and `requires` does not say so",
                Some("add `identities` to `requires`, so that it is skipped where nobody can ask"),
            );
        }
        let comes = |act: &Act| matches!(act, Act::Ask(ask) if ask.at == Desk::KeyService);
        if scenario.when.iter().any(comes) && !scenario.requires.contains(&Capability::KeyService) {
            self.complain_of_others(
                "it comes to the key service, and `requires` does not say so",
                Some("add `key-service` to `requires`, so that it is skipped where nobody says where that is"),
            );
        }
        let dials = |act: &Act| matches!(act, Act::Ask(ask) if ask.token == Token::OtherUser);
        if scenario.when.iter().any(dials)
            && !scenario.requires.contains(&Capability::PrivateSocket)
        {
            self.complain_of_others(
                "it comes to the node agent as another user, and `requires` does not say so",
                Some("add `private-socket` to `requires`, so that it is skipped where the socket is for everybody"),
            );
        }
    }

    /// Few clusters leave their keys to the harness.
    pub(super) fn token_signing_said(&mut self, scenario: &Scenario) {
        let signs = |act: &Act| matches!(act, Act::Ask(ask) if ask.token.is_signed_anew());
        if scenario.when.iter().any(signs) && !scenario.requires.contains(&Capability::TokenSigning)
        {
            self.complain_of_others(
                "it shows tokens that are signed anew, and `requires` does not say so",
                Some("add `token-signing` to `requires`, so that it is skipped where the harness has no key"),
            );
        }
    }

    /// Not every mesh's workloads speak everything.
    pub(super) fn protocols_required(&mut self, scenario: &Scenario) {
        for (taken, word, spoken) in [
            (
                Capability::Protocols,
                "protocols",
                "something else than HTTP/1.1",
            ),
            (
                Capability::ServerFirst,
                "server-first",
                "to servers that speak first",
            ),
            (
                Capability::ApplicationTls,
                "application-tls",
                "TLS of the applications' own",
            ),
        ] {
            let is_spoken = scenario.speaks().any(|it| it.takes() == Some(taken));
            if is_spoken && !scenario.requires.contains(&taken) {
                self.complain_of_others(
                    format!("it speaks {spoken}, and `requires` does not say so"),
                    Some(&format!(
                        "add `{word}` to `requires`, so that it is skipped where workloads do not"
                    )),
                );
            }
        }
    }

    /// TLS has no key that would tell one scenario's from another's, and not every mesh has it.
    pub(super) fn tls_alone(&mut self, scenario: &Scenario) {
        if !scenario.speaks_of_tls() {
            return;
        }
        if scenario.disturbs == Disturbs::Nothing {
            self.complain_of_others(
                "it changes how sidecars speak to each other, and `disturbs` does not say so",
                Some("write `disturbs: traffic`, so that nobody who sends requests runs beside it"),
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
