//! What a client of one type was sent in the delta form, and what it made of it.
//!
//! Invariant: who holds everything was told of nothing that it still has to take.

use super::{DeltaRequest, Meaning, Standing};
use crate::behaviour::DeltaHandling;
use crate::effective::Basis;
use crate::snapshot::{Kind, Resource, ResourceVersion, Resources, version};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The subscription of a client to one type.
#[derive(Debug, Default)]
pub(super) struct Subscription {
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

/// What a client lacks, and what it holds too much.
#[derive(Debug, Default)]
pub(super) struct News {
    resources: Vec<(String, Resource)>,
    removed: Vec<String>,
}

impl News {
    pub(super) fn is_nothing(&self) -> bool {
        self.resources.is_empty() && self.removed.is_empty()
    }
}

impl Subscription {
    /// The first request of a type on a stream: what it brings along counts as sent.
    pub(super) fn first(kind: Kind, request: &DeltaRequest, handling: DeltaHandling) -> Self {
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

    /// Whether a response is unanswered.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// What became of what was sent.
    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// What is sent from now on takes account of these policies. Whether there is something to send; it is taken next then.
    pub(super) fn is_told(&mut self, basis: &Arc<Basis>, news: &News) -> bool {
        let sent = self.standing.sent.replace(basis.clone());
        if sent.as_ref() != Some(basis) {
            self.await_answers(news);
        }
        let is_told = !news.is_nothing() || (self.wildcard && !self.greeted);
        if !is_told && self.has_everything() {
            self.standing.held = Some(basis.clone());
        }
        is_told
    }

    /// What was rejected of older policies says nothing of what is sent anew.
    fn await_answers(&mut self, news: &News) {
        let Self {
            rejected, suspects, ..
        } = self;
        let carried: BTreeSet<&String> = news.resources.iter().map(|(name, _)| name).collect();
        rejected.retain(|name, _| {
            !(carried.contains(name) || news.removed.contains(name) || suspects.contains(name))
        });
        self.tell_rejection();
    }

    /// Nothing of what was sent was rejected, or is to be sent once more.
    fn has_everything(&self) -> bool {
        self.rejected.is_empty() && self.suspects.is_empty()
    }

    /// Has the client sent anew what it was sent under these names.
    pub(super) fn forget(&mut self, name: impl Fn(&str) -> bool) {
        let again = self.sent.iter_mut();
        // What there is no more is still to be told as gone.
        again
            .filter(|(sent, _)| name(sent))
            .for_each(|(_, held)| *held = None);
    }

    /// Takes what a request says of the subscription.
    pub(super) fn change(&mut self, request: &DeltaRequest) {
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

    /// Takes what a request says of the response in flight.
    pub(super) fn answer(&mut self, request: &DeltaRequest, handling: DeltaHandling) -> Meaning {
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
        if self.has_everything() {
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
    pub(super) fn news(&self, resources: Option<&Resources>, handling: DeltaHandling) -> News {
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
            // A seeded bug leaves this out: names that were asked for in vain get no answer then, either.
            .filter(|_| handling.removals_are_told)
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
    pub(super) fn take(
        &mut self,
        news: News,
        nonce: &str,
    ) -> (Vec<(String, Resource)>, Vec<String>) {
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
    pub(super) fn version(&self, resources: Option<&Resources>) -> String {
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
