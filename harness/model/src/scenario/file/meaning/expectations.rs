//! What an expectation can get wrong: it speaks of steps, traffic and faults that must be there.

use super::{Check, Step, TrafficKind};
use crate::asking::{Desk, Token};
use crate::capability::Capability;
use crate::document::suggestion;
use crate::expectation::Expectation;
use crate::history::RefusalCause;
use crate::names::Kind;
use crate::scenario::{Act, Scenario};
use std::collections::BTreeMap;

/// What is wrong with an expectation of certificates where nobody has one, and what helps.
const NO_CERTIFICATES: &str = "it speaks of certificates and no configuration asks for them";
const ASK_FOR_THEM: &str = "add `tls` to a configuration";

impl Check {
    pub(super) fn expectation(&mut self, expectation: &Expectation, scenario: &Scenario) {
        match expectation {
            Expectation::Delivered | Expectation::Confined | Expectation::StatusIsTrue => {}
            Expectation::Restored { reference, step } => {
                self.at(Step::Key("restored"), |check| {
                    check.step("reference", *reference, scenario);
                    check.step("step", *step, scenario);
                    if reference >= step {
                        check.complain_of_others(
                            "the reference does not come before the step",
                            None,
                        );
                    }
                });
            }
            Expectation::Rejected { step } => self.at(Step::Key("rejected"), |check| {
                check.step("step", *step, scenario);
                if scenario
                    .when
                    .get(*step)
                    .is_some_and(|act| !matches!(act, Act::Apply(_)))
                {
                    check.complain_of_others("only an `apply` can be rejected", None);
                }
            }),
            Expectation::Answered { traffic, lost } => {
                self.traffic("answered", traffic, None);
                self.loses_less_than_all(traffic, *lost, scenario);
            }
            Expectation::PassesBothSidecars { traffic } => {
                self.traffic("passesBothSidecars", traffic, None);
            }
            Expectation::KeepsProtocol { traffic } => self.traffic("keepsProtocol", traffic, None),
            Expectation::PrefersOwnZone { traffic, percent } => {
                self.traffic("prefersOwnZone", traffic, None);
                if !(1..=100).contains(percent) {
                    self.complain("`percent` is not between 1 and 100", None);
                }
            }
            Expectation::AnsweredBy {
                traffic,
                application,
            } => {
                self.traffic("answeredBy", traffic, None);
                self.at(Step::Key("answeredBy"), |check| {
                    check.named("application", Kind::Application, application);
                });
            }
            Expectation::SharedBy { traffic, percents } => {
                self.traffic("sharedBy", traffic, None);
                self.at(Step::Key("sharedBy"), |check| {
                    check.at(Step::Key("percents"), |check| {
                        check.percents(percents);
                    });
                });
            }
            Expectation::OverTls { traffic } => self.traffic("overTls", traffic, None),
            Expectation::InPlaintext { traffic } => self.traffic("inPlaintext", traffic, None),
            Expectation::MovesTo { traffic, step, .. } => {
                self.traffic("movesTo", traffic, Some(TrafficKind::Load));
                self.at(Step::Key("movesTo"), |check| {
                    check.step("step", *step, scenario);
                    let writes = |act: &Act| matches!(act, Act::Apply(_) | Act::Delete(_));
                    if scenario.when.get(*step).is_some_and(|act| !writes(act)) {
                        check.complain_of_others(
                            "only `apply` and `delete` change how requests come",
                            None,
                        );
                    }
                });
            }
            Expectation::Received {
                traffic,
                application,
                ..
            } => {
                self.traffic("received", traffic, Some(TrafficKind::Batch));
                self.at(Step::Key("received"), |check| {
                    check.named("application", Kind::Application, application);
                });
            }
            Expectation::OnTheWire { traffic, .. } => {
                self.traffic("onTheWire", traffic, Some(TrafficKind::Batch));
                if !scenario.requires.contains(&Capability::Wire) {
                    self.complain_of_others(
                        "it looks at packets, and `requires` does not say so",
                        Some("add `wire` to `requires`, so that it is skipped where nobody can"),
                    );
                }
            }
            Expectation::Refused { traffic, because } => {
                self.traffic("refused", traffic, None);
                if *because == RefusalCause::UnknownService {
                    self.some_service_is_away(traffic, scenario);
                }
            }
            Expectation::Renewed { since } => self.at(Step::Key("renewed"), |check| {
                check.step("since", *since, scenario);
            }),
            Expectation::KeepsStream { since } => self.at(Step::Key("keepsStream"), |check| {
                check.step("since", *since, scenario);
                check.is_left_alone(*since, scenario, "streams may end for that");
                if !scenario.speaks_of_tls() {
                    check.complain_of_others(NO_CERTIFICATES, Some(ASK_FOR_THEM));
                }
            }),
            Expectation::SpreadsRenewals { since } => {
                self.at(Step::Key("spreadsRenewals"), |check| {
                    check.step("since", *since, scenario);
                    check.is_left_alone(*since, scenario, "renewals may be late for that");
                    if !scenario.speaks_of_tls() {
                        check.complain_of_others(NO_CERTIFICATES, Some(ASK_FOR_THEM));
                    }
                });
            }
            Expectation::BacksOff { component, at_most } => {
                self.at(Step::Key("backsOff"), |check| {
                    check.named("component", Kind::Component, component);
                    if *at_most == 0 {
                        check.complain(
                            "`atMost` is 0, so it cannot pass: who is refused nothing has nothing to back off from",
                            Some("write 1 or more"),
                        );
                    }
                    if !scenario.speaks_of_tls() {
                        check.complain_of_others(NO_CERTIFICATES, Some(ASK_FOR_THEM));
                    }
                });
                self.needs_fault(scenario);
            }
            Expectation::Rotated { step } => self.at(Step::Key("rotated"), |check| {
                check.step("step", *step, scenario);
                if !scenario.speaks_of_tls() {
                    check.complain_of_others(NO_CERTIFICATES, Some(ASK_FOR_THEM));
                }
                if scenario
                    .when
                    .get(*step)
                    .is_some_and(|act| !matches!(act, Act::Rotate(_)))
                {
                    check.complain_of_others(
                        "only a `rotate` replaces what certificates lead to",
                        None,
                    );
                }
            }),
            Expectation::Granted { ask, .. } => {
                self.asked("granted", ask, scenario);
                self.certificates_are_granted_by_others(ask, scenario);
            }
            Expectation::Denied { ask, .. } => self.asked("denied", ask, scenario),
            Expectation::Audited { ask, .. } => {
                self.asked("audited", ask, scenario);
                self.at(Step::Key("audited"), |check| check.audit(ask, scenario));
            }
            Expectation::HandshakeAnswered { handshake } => {
                self.handshook("handshakeAnswered", handshake, scenario);
            }
            Expectation::HandshakeRefused { handshake, .. } => {
                self.handshook("handshakeRefused", handshake, scenario);
            }
            Expectation::Trusted | Expectation::SameRoot => {
                if !scenario.speaks_of_tls() {
                    self.complain_of_others(NO_CERTIFICATES, Some(ASK_FOR_THEM));
                }
            }
            Expectation::FailsOver { traffic, within } => {
                self.traffic("failsOver", traffic, Some(TrafficKind::Load));
                self.needs_fault(scenario);
                self.leaves_time(*within, scenario);
            }
            Expectation::Recovers { traffic } => {
                self.traffic("recovers", traffic, Some(TrafficKind::Load));
                self.needs_fault(scenario);
            }
            Expectation::Unchanged => self.needs_fault(scenario),
        }
    }

    fn percents(&mut self, percents: &BTreeMap<String, u8>) {
        for (application, percent) in percents {
            self.at(Step::Name(application.clone()), |check| {
                check.name_of(Kind::Application, application);
                if !(1..=99).contains(percent) {
                    check.complain(
                        "the share is not between 1 and 99 percent",
                        Some("`answeredBy` says that one application answers everything"),
                    );
                }
            });
        }
        if percents
            .values()
            .map(|percent| u32::from(*percent))
            .sum::<u32>()
            != 100
        {
            self.complain("the shares are not 100 percent in all", None);
        }
    }

    fn asked(&mut self, key: &'static str, name: &str, scenario: &Scenario) {
        let asks = scenario.when.iter().filter_map(|act| match act {
            Act::Ask(ask) => Some(ask.name.as_str()),
            _ => None,
        });
        self.once([key, "ask"], name, asks, "asked");
    }

    /// What keeps keys hands out no certificates, and nobody is asked where permissions are read.
    fn certificates_are_granted_by_others(&mut self, name: &str, scenario: &Scenario) {
        for act in &scenario.when {
            let message = match act {
                Act::Ask(ask) if ask.name != name => continue,
                Act::Ask(ask) if ask.at == Desk::KeyService => {
                    "the key service grants no certificate"
                }
                Act::Ask(ask) if ask.token == Token::OtherUser => {
                    "as another user nobody is asked for a certificate"
                }
                _ => continue,
            };
            self.at(Step::Key("granted"), |check| {
                check.complain_of_others(message, Some("expect `denied`"));
            });
        }
    }

    /// It is the authority that calls what keeps the keys, and not every mesh says where that writes it down.
    fn audit(&mut self, name: &str, scenario: &Scenario) {
        let elsewhere = |act: &Act| matches!(act, Act::Ask(ask) if ask.name == name && ask.at != Desk::Authority);
        if scenario.when.iter().any(elsewhere) {
            self.complain_of_others(
                "only the authority has something signed by what keeps the keys",
                Some("name an `ask` with `at: authority`"),
            );
        }
        if !scenario.requires.contains(&Capability::AuditLog) {
            self.complain_of_others(
                "it looks into an audit log, and `requires` does not say so",
                Some("add `audit-log` to `requires`, so that it is skipped where nobody says where that is"),
            );
        }
    }

    fn handshook(&mut self, key: &'static str, name: &str, scenario: &Scenario) {
        let handshakes = scenario.when.iter().filter_map(|act| match act {
            Act::Handshake(handshake) => Some(handshake.name.as_str()),
            _ => None,
        });
        self.once([key, "handshake"], name, handshakes, "made");
    }

    /// What an expectation is about, at `keys`, is done once, no less and no more.
    fn once<'a>(
        &mut self,
        [key, inner]: [&'static str; 2],
        name: &str,
        done: impl Iterator<Item = &'a str> + Clone,
        how: &str,
    ) {
        if done.clone().filter(|other| *other == name).count() == 1 {
            return;
        }
        let hint = suggestion(name, done)
            .filter(|meant| *meant != name)
            .map(|meant| format!("did you mean `{meant}`?"));
        self.at(Step::Key(key), |check| {
            check.at(Step::Key(inner), |check| {
                check.complain_of_others(format!("`{name}` is not {how} once"), hint.as_deref());
            });
        });
    }

    fn needs_fault(&mut self, scenario: &Scenario) {
        if !scenario
            .when
            .iter()
            .any(|act| matches!(act, Act::Inject(_)))
        {
            self.complain_of_others(
                "it speaks of a fault and none is injected",
                Some("add `inject`"),
            );
        }
    }

    /// What happens for another reason says nothing of who gives certificates; `so` tells what may.
    fn is_left_alone(&mut self, since: usize, scenario: &Scenario, so: &str) {
        let act = scenario.when.get(since);
        if act.is_some_and(|act| !act.leaves_alone()) {
            self.complain_of_others(
                format!("the act changes something itself, and {so}"),
                Some("name a `hold`, a batch or a load"),
            );
        }
        if scenario.when.iter().take(since).any(Act::breaks) {
            self.complain_of_others(
                format!("something is broken or rolled out before, and {so}"),
                None,
            );
        }
    }

    fn step(&mut self, key: &'static str, step: usize, scenario: &Scenario) {
        if step >= scenario.when.len() {
            self.at(Step::Key(key), |check| {
                check.complain_of_others(
                    format!("there is no step {step}"),
                    Some("steps are the acts of `when`, counted from 0"),
                );
            });
        }
    }

    fn traffic(&mut self, key: &'static str, name: &str, kind: Option<TrafficKind>) {
        let found = self.traffic.get(name).copied();
        let message = match (found, kind) {
            (None, _) => format!("traffic `{name}` is not sent"),
            (Some(found), Some(kind)) if found != kind => {
                let (is, wanted) = match found {
                    TrafficKind::Batch => ("batch", "load"),
                    TrafficKind::Load => ("load", "batch"),
                };
                format!("`{name}` is a {is}, not a {wanted}")
            }
            _ => return,
        };
        let hint = suggestion(name, self.traffic.keys().map(String::as_str))
            .filter(|meant| *meant != name)
            .map(|meant| format!("did you mean `{meant}`?"));
        self.at(Step::Key(key), |check| {
            check.at(Step::Key("traffic"), |check| {
                check.complain_of_others(message, hint.as_deref())
            });
        });
    }
}
