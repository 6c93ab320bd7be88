//! One ADS stream in the delta form, as a state machine.
//!
//! Invariant: no I/O. Each type has at most one response in flight, with what changed since the client was sent it last,
//! and no more; what changes meanwhile is sent, once and in its newest form, when the client has answered. What a client
//! brings along from an earlier stream counts as sent, so a client that lost nothing is sent nothing again but endpoints.
//!
//! A rejection does not say of which resource of a response it is. So what was rejected together is sent once more, each
//! resource alone; what is rejected alone is not sent again before it changes, and keeps nothing else from the client.

mod subscription;

use super::{Meaning, Standing, follows, holds_back, waits_for};
use crate::behaviour::DeltaHandling;
use crate::snapshot::{Kind, Resource, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use subscription::Subscription;

/// What a client asks or answers (`DeltaDiscoveryRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaRequest {
    /// Names subscribed to from now on. What is there is sent again, even to who had it: the client may have dropped it.
    pub subscribe: Vec<String>,
    /// Names not subscribed to any more.
    pub unsubscribe: Vec<String>,
    /// Versions that the client brings along, by name; only in the first request of a type.
    pub held: BTreeMap<String, String>,
    /// The nonce of the response that is answered; empty where none is.
    pub nonce: String,
    /// Why the response was rejected, if it was.
    pub error: Option<String>,
}

/// What is sent to a client (`DeltaDiscoveryResponse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaResponse {
    /// Type.
    pub kind: Kind,
    /// Version of everything of the type that the client is to hold, as the state of the world would tell it.
    pub version: String,
    /// Unique on the stream.
    pub nonce: String,
    /// What is new or changed, by name.
    pub resources: Vec<(String, Resource)>,
    /// Names of what there is no more.
    pub removed: Vec<String>,
}

/// One stream.
#[derive(Debug, Default)]
pub struct DeltaStream {
    types: BTreeMap<Kind, Subscription>,
    nonces: u64,
    handling: DeltaHandling,
}

impl DeltaStream {
    /// A stream on which nothing was asked yet.
    #[must_use]
    pub fn new(handling: DeltaHandling) -> Self {
        Self {
            handling,
            ..Self::default()
        }
    }

    /// Takes a request.
    pub fn receive(&mut self, kind: Kind, request: &DeltaRequest) -> Meaning {
        let handling = self.handling;
        match self.types.get_mut(&kind) {
            None => {
                self.types
                    .insert(kind, Subscription::first(kind, request, handling));
                Meaning::Subscription
            }
            Some(subscription) => {
                // Also with a nonce that is not known: a change of subscription is in no other request.
                subscription.change(request);
                subscription.answer(request, handling)
            }
        }
    }

    /// What is to be sent now, in order; it counts as sent.
    pub fn due(&mut self, snapshot: &Snapshot) -> Vec<DeltaResponse> {
        let mut responses = Vec::new();
        let mut held_back = false;
        let handling = self.handling;
        for kind in Kind::ALL {
            if held_back && waits_for(kind) {
                continue;
            }
            let follows = follows(kind).and_then(|other| self.types.get(&other));
            let follows = follows.is_some_and(Subscription::is_in_flight);
            let Some(subscription) = self.types.get_mut(&kind) else {
                continue;
            };
            let resources = snapshot.resources.get(&kind).map(AsRef::as_ref);
            let news = subscription.news(resources, handling);
            if subscription.is_in_flight() || (follows && !news.is_nothing()) {
                held_back |= holds_back(kind) && !news.is_nothing();
                continue;
            }
            if !subscription.is_told(&snapshot.basis, &news) {
                continue;
            }
            self.nonces += 1;
            let nonce = self.nonces.to_string();
            let version = subscription.version(resources);
            let (told, removed) = subscription.take(news, &nonce);
            // What was rejected together goes alone: the others of it are older than what would overtake them.
            let left = subscription.news(resources, handling);
            held_back |= holds_back(kind) && !left.is_nothing();
            let changed: BTreeSet<String> = told.iter().map(|(name, _)| name.clone()).collect();
            responses.push(DeltaResponse {
                kind,
                version,
                nonce,
                resources: told,
                removed,
            });
            // A client that is given a cluster or listener anew waits for what hangs on it, though it had it.
            match kind {
                Kind::Clusters => self.forget(Kind::Endpoints, |name| changed.contains(name)),
                Kind::Listeners if !changed.is_empty() => self.forget(Kind::Routes, |_| true),
                Kind::Listeners | Kind::Endpoints | Kind::Routes | Kind::Runtime => {}
            }
        }
        responses
    }

    /// What became of what was sent.
    #[must_use]
    pub fn standing(&self, kind: Kind) -> Standing {
        self.types
            .get(&kind)
            .map(Subscription::standing)
            .unwrap_or_default()
    }

    fn forget(&mut self, kind: Kind, name: impl Fn(&str) -> bool) {
        if let Some(subscription) = self.types.get_mut(&kind) {
            subscription.forget(name);
        }
    }
}

#[cfg(test)]
mod tests;
