//! One ADS stream in the delta form, as a state machine.
//!
//! Invariant: no I/O. Each type has at most one response in flight, with what changed since the client was sent it last,
//! and no more; what changes meanwhile is sent, once and in its newest form, when the client has answered. What a client
//! brings along from an earlier stream counts as sent, so a client that lost nothing is sent nothing again but endpoints.
//!
//! A rejection does not say of which resource of a response it is. So what was rejected together is sent once more, each
//! resource alone; what is rejected alone is not sent again before it changes, and keeps nothing else from the client.

use super::{Meaning, Standing, follows, holds_back, waits_for};
use crate::behaviour::DeltaHandling;
use crate::snapshot::{Kind, Resource, ResourceVersion, Resources, Snapshot, version};
use std::collections::{BTreeMap, BTreeSet};

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

#[derive(Debug, Default)]
struct Subscription {
    names: BTreeSet<String>,
    wildcard: bool,
    in_flight: Option<InFlight>,
    /// The client has been answered once: it knows who serves it.
    greeted: bool,
    /// What the client was sent or brought along; a version that is none of ours is none.
    sent: BTreeMap<String, Option<ResourceVersion>>,
    /// Names whose state the client waits for, be it that there is nothing.
    owed: BTreeSet<String>,
    /// Names that were rejected together with others: each goes alone.
    suspects: BTreeSet<String>,
    /// Names whose newest content was rejected, and why.
    rejected: BTreeMap<String, String>,
    /// Names that the client is believed to hold in their newest form whatever becomes of them: only with a seeded bug.
    believed: BTreeSet<String>,
    standing: Standing,
}

/// The response in flight: its nonce, and the names it carries and tells as gone.
#[derive(Debug)]
struct InFlight {
    nonce: String,
    carried: Vec<String>,
    removed: Vec<String>,
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
        for kind in Kind::ALL {
            if held_back && waits_for(kind) {
                continue;
            }
            let follows = follows(kind).and_then(|other| self.types.get(&other));
            let follows = follows.is_some_and(|other| other.in_flight.is_some());
            let Some(subscription) = self.types.get_mut(&kind) else {
                continue;
            };
            let resources = snapshot.resources.get(&kind).map(AsRef::as_ref);
            let news = subscription.news(resources);
            if subscription.in_flight.is_some() || (follows && !news.is_nothing()) {
                held_back |= holds_back(kind) && !news.is_nothing();
                continue;
            }
            subscription.standing.sent = Some(snapshot.basis.clone());
            if news.is_nothing() && (subscription.greeted || !subscription.wildcard) {
                if subscription.rejected.is_empty() {
                    subscription.standing.held = Some(snapshot.basis.clone());
                }
                continue;
            }
            self.nonces += 1;
            let nonce = self.nonces.to_string();
            let version = subscription.version(resources);
            let (told, removed) = subscription.take(news, &nonce);
            // What was rejected together goes alone: the others of it are older than what would overtake them.
            held_back |= holds_back(kind) && !subscription.news(resources).is_nothing();
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
            .map(|subscription| subscription.standing.clone())
            .unwrap_or_default()
    }

    fn forget(&mut self, kind: Kind, name: impl Fn(&str) -> bool) {
        if let Some(subscription) = self.types.get_mut(&kind) {
            let again = subscription.sent.iter_mut();
            // What there is no more is still to be told as gone.
            again
                .filter(|(sent, _)| name(sent))
                .for_each(|(_, held)| *held = None);
        }
    }
}

/// What a client lacks, and what it holds too much.
#[derive(Debug, Default)]
struct News {
    resources: Vec<(String, Resource)>,
    removed: Vec<String>,
}

impl News {
    fn is_nothing(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }
}

impl Subscription {
    /// The first request of a type on a stream: what it brings along counts as sent.
    fn first(kind: Kind, request: &DeltaRequest, handling: DeltaHandling) -> Self {
        let names: BTreeSet<String> = named(&request.subscribe).cloned().collect();
        let explicit = request.subscribe.iter().any(|name| name == EVERYTHING);
        let wildcard = explicit || (kind.is_whole() && names.is_empty());
        let sent: BTreeMap<_, _> = request
            .held
            .iter()
            .filter(|(name, _)| wildcard || names.contains(*name))
            .map(|(name, held)| {
                // It may have been given a cluster just before the other stream ended, which waits for its endpoints though
                // the client has them: it does not ask for them again.
                let held = (kind != Kind::Endpoints).then(|| ResourceVersion::from_text(held));
                (name.clone(), held.flatten())
            })
            .collect();
        Self {
            owed: names
                .iter()
                .filter(|name| !sent.contains_key(*name))
                .cloned()
                .collect(),
            believed: match handling.versions_count {
                true => BTreeSet::new(),
                false => sent.keys().cloned().collect(),
            },
            names,
            wildcard,
            sent,
            ..Self::default()
        }
    }

    fn change(&mut self, request: &DeltaRequest) {
        for name in named(&request.subscribe) {
            self.names.insert(name.clone());
            self.sent.remove(name);
            self.owed.insert(name.clone());
        }
        self.wildcard |= request.subscribe.iter().any(|name| name == EVERYTHING);
        for name in named(&request.unsubscribe) {
            if self.names.remove(name) {
                self.sent.remove(name);
                self.owed.remove(name);
                self.suspects.remove(name);
                self.rejected.remove(name);
                if self.wildcard {
                    // It is subscribed to all the same, and the client does not know whether it still holds it.
                    self.owed.insert(name.clone());
                }
            }
        }
        if request.unsubscribe.iter().any(|name| name == EVERYTHING) {
            self.wildcard = false;
            let names = &self.names;
            self.sent.retain(|name, _| names.contains(name));
            self.owed.retain(|name| names.contains(name));
            self.suspects.retain(|name| names.contains(name));
            self.rejected.retain(|name, _| names.contains(name));
        }
        self.tell_rejection();
    }

    fn answer(&mut self, request: &DeltaRequest, handling: DeltaHandling) -> Meaning {
        if request.nonce.is_empty() {
            return Meaning::Subscription;
        }
        let Some(answered) = self
            .in_flight
            .take_if(|in_flight| in_flight.nonce == request.nonce)
        else {
            return Meaning::Stale;
        };
        let error = request.error.as_ref();
        match error.filter(|_| handling.rejections_count) {
            None => {
                for name in answered.carried.iter().chain(&answered.removed) {
                    self.suspects.remove(name);
                    self.rejected.remove(name);
                }
            }
            Some(error) => self.note_rejection(answered, error),
        }
        self.tell_rejection();
        if self.rejected.is_empty() {
            self.standing.held = self.standing.sent.clone();
        }
        match request.error {
            Some(_) => Meaning::Rejection,
            None => Meaning::Acknowledgement,
        }
    }

    fn note_rejection(&mut self, answered: InFlight, error: &str) {
        let InFlight {
            carried, removed, ..
        } = answered;
        let alone = carried.len() == 1 && removed.is_empty();
        let with_others = !carried.is_empty();
        // Nobody waits for what was unsubscribed from meanwhile.
        let wanted = |names: Vec<String>| -> Vec<String> {
            names.into_iter().filter(|name| self.wants(name)).collect()
        };
        let (carried, removed) = (wanted(carried), wanted(removed));
        for name in carried {
            if alone {
                self.suspects.remove(&name);
            } else {
                // It may hold an older one, which is to be told as gone when there is no newer one any more.
                self.sent.insert(name.clone(), None);
                self.believed.remove(&name);
                self.suspects.insert(name.clone());
            }
            self.rejected.insert(name, error.to_owned());
        }
        for name in removed {
            // Told once more by itself; who does not take that either is not told again.
            if with_others {
                self.owed.insert(name.clone());
            }
            self.rejected.insert(name, error.to_owned());
        }
    }

    fn tell_rejection(&mut self) {
        self.standing.rejection = self.rejected.values().next().cloned();
    }

    /// It is subscribed to, by its name or with all others.
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// What the next response is to carry.
    fn news(&self, resources: Option<&Resources>) -> News {
        let changed = |name: &String, resource: &Resource| match self.sent.get(name) {
            None => true,
            Some(_) if self.believed.contains(name) => false,
            Some(held) => *held != Some(resource.version()),
        };
        let mut lacking: Vec<(String, Resource)> = resources
            .into_iter()
            .flatten()
            .filter(|(name, resource)| self.wants(name) && changed(name, resource))
            .map(|(name, resource)| (name.clone(), resource.clone()))
            .collect();
        let is_there = |name: &String| resources.is_some_and(|all| all.contains_key(name));
        let removed: Vec<String> = self
            .sent
            .keys()
            .chain(&self.owed)
            .filter(|name| self.wants(name) && !is_there(name))
            .cloned()
            .collect();
        let suspect = |(name, _): &(String, Resource)| self.suspects.contains(name);
        if removed.is_empty() && !lacking.is_empty() && lacking.iter().all(suspect) {
            lacking.truncate(1);
        } else {
            lacking.retain(|lacks| !suspect(lacks));
        }
        News {
            resources: lacking,
            removed,
        }
    }

    /// Notes what is sent.
    fn take(&mut self, news: News, nonce: &str) -> (Vec<(String, Resource)>, Vec<String>) {
        let News { resources, removed } = news;
        for (name, resource) in &resources {
            self.sent.insert(name.clone(), Some(resource.version()));
            self.owed.remove(name);
        }
        for name in &removed {
            self.sent.remove(name);
            self.owed.remove(name);
            self.suspects.remove(name);
        }
        self.in_flight = Some(InFlight {
            nonce: nonce.to_owned(),
            carried: resources.iter().map(|(name, _)| name.clone()).collect(),
            removed: removed.clone(),
        });
        self.greeted = true;
        (resources, removed)
    }

    /// The version of all that the client is to hold of the type.
    fn version(&self, resources: Option<&Resources>) -> String {
        let wanted = resources
            .into_iter()
            .flatten()
            .filter(|(name, _)| self.wants(name));
        version(wanted.map(|(name, resource)| (name.as_str(), &resource.hash)))
    }
}

/// The name that stands for all resources of a type.
const EVERYTHING: &str = "*";

fn named(names: &[String]) -> impl Iterator<Item = &String> {
    names.iter().filter(|name| *name != EVERYTHING)
}

#[cfg(test)]
mod tests;
