//! What a well-formed scenario can still get wrong.

mod api;
mod beside;
mod configuration;
mod expectations;
mod handshakes;
mod head;
mod limits;
mod loads;
mod mistake;
mod requests;
mod services;
mod whom;

pub(super) use mistake::{About, Mistake, Step};

use crate::capability::Capability;
use crate::configuration::Configuration;
use crate::document::suggestion;
use crate::fault::{Fault, PodSelector};
use crate::names::{Kind, Names};
use crate::rotation::Rotation;
use crate::scenario::{Act, Disturbs, Rollout, Scenario};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is wrong with the meaning of a scenario; with `names` also what it calls by a name that nobody has.
pub(super) fn check(scenario: &Scenario, names: Option<&Names>) -> Vec<Mistake> {
    let mut check = Check {
        names: names.cloned(),
        requires_two_zones: scenario.requires.contains(&Capability::TwoZones)
            && !scenario.requires.contains(&Capability::ThreeZones),
        mistakes: Vec::new(),
        path: Vec::new(),
        traffic: BTreeMap::new(),
        running: BTreeSet::new(),
        withdrawn: BTreeSet::new(),
        configurations: BTreeSet::new(),
    };
    check.scenario(scenario);
    check.mistakes
}

#[derive(Clone, Copy, PartialEq)]
enum TrafficKind {
    Batch,
    Load,
}

struct Check {
    /// What the environment calls its own, where there is one.
    names: Option<Names>,
    /// The scenario says how many zones it needs, and that these are two.
    requires_two_zones: bool,
    mistakes: Vec<Mistake>,
    path: Vec<Step>,
    traffic: BTreeMap<String, TrafficKind>,
    running: BTreeSet<String>,
    withdrawn: BTreeSet<String>,
    configurations: BTreeSet<String>,
}

impl Check {
    fn complain(&mut self, message: impl Into<String>, hint: Option<&str>) {
        self.note(About::Itself, None, message.into(), hint);
    }

    /// As [`Self::complain`], of what follows from other parts of the scenario or from what is not there.
    fn complain_of_others(&mut self, message: impl Into<String>, hint: Option<&str>) {
        self.note(About::Others, None, message.into(), hint);
    }

    fn note(
        &mut self,
        about: About,
        other: Option<Vec<Step>>,
        message: String,
        hint: Option<&str>,
    ) {
        self.mistakes.push(Mistake {
            path: self.path.clone(),
            other,
            message,
            hint: hint.map(str::to_owned),
            about,
        });
    }

    fn at(&mut self, step: Step, inside: impl FnOnce(&mut Self)) {
        self.path.push(step);
        inside(self);
        self.path.pop();
    }

    fn scenario(&mut self, scenario: &Scenario) {
        self.at(Step::Key("name"), |check| check.name(&scenario.name));
        self.at(Step::Key("claim"), |check| check.claim(&scenario.claim));
        self.at(Step::Key("tags"), |check| {
            if scenario.tags.is_empty() {
                check.complain_of_others(
                    "no tag",
                    Some("a scenario without a tag is not run where tags are asked for; write `tags: [qa]`"),
                );
            }
        });
        self.at(Step::Key("given"), |check| {
            check.at(Step::Key("configurations"), |check| {
                for (index, configuration) in scenario.given.configurations.iter().enumerate() {
                    check.at(Step::Index(index), |check| check.given(configuration));
                }
            });
        });
        self.at(Step::Key("when"), |check| {
            if scenario.when.is_empty() {
                check.complain_of_others("nothing happens", Some("add at least one act"));
            }
            for (index, act) in scenario.when.iter().enumerate() {
                check.at(Step::Index(index), |check| {
                    if scenario.disturbs != Disturbs::Everything {
                        check.beside_others(act);
                    }
                    check.act(act);
                });
            }
        });
        self.faults_and_loads_end(scenario);
        self.tls_alone(scenario);
        self.rotation_said(scenario);
        self.identities_said(scenario);
        self.token_signing_said(scenario);
        self.handshakes_said(scenario);
        self.shown_before(scenario);
        self.partner_known(scenario);
        self.protocols_required(scenario);
        self.at(Step::Key("then"), |check| {
            if scenario.then.is_empty() {
                check.complain_of_others(
                    "nothing is expected",
                    Some("a scenario that expects nothing cannot fail"),
                );
            }
            for (index, expectation) in scenario.then.iter().enumerate() {
                check.at(Step::Index(index), |check| {
                    check.expectation(expectation, scenario)
                });
                check.at(Step::Index(index), |check| {
                    check.beside(expectation, &scenario.then[..index]);
                });
            }
        });
    }

    fn given(&mut self, configuration: &Configuration) {
        if self.configurations.contains(&configuration.name) {
            self.complain(
                format!("configuration `{}` is given twice", configuration.name),
                Some("give each its own name"),
            );
        }
        self.configuration(configuration);
    }

    /// What others would see is done alone, and put right afterwards. Reconnecting is not: scenarios that run side by side
    /// do it together.
    fn beside_others(&mut self, act: &Act) {
        if matches!(
            act,
            Act::Inject(_)
                | Act::Restart(_)
                | Act::Join { .. }
                | Act::Leave { .. }
                | Act::Withdraw(_)
                | Act::Offer(_)
                | Act::Reschedule { .. }
                | Act::Rotate(_)
                | Act::Recover
        ) {
            self.complain_of_others(
                "it disturbs other scenarios, and `disturbs` does not say so",
                Some("write `disturbs: everything`, so that the scenario runs alone"),
            );
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Apply(configuration) => {
                self.at(Step::Key("apply"), |check| {
                    check.configuration(configuration)
                });
            }
            Act::Delete(name) => {
                if !self.configurations.remove(name) {
                    let hint = suggestion(name, self.configurations.iter().map(String::as_str))
                        .map(|meant| format!("did you mean `{meant}`?"));
                    self.complain_of_others(
                        format!("configuration `{name}` is not in force here"),
                        hint.as_deref(),
                    );
                }
            }
            Act::Request(traffic) => self.at(Step::Key("request"), |check| {
                check.workload("from", &traffic.from);
                check.called(&traffic.to);
                check.named_traffic(&traffic.name, TrafficKind::Batch);
                check.count(traffic.count);
                check.sendable(traffic);
                if traffic.protocol.is_bytes()
                    && (traffic.path != "/" || !traffic.headers.is_empty())
                {
                    check.complain(
                        "bytes have neither a path nor headers",
                        Some("leave `path` and `headers` out, or send requests over HTTP"),
                    );
                }
                if !traffic.path.starts_with('/') {
                    check.complain(
                        format!("path `{}` does not begin with `/`", traffic.path),
                        None,
                    );
                }
            }),
            Act::Load(load) => self.at(Step::Key("load"), |check| check.load(load)),
            Act::Stop(name) => {
                if !self.running.remove(name) {
                    self.complain_of_others(
                        format!("load `{name}` is not running here"),
                        Some("start it with `load` first"),
                    );
                }
            }
            Act::Inject(fault) => self.at(Step::Key("inject"), |check| check.fault(fault)),
            Act::Hold(span) => self.lasts("a hold", *span),
            Act::Join {
                application,
                data_center,
            } => self.at(Step::Key("join"), |check| {
                check.named("application", Kind::Application, application);
                check.named("dataCenter", Kind::DataCenter, data_center);
            }),
            Act::Leave {
                application,
                data_center,
            } => self.at(Step::Key("leave"), |check| {
                check.named("application", Kind::Application, application);
                check.named("dataCenter", Kind::DataCenter, data_center);
            }),
            Act::Withdraw(service) => self.withdraw(service),
            Act::Offer(service) => self.offer(service),
            Act::Restart(rollout) => self.at(Step::Key("restart"), |check| match rollout {
                Rollout::Application(name) => check.named("application", Kind::Application, name),
                Rollout::Component(name) => check.named("component", Kind::Component, name),
            }),
            Act::Reschedule {
                application,
                from,
                to,
            } => self.at(Step::Key("reschedule"), |check| {
                check.named("application", Kind::Application, application);
                check.named("from", Kind::DataCenter, from);
                check.named("to", Kind::DataCenter, to);
                if from == to {
                    check.complain("it moves to where it is", None);
                }
            }),
            Act::Ask(ask) => self.at(Step::Key("ask"), |check| check.ask(ask)),
            Act::Handshake(handshake) => {
                self.at(Step::Key("handshake"), |check| check.handshake(handshake));
            }
            Act::Rotate(Rotation::TrustPartner(of)) => self.at(Step::Key("rotate"), |check| {
                check.workload("trustPartner", of);
            }),
            Act::Reconnect | Act::Recover | Act::Rotate(_) => {}
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.at(Step::Key(fault.key()), |check| {
            if let Some(selector) = fault.selector() {
                check.at(Step::Key("selector"), |check| match selector {
                    PodSelector::Workload(workload) => check.workload("workload", workload),
                    PodSelector::Component(component) => {
                        check.named("component", Kind::Component, component);
                    }
                    PodSelector::Replica(component) => {
                        check.named("replica", Kind::Component, component);
                    }
                    PodSelector::ControlPlaneReplica => {}
                });
            }
            if let Some(component) = fault.component() {
                check.named("component", Kind::Component, component);
                check.has_what_breaks(fault, component);
            }
            if let Some(data_center) = fault.data_center() {
                check.named("dataCenter", Kind::DataCenter, data_center);
            }
            if let Fault::ZoneOutage {
                without: Some(part),
                ..
            } = fault
            {
                check.named("without", Kind::Component, part);
            }
            if let Fault::LateAnswers {
                delay, duration, ..
            } = fault
            {
                check.at(Step::Key("delay"), |check| {
                    check.is_shorter(*delay, *duration);
                });
            }
        });
        if let Some(duration) = fault.duration() {
            self.lasts("an outage", duration);
        }
    }

    fn named_traffic(&mut self, name: &str, kind: TrafficKind) {
        if self.traffic.insert(name.to_owned(), kind).is_some() {
            self.complain(
                format!("traffic `{name}` is named twice"),
                Some("give each batch and load its own name"),
            );
        }
    }

    fn faults_and_loads_end(&mut self, scenario: &Scenario) {
        let last = |wanted: fn(&Act) -> bool| scenario.when.iter().rposition(wanted);
        let injected = last(|act| matches!(act, Act::Inject(_)));
        let recovered = last(|act| matches!(act, Act::Recover));
        if let Some(injected) = injected
            && recovered.is_none_or(|recovered| recovered < injected)
        {
            self.at(Step::Key("when"), |check| {
                check.at(Step::Index(injected), |check| {
                    check.complain_of_others(
                        "nothing waits for the fault to end",
                        Some("add `recover` after it"),
                    );
                });
            });
        }
        for name in std::mem::take(&mut self.running) {
            let index = scenario
                .when
                .iter()
                .rposition(|act| matches!(act, Act::Load(load) if load.name == name));
            self.at(Step::Key("when"), |check| {
                check.at(Step::Index(index.unwrap_or(0)), |check| {
                    check.complain_of_others(
                        format!("load `{name}` is never stopped"),
                        Some("add `stop` after it"),
                    );
                });
            });
        }
    }
}
