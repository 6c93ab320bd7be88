//! One SDS stream as a state machine, in both forms of the protocol.
//!
//! Invariant: no I/O. At most one response is in flight; what changes meanwhile is sent, once and in its newest form,
//! when the client has answered. A version that was rejected is not sent again.
//!
//! A response of the state of the world carries everything that is subscribed to, since it stands for all of it. One of
//! the incremental form carries one resource, so that a rejection is of that resource and of no other.

use crate::secret::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// The forms of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Each request names everything that is subscribed to.
    StateOfTheWorld,
    /// Each request says what changes.
    Delta,
}

/// What a client subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// All of it.
    Exactly(Vec<String>),
    /// How it changes.
    Change {
        /// Names subscribed to; what is there is sent again, even to who had it.
        more: Vec<String>,
        /// Names not subscribed to any more.
        less: Vec<String>,
        /// Versions that the client brought from another stream, by name.
        held: BTreeMap<String, String>,
    },
}

/// What a client asks or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it subscribes to.
    pub names: Names,
    /// The nonce of the response that is answered; empty where none is.
    pub nonce: String,
    /// Why the response was rejected, if it was.
    pub error: Option<String>,
}

/// What is sent to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Follows from the versions of the resources.
    pub version: String,
    /// Unique on the stream.
    pub nonce: String,
    /// The resources with their versions, in the order in which they are to take effect.
    pub resources: Vec<(Kind, String)>,
    /// Names for which there is nothing and never will be (incremental form only).
    pub removed: Vec<String>,
}

/// What a request meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Subscribes, or changes a subscription.
    Subscription,
    /// Acknowledges the response in flight, with these resources.
    Acknowledgement(Vec<Kind>),
    /// Rejects the response in flight, with these resources.
    Rejection(Vec<Kind>),
    /// Answers a response that is not in flight.
    Stale,
}

/// The version of each resource that is there.
pub type Versions = BTreeMap<Kind, String>;

/// One stream.
#[derive(Debug)]
pub struct Stream {
    form: Form,
    subscribed: BTreeSet<Kind>,
    /// Names to be told that there is nothing of them.
    unknown: BTreeSet<String>,
    /// What was sent last, or brought by the client.
    sent: Versions,
    in_flight: Option<(String, Vec<Kind>)>,
    nonces: u64,
}

impl Stream {
    /// A stream on which nothing was said yet.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            form,
            subscribed: BTreeSet::new(),
            unknown: BTreeSet::new(),
            sent: Versions::new(),
            in_flight: None,
            nonces: 0,
        }
    }

    /// Whether a resource is subscribed to.
    #[must_use]
    pub fn asks_for(&self, kind: Kind) -> bool {
        self.subscribed.contains(&kind)
    }

    /// The version that the client has of a resource or is being sent.
    #[must_use]
    pub fn version_of(&self, kind: Kind) -> Option<&str> {
        self.sent.get(&kind).map(String::as_str)
    }

    /// Takes a request.
    pub fn receive(&mut self, request: &Request) -> Meaning {
        let answers_newest = self.nonces > 0 && request.nonce == self.nonces.to_string();
        match &request.names {
            Names::Exactly(names) => {
                // Its names are those of an earlier time; the answer to the newest response is still to come.
                if self.nonces > 0 && !answers_newest {
                    return Meaning::Stale;
                }
                self.subscribe_exactly(names);
            }
            Names::Change { more, less, held } => self.change(more, less, held),
        }
        match (&self.in_flight, &request.error) {
            (Some((nonce, kinds)), error) if *nonce == request.nonce => {
                let kinds = kinds.clone();
                self.in_flight = None;
                if error.is_some() {
                    Meaning::Rejection(kinds)
                } else {
                    Meaning::Acknowledgement(kinds)
                }
            }
            _ if request.nonce.is_empty() || answers_newest => Meaning::Subscription,
            _ => Meaning::Stale,
        }
    }

    /// What is to be sent now; it counts as sent.
    pub fn due(&mut self, versions: &Versions) -> Option<Response> {
        if self.in_flight.is_some() {
            return None;
        }
        let wanted = versions
            .iter()
            .filter(|(kind, _)| self.subscribed.contains(kind));
        let is_changed = |(kind, version): &(&Kind, &String)| self.sent.get(kind) != Some(version);
        let resources: Vec<(&Kind, &String)> = match self.form {
            Form::StateOfTheWorld if wanted.clone().any(|one| is_changed(&one)) => wanted.collect(),
            Form::StateOfTheWorld => vec![],
            Form::Delta => wanted.filter(is_changed).take(1).collect(),
        };
        let resources: Vec<(Kind, String)> = resources
            .into_iter()
            .map(|(kind, version)| (*kind, version.clone()))
            .collect();
        let removed: Vec<String> = std::mem::take(&mut self.unknown).into_iter().collect();
        if resources.is_empty() && removed.is_empty() {
            return None;
        }
        self.sent.extend(resources.iter().cloned());
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let kinds = resources.iter().map(|(kind, _)| *kind).collect();
        self.in_flight = Some((nonce.clone(), kinds));
        let versions: Vec<&str> = resources
            .iter()
            .map(|(_, version)| version.as_str())
            .collect();
        Some(Response {
            version: versions.join("-"),
            nonce,
            resources,
            removed,
        })
    }

    fn subscribe_exactly(&mut self, names: &[String]) {
        self.subscribed = names
            .iter()
            .filter_map(|name| Kind::from_name(name))
            .collect();
        // What is no longer wanted is sent again when it is wanted again.
        self.sent.retain(|kind, _| self.subscribed.contains(kind));
    }

    fn change(&mut self, more: &[String], less: &[String], held: &BTreeMap<String, String>) {
        for name in less {
            self.unknown.remove(name);
            if let Some(kind) = Kind::from_name(name) {
                self.subscribed.remove(&kind);
                self.sent.remove(&kind);
            }
        }
        for name in more {
            match Kind::from_name(name) {
                Some(kind) => {
                    self.subscribed.insert(kind);
                    self.sent.remove(&kind);
                    if let Some(version) = held.get(name) {
                        self.sent.insert(kind, version.clone());
                    }
                }
                None => {
                    self.unknown.insert(name.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
