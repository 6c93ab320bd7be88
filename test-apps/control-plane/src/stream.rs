//! One ADS stream as a state machine: here in the state-of-the-world form, in [`delta`] in that one.
//!
//! Invariant: no I/O. Each type has at most one response in flight; what changes meanwhile is sent, once and
//! in its newest form, when the client has answered. A rejected content is not sent again before something of its type
//! changes. In both forms routes and runtime values wait for clusters and listeners that changed before them and could not
//! be sent yet: proofs of absence rest on that. Listeners wait for the answer about clusters: Envoy gives it when the clusters
//! are in use, and a connection that a new listener takes must not go by the old ones.

pub mod delta;

use crate::effective::Basis;
use crate::snapshot::{ContentHash, Kind, Resource, Snapshot, version};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The forms of the protocol.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// Each request names everything that is subscribed to.
    #[default]
    StateOfTheWorld,
    /// Each request says what changes.
    Delta,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::StateOfTheWorld, Self::Delta];

    /// The short name that people use.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::StateOfTheWorld => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// What could not be sent yet of this type holds back those that [`waits_for`] names.
fn holds_back(kind: Kind) -> bool {
    matches!(kind, Kind::Clusters | Kind::Listeners)
}

/// This type waits for older news of those that [`holds_back`] names. Endpoints do not: a client may answer for a
/// cluster only when it has its endpoints.
fn waits_for(kind: Kind) -> bool {
    matches!(kind, Kind::Routes | Kind::Runtime)
}

/// Of this type nothing new is sent while a response of the other is unanswered.
fn follows(kind: Kind) -> Option<Kind> {
    (kind == Kind::Listeners).then_some(Kind::Clusters)
}

/// What a client asks or answers (`DiscoveryRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Names subscribed to.
    pub names: Vec<String>,
    /// The nonce of the response that is answered; empty in the first request of a type.
    pub nonce: String,
    /// Why the response was rejected, if it was.
    pub error: Option<String>,
}

/// What is sent to a client (`DiscoveryResponse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Type.
    pub kind: Kind,
    /// Version of everything of the type that the client is to hold.
    pub version: String,
    /// Unique on the stream.
    pub nonce: String,
    /// The resources.
    pub resources: Vec<Resource>,
}

/// What a request meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Subscribes, or changes a subscription, with nothing in flight.
    Subscription,
    /// Acknowledges the response in flight.
    Acknowledgement,
    /// Rejects the response in flight.
    Rejection,
    /// Answers a response that has been superseded; ignored.
    Stale,
}

/// What became of what was sent, for one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The policies that what was sent takes account of.
    pub sent: Option<Arc<Basis>>,
    /// The policies that what the client holds takes account of.
    pub held: Option<Arc<Basis>>,
    /// Why the client rejected what was sent last, if it did.
    pub rejection: Option<String>,
}

/// One stream in the state-of-the-world form.
#[derive(Debug, Default)]
pub struct Stream {
    types: BTreeMap<Kind, Subscription>,
    nonces: u64,
}

#[derive(Debug, Default)]
struct Subscription {
    names: BTreeSet<String>,
    wildcard: bool,
    /// Names were given once: no names mean nothing from then on, as the protocol has it.
    named: bool,
    nonce: Option<String>,
    in_flight: bool,
    /// What was sent last, by name.
    sent: BTreeMap<String, ContentHash>,
    /// The client may hold less than what was sent: the next response carries everything.
    incomplete: bool,
    standing: Standing,
}

impl Stream {
    /// Takes a request.
    pub fn receive(&mut self, kind: Kind, request: &Request) -> Meaning {
        let subscription = self.types.entry(kind).or_default();
        match &subscription.nonce {
            Some(nonce) if *nonce != request.nonce => return Meaning::Stale,
            _ => {}
        }
        subscription.subscribe(kind, &request.names);
        if subscription.nonce.is_none() || !subscription.in_flight {
            return Meaning::Subscription;
        }
        subscription.in_flight = false;
        if let Some(error) = &request.error {
            subscription.standing.rejection = Some(error.clone());
            subscription.incomplete = true;
            Meaning::Rejection
        } else {
            subscription.standing.rejection = None;
            subscription.incomplete = false;
            subscription.standing.held = subscription.standing.sent.clone();
            Meaning::Acknowledgement
        }
    }

    /// What is to be sent now, in order; it counts as sent.
    pub fn due(&mut self, snapshot: &Snapshot) -> Vec<Response> {
        let mut responses = Vec::new();
        let mut held_back = false;
        for kind in Kind::ALL {
            if held_back && waits_for(kind) {
                continue;
            }
            if self.has_to_wait(kind, snapshot) {
                held_back |= holds_back(kind);
                continue;
            }
            let Some(changed) = self.due_of(kind, snapshot, &mut responses) else {
                continue;
            };
            // A client that is given a cluster or listener anew waits for what hangs on it, though it had it.
            match kind {
                Kind::Clusters => self.forget(Kind::Endpoints, |name| changed.contains(name)),
                Kind::Listeners => self.forget(Kind::Routes, |_| true),
                Kind::Endpoints | Kind::Routes | Kind::Runtime => {}
            }
        }
        responses
    }

    /// What became of what was sent.
    #[must_use]
    pub fn standing(&self, kind: Kind) -> Standing {
        self.types
            .get(&kind)
            .map(|subscription| subscription.standing.clone())
            .unwrap_or_default()
    }

    /// A response is due, and cannot be sent before one that is in flight is answered.
    fn has_to_wait(&self, kind: Kind, snapshot: &Snapshot) -> bool {
        let subscription = self.types.get(&kind);
        subscription.is_some_and(|subscription| {
            let wanted = subscription.wanted(kind, snapshot);
            let waits = subscription.in_flight
                || follows(kind).is_some_and(|other| self.is_in_flight(other));
            waits
                && (subscription.changed(&wanted).next().is_some()
                    || subscription.has_too_much(&wanted))
        })
    }

    fn is_in_flight(&self, kind: Kind) -> bool {
        let subscription = self.types.get(&kind);
        subscription.is_some_and(|subscription| subscription.in_flight)
    }

    fn forget(&mut self, kind: Kind, name: impl Fn(&str) -> bool) {
        if let Some(subscription) = self.types.get_mut(&kind) {
            subscription.sent.retain(|sent, _| !name(sent));
        }
    }

    /// Adds the response of one type, if one is due, and says which names are new or changed in it.
    fn due_of(
        &mut self,
        kind: Kind,
        snapshot: &Snapshot,
        responses: &mut Vec<Response>,
    ) -> Option<BTreeSet<String>> {
        let subscription = self.types.get_mut(&kind)?;
        if subscription.in_flight {
            return None;
        }
        let wanted = subscription.wanted(kind, snapshot);
        let changed: BTreeSet<String> = subscription.changed(&wanted).map(str::to_owned).collect();
        let removed = subscription.has_too_much(&wanted);
        let first = subscription.nonce.is_none();
        let is_due = if kind.is_whole() {
            !changed.is_empty() || removed || (first && subscription.wildcard)
        } else {
            !changed.is_empty()
        };
        // What is no longer wanted is sent again when it is wanted again.
        subscription
            .sent
            .retain(|name, _| wanted.contains_key(name.as_str()));
        subscription.standing.sent = Some(snapshot.basis.clone());
        if !is_due {
            if subscription.standing.rejection.is_none() {
                subscription.standing.held = Some(snapshot.basis.clone());
            }
            return None;
        }
        let everything = kind.is_whole() || subscription.incomplete;
        let resources = wanted
            .iter()
            .filter(|(name, _)| everything || changed.contains(**name))
            .map(|(_, resource)| (*resource).clone())
            .collect();
        subscription.sent = wanted
            .iter()
            .map(|(name, resource)| ((*name).to_owned(), resource.hash))
            .collect();
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        subscription.nonce = Some(nonce.clone());
        subscription.in_flight = true;
        // What was rejected before says nothing of what is sent now.
        subscription.standing.rejection = None;
        responses.push(Response {
            kind,
            version: version(
                wanted
                    .iter()
                    .map(|(name, resource)| (*name, &resource.hash)),
            ),
            nonce,
            resources,
        });
        Some(changed)
    }
}

impl Subscription {
    /// What the client is to hold of the type.
    fn wanted<'a>(&self, kind: Kind, snapshot: &'a Snapshot) -> BTreeMap<&'a str, &'a Resource> {
        let resources = snapshot.resources.get(&kind).into_iter();
        resources
            .flat_map(|resources| resources.iter())
            .filter(|(name, _)| self.wildcard || self.names.contains(*name))
            .map(|(name, resource)| (name.as_str(), resource))
            .collect()
    }

    /// The names of what is new or changed in it.
    fn changed<'a>(
        &self,
        wanted: &BTreeMap<&'a str, &'a Resource>,
    ) -> impl Iterator<Item = &'a str> {
        let differs = |(name, resource): &(&&'a str, &&'a Resource)| {
            self.sent.get(**name) != Some(&resource.hash)
        };
        wanted.iter().filter(differs).map(|(name, _)| *name)
    }

    /// The client was sent something that it is not to hold any more.
    fn has_too_much(&self, wanted: &BTreeMap<&str, &Resource>) -> bool {
        let mut sent = self.sent.keys();
        sent.any(|name| !wanted.contains_key(name.as_str()))
    }

    fn subscribe(&mut self, kind: Kind, names: &[String]) {
        let explicit = names.iter().any(|name| name == "*");
        self.named |= !names.is_empty();
        self.wildcard = explicit || (kind.is_whole() && !self.named);
        self.names = names.iter().filter(|name| *name != "*").cloned().collect();
    }
}

#[cfg(test)]
mod tests;
