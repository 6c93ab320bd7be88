//! What the sidecars of this replica made of each policy, for whoever writes status.
//!
//! Invariant: an entry lives as long as its stream.

use crate::snapshot::Kind;
use crate::stream::Standing;
use crate::world::World;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// The streams of one replica and what became of what they were sent. Also the form in which replicas tell
/// each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Grows with every change.
    pub revision: u64,
    /// One for each stream.
    pub recipients: Vec<RecipientReport>,
}

/// One stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecipientReport {
    /// Pod name.
    pub pod: String,
    /// Pod UID.
    pub uid: String,
    /// When the stream began, milliseconds since the Unix epoch: of two streams of a pod the later one counts.
    pub since: i64,
    /// Policy name → what became of it. Policies that do not address the sidecar are absent.
    pub policies: BTreeMap<String, PolicyStanding>,
}

/// What became of one policy at one sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStanding {
    /// UID of the policy.
    pub uid: String,
    /// Generation of the policy.
    pub generation: i64,
    /// How far it came.
    pub state: State,
}

/// How far a policy came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Not sent yet.
    Pending,
    /// Sent, not answered yet.
    Delivered,
    /// The sidecar holds it.
    Acknowledged,
    /// The sidecar would not take it.
    Rejected {
        /// Short name of the type.
        kind: String,
        /// The sidecar's own words.
        message: String,
    },
}

/// What became of each policy that addresses the sidecar of a stream. `basis` names those policies; `standing` tells
/// what became of a type.
#[must_use]
pub fn standings(
    world: &World,
    basis: &crate::effective::Basis,
    standing: impl Fn(Kind) -> Standing,
) -> BTreeMap<String, PolicyStanding> {
    let by_kind: BTreeMap<Kind, Standing> = [Kind::Runtime, Kind::Routes]
        .map(|kind| (kind, standing(kind)))
        .into();
    basis
        .iter()
        .map(|(name, identity)| {
            let spec = world.policies.get(name).map(|policy| &policy.spec);
            let speaks = |kind: &Kind| match (kind, spec) {
                (Kind::Runtime, Some(spec)) => !spec.toggles.is_empty(),
                (_, Some(spec)) => !spec.rules.is_empty(),
                (_, None) => true,
            };
            let says_nothing = !by_kind.keys().any(speaks);
            let states = by_kind
                .iter()
                .filter(|(kind, _)| says_nothing || speaks(kind))
                .map(|(kind, standing)| state(*kind, standing, name, identity));
            let standing = PolicyStanding {
                uid: identity.0.clone(),
                generation: identity.1,
                state: states.fold(State::Acknowledged, worse),
            };
            (name.clone(), standing)
        })
        .collect()
}

fn state(kind: Kind, standing: &Standing, name: &str, identity: &(String, i64)) -> State {
    let has = |basis: &Option<std::sync::Arc<crate::effective::Basis>>| {
        basis
            .as_ref()
            .is_some_and(|basis| basis.get(name) == Some(identity))
    };
    // A sidecar that held the policy before it rejected something else still holds it.
    if has(&standing.held) {
        State::Acknowledged
    } else if !has(&standing.sent) {
        State::Pending
    } else if let Some(message) = &standing.rejection {
        State::Rejected {
            kind: kind.short().to_owned(),
            message: message.clone(),
        }
    } else {
        State::Delivered
    }
}

fn worse(a: State, b: State) -> State {
    let rank = |state: &State| match state {
        State::Acknowledged => 0,
        State::Delivered => 1,
        State::Pending => 2,
        State::Rejected { .. } => 3,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// The report of this replica, kept up to date by its streams.
#[derive(Debug, Default)]
pub struct Acknowledgements {
    streams: Mutex<BTreeMap<u64, RecipientReport>>,
    revision: watch::Sender<u64>,
}

impl Acknowledgements {
    /// Puts in what a stream has to say; nobody is told when nothing changed.
    pub fn put(&self, stream: u64, report: RecipientReport) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.get(&stream) != Some(&report) {
            streams.insert(stream, report);
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// Takes out a stream that has ended.
    pub fn remove(&self, stream: u64) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.remove(&stream).is_some() {
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    /// The newest report.
    #[must_use]
    pub fn report(&self) -> Report {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            revision: *self.revision.borrow(),
            recipients: streams.values().cloned().collect(),
        }
    }

    /// Follows the revision.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Resource, Snapshot};
    use crate::stream::{Request, Stream};
    use crate::world::Policy;
    use mesh_api::{PolicyConfigSpec, RoutingRule};
    use std::sync::Arc;

    fn world() -> World {
        let policy = |name: &str, rules: usize| {
            let spec = PolicyConfigSpec {
                toggles: [("key".to_owned(), "on".into())].into(),
                rules: vec![RoutingRule::default(); rules],
                ..PolicyConfigSpec::default()
            };
            (
                name.to_owned(),
                Arc::new(Policy {
                    name: name.into(),
                    spec,
                    ..Policy::default()
                }),
            )
        };
        World {
            policies: [policy("toggles", 0), policy("both", 1)].into(),
            ..World::default()
        }
    }

    fn snapshot(routes: &str, basis: &[(&str, i64)]) -> Snapshot {
        let one = |kind, name: &str, content: &str| {
            let resource = Resource::new(kind, content.as_bytes().to_vec());
            (kind, Arc::new([(name.to_owned(), resource)].into()))
        };
        Snapshot {
            resources: [
                one(Kind::Runtime, "mesh", "same"),
                one(Kind::Routes, "outbound", routes),
            ]
            .into(),
            basis: Arc::new(
                basis
                    .iter()
                    .map(|(name, g)| ((*name).to_owned(), (String::new(), *g)))
                    .collect(),
            ),
        }
    }

    fn request(name: &str, nonce: &str, error: Option<&str>) -> Request {
        Request {
            names: vec![name.to_owned()],
            nonce: nonce.to_owned(),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_rejection_counts_for_those_who_are_not_held_yet() {
        let mut stream = Stream::default();
        stream.receive(Kind::Runtime, &request("mesh", "", None));
        stream.receive(Kind::Routes, &request("outbound", "", None));
        let first = snapshot("1", &[("toggles", 1)]);
        stream.due(&first);
        assert_eq!(
            standings(&world(), &first.basis, |kind| stream.standing(kind))["toggles"].state,
            State::Delivered
        );
        stream.receive(Kind::Routes, &request("outbound", "1", None));
        stream.receive(Kind::Runtime, &request("mesh", "2", None));
        assert_eq!(
            standings(&world(), &first.basis, |kind| stream.standing(kind))["toggles"].state,
            State::Acknowledged
        );

        let second = snapshot("bad", &[("toggles", 1), ("both", 1)]);
        assert_eq!(
            standings(&world(), &second.basis, |kind| stream.standing(kind))["both"].state,
            State::Pending
        );
        stream.due(&second);
        stream.receive(Kind::Routes, &request("outbound", "3", Some("bad regex")));
        stream.due(&second);
        let standings = standings(&world(), &second.basis, |kind| stream.standing(kind));
        assert_eq!(standings["toggles"].state, State::Acknowledged);
        assert_eq!(
            standings["both"].state,
            State::Rejected {
                kind: "RDS".into(),
                message: "bad regex".into()
            }
        );
    }

    #[test]
    fn nobody_is_told_when_nothing_changed() {
        let acknowledgements = Acknowledgements::default();
        acknowledgements.put(1, RecipientReport::default());
        let revision = acknowledgements.report().revision;
        acknowledgements.put(1, RecipientReport::default());
        assert_eq!(acknowledgements.report().revision, revision);
        acknowledgements.remove(1);
        assert!(acknowledgements.report().revision > revision);
    }
}
