//! A scenario: one claim with given, when and then. [`mod@file`] is its YAML form.

pub mod file;

use crate::asking::Ask;
use crate::capability::Capability;
use crate::configuration::Configuration;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::handshake::Handshake;
use crate::protocol::{Connections, Protocol};
use crate::rotation::Rotation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One claim about a mesh, ready to be run and judged. The YAML form has the same words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Identifies it: `suite/kebab-case-name`.
    pub name: String,
    /// A full sentence in the present tense that can be false.
    pub claim: String,
    /// When it is run.
    pub tags: Vec<Tag>,
    /// What the environment must have; else it is skipped with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Capability>,
    /// What it takes from others while it runs.
    #[serde(default, skip_serializing_if = "Disturbs::is_nothing")]
    pub disturbs: Disturbs,
    /// What is there before the first act.
    #[serde(default)]
    pub given: Given,
    /// The timeline; acts are carried out one after another.
    pub when: Vec<Act>,
    /// What must hold; each expectation is judged by itself from the history.
    pub then: Vec<Expectation>,
}

impl Scenario {
    /// What the environment must have: what it says it requires, and what its faults take.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Capability> {
        let of_faults = self.when.iter().filter_map(|act| match act {
            Act::Inject(fault) => fault.takes(),
            _ => None,
        });
        self.requires.iter().copied().chain(of_faults).collect()
    }

    /// What is spoken in it.
    pub fn speaks(&self) -> impl Iterator<Item = Protocol> {
        self.when.iter().filter_map(|act| match act {
            Act::Request(traffic) => Some(traffic.protocol),
            Act::Load(load) => Some(load.protocol),
            _ => None,
        })
    }

    /// Requests are sent in it, or connections opened.
    #[must_use]
    pub fn sends(&self) -> bool {
        let sends = |act: &Act| matches!(act, Act::Request(_) | Act::Load(_) | Act::Handshake(_));
        self.when.iter().any(sends)
    }

    /// The services that are taken away in it.
    pub fn withdraws(&self) -> impl Iterator<Item = &str> {
        self.when.iter().filter_map(|act| match act {
            Act::Withdraw(service) => Some(service.as_str()),
            _ => None,
        })
    }

    /// Something is rolled out in it.
    #[must_use]
    pub fn rolls_out(&self) -> bool {
        let mut acts = self.when.iter();
        acts.any(|act| matches!(act, Act::Restart(_)))
    }

    /// Whether it can run at the same time as the other one.
    #[must_use]
    pub fn bears(&self, other: &Self) -> bool {
        match (self.disturbs, other.disturbs) {
            (Disturbs::Nothing, Disturbs::Nothing) => true,
            (Disturbs::Nothing, Disturbs::Traffic) => !self.sends() && other.speaks_of_tls(),
            (Disturbs::Traffic, Disturbs::Nothing) => !other.sends() && self.speaks_of_tls(),
            _ => false,
        }
    }

    /// One of its configurations speaks of TLS.
    #[must_use]
    pub fn speaks_of_tls(&self) -> bool {
        let applied = self.when.iter().filter_map(|act| match act {
            Act::Apply(configuration) => Some(configuration),
            _ => None,
        });
        let given = &self.given.configurations;
        given
            .iter()
            .chain(applied)
            .any(|configuration| configuration.tls.is_some())
    }
}

/// When a scenario is run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tag {
    /// Before each merge.
    Gate,
    /// By hand.
    Qa,
    /// Before a release.
    PreRelease,
    /// Breaks something.
    Chaos,
}

/// What a scenario takes from others while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Disturbs {
    /// Runs beside others, each with configuration keys of its own. Its rules must catch none of their requests: give
    /// them a header or path that no other scenario sends, or let it disturb traffic.
    #[default]
    Nothing,
    /// Changes how requests of everybody travel (TLS, rules without a header or path of their own): one of its kind at a time,
    /// with TLS beside those that send nothing, else alone.
    Traffic,
    /// Changes what others would see (kills, cuts, rollouts, rotations, services that are away, rejected updates): runs alone.
    Everything,
}

impl Disturbs {
    /// Runs beside others.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// What is there before the first act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Given {
    /// Configurations in force, settled before the timeline starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configurations: Vec<Configuration>,
}

/// One act of a timeline.
///
/// Each act begins with a `stepStarted` event. After the configurations of `given` (step none), after `apply`,
/// `delete`, `join`, `leave`, `withdraw`, `offer`, `reschedule`, `restart`, `hold`, `recover` and `rotate`, and once more after
/// `finished`, the runner waits until
/// every sidecar shows what it must (bounded by the mesh's duty) and records those readings. Where `confined` is
/// expected it then writes a new marker for everybody and waits until every sidecar shows it: the reading that
/// shows the marker is what absence is judged on (`ARCHITECTURE.md`, proof of absence). `reconnect` does the same on each replica. An apply
/// that is meant to be rejected ([`crate::expectation::Expectation::Rejected`]) ends when every sidecar in
/// scope shows the rejection, without a marker (it could not arrive). While a fault is in force the runner
/// reads every sidecar at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Act {
    /// Creates or replaces a configuration.
    Apply(Configuration),
    /// Deletes a configuration by name.
    Delete(String),
    /// Starts one more pod of a workload and waits until its sidecar is in sync.
    Join {
        /// Application.
        application: String,
        /// Data center; placeholders as in scopes.
        data_center: String,
    },
    /// Scales a workload to nothing and waits until its sidecars are gone and its service has no endpoint of
    /// it any more. The runner brings it back after the scenario.
    Leave {
        /// Application.
        application: String,
        /// Data center; placeholders as in scopes.
        data_center: String,
    },
    /// Takes a service away, with its name and its address, and waits until no sidecar has a cluster of it any more, in force or
    /// warming, at most for [`crate::patience::Patience::delivery`]; who still has one then is noted in the history, and fails
    /// nothing by itself. Its pods stay, and so do rules that lead there. The runner brings it back after the scenario.
    Withdraw(String),
    /// Brings a service back that was taken away, as it was deployed, and waits until every sidecar has its clusters with an
    /// endpoint each, at most as long. It may have another address than before.
    Offer(String),
    /// Rolls something out anew and waits until only new pods run, all of them ready. Where a build before the one under test
    /// is known and no fault is in force, that is put in place first, and then the one under test again; else only the pods are
    /// replaced, as by `kubectl rollout restart`.
    Restart(Rollout),
    /// Has a workload scheduled in another data center of its cluster: its pod there replaces the one it had, and waits
    /// until the new sidecar is in sync and the old one is gone. The runner brings it back after the scenario.
    Reschedule {
        /// Application.
        application: String,
        /// The data center it is in; placeholders as in scopes.
        from: String,
        /// The data center it moves to; placeholders as in scopes.
        to: String,
    },
    /// Makes every sidecar leave its control-plane connection and dial each replica in turn, with the proof
    /// of absence repeated on each.
    Reconnect,
    /// Goes on watching, for leaks that come late. The time itself is what is tested.
    Hold(Span),
    /// Sends a batch of requests and waits for the outcomes.
    Request(Traffic),
    /// Starts steady load, to be ended by `stop`.
    Load(Load),
    /// Ends a load by name. Where `recovers` names the load and a fault has ended, the load goes on before that until its
    /// traffic is back, or until the bound for recovery is over without.
    Stop(String),
    /// Injects a fault; the act is over when the fault is measured to bite.
    Inject(Fault),
    /// Waits until every fault of this scenario has ended and what it hit is back.
    Recover,
    /// Replaces what certificates lead to, as an operator would, and waits until every certificate shows it.
    Rotate(Rotation),
    /// Has a probe ask for an identity, rightly or wrongly.
    Ask(Ask),
    /// Has a probe speak TLS to the sidecar of another workload, past its own, with a certificate that is right or wrong.
    Handshake(Handshake),
}

impl Act {
    /// Nothing of the mesh is written, broken or replaced by it, and nobody comes or goes.
    #[must_use]
    pub fn leaves_alone(&self) -> bool {
        matches!(
            self,
            Self::Hold(_)
                | Self::Request(_)
                | Self::Load(_)
                | Self::Stop(_)
                | Self::Recover
                | Self::Ask(_)
                | Self::Handshake(_)
        )
    }

    /// Something is broken or rolled out by it: who was connected to that connects again, and may be late to do so.
    #[must_use]
    pub fn breaks(&self) -> bool {
        matches!(self, Self::Inject(_) | Self::Restart(_))
    }
}

/// What is rolled out anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Rollout {
    /// An application, in every data center at once.
    Application(String),
    /// A part of the mesh, by the name that the mesh definition gives it; the control plane by that of its Deployment.
    Component(String),
}

/// The application whose pods are extra recipients, one pinned to each control-plane replica. Its service is
/// not called by scenarios, and [`Act::Reconnect`] does not move it.
pub const CANARY_APPLICATION: &str = "canary";

/// Requests of one workload to one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traffic {
    /// Names the outcomes in expectations.
    pub name: String,
    /// The sending workload, `application@data-center` with placeholders.
    pub from: String,
    /// The service called.
    pub to: String,
    /// Path; of gRPC calls the method, where it is not the probe's own. Bytes have none, and no headers.
    #[serde(default = "root_path")]
    pub path: String,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is spoken.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
    /// How many.
    pub count: u32,
}

fn root_path() -> String {
    "/".to_owned()
}

/// Steady open-loop load of one workload on one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Names the outcomes in expectations and in `stop`.
    pub name: String,
    /// The sending workload, `application@data-center` with placeholders.
    pub from: String,
    /// The service called.
    pub to: String,
    /// Headers; bytes have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is spoken.
    #[serde(default, skip_serializing_if = "Protocol::is_http1")]
    pub protocol: Protocol,
    /// What the requests go over.
    #[serde(default, skip_serializing_if = "Connections::are_usual")]
    pub connections: Connections,
    /// Requests per second.
    pub rate: u32,
}
