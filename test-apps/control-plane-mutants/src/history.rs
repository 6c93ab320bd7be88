//! Bugs in what follows upon what: updates, deletions, rollbacks, replicas.

use control_plane::behaviour::{Behaviour, Recipient};
use control_plane::world::{Policy, Scope, Sidecar, World};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A policy stays, with its scope, as it was first seen.
#[derive(Default)]
pub(crate) struct StaleAfterUpdate {
    /// UID → the policy and its scope, once it had one.
    first: Mutex<BTreeMap<String, FirstSight>>,
}

type FirstSight = (Arc<Policy>, Option<Arc<Scope>>);

impl Behaviour for StaleAfterUpdate {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stale = (*world).clone();
        for policy in world.policies.values() {
            let scope = world.scopes.get(&policy.spec.scope_ref).cloned();
            let known = first
                .entry(policy.uid.clone())
                .or_insert_with(|| (policy.clone(), None));
            if known.1.is_none() {
                known.1 = scope;
            }
            // The generation goes on, so that only the content is wrong.
            let old = Policy {
                generation: policy.generation,
                ..(*known.0).clone()
            };
            if let Some(scope) = &known.1 {
                stale.scopes.insert(scope.name.clone(), scope.clone());
            }
            stale.policies.insert(policy.name.clone(), Arc::new(old));
        }
        first.retain(|uid, _| world.policies.values().any(|policy| policy.uid == *uid));
        Arc::new(stale)
    }
}

/// What is gone stays.
#[derive(Default)]
pub(crate) struct DeleteNotDelivered {
    known: Mutex<World>,
}

impl Behaviour for DeleteNotDelivered {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.policies.extend(world.policies.clone());
        known.scopes.extend(world.scopes.clone());
        Arc::new(World {
            policies: known.policies.clone(),
            scopes: known.scopes.clone(),
            ..(*world).clone()
        })
    }
}

/// A workload is taken to be where its first pod was.
#[derive(Default)]
pub(crate) struct ZoneKept {
    /// Deployment of a pod, by the name that Kubernetes gives it (`NAME-ROLLOUT-POD`) → region and zone.
    places: Mutex<BTreeMap<String, (String, String)>>,
}

impl Behaviour for ZoneKept {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = (*world).clone();
        for sidecar in kept.sidecars.values_mut() {
            let Some((deployment, _, _)) = parts(&sidecar.pod) else {
                continue;
            };
            // A Deployment whose pods are everywhere has no one place.
            if deployment == sidecar.application {
                continue;
            }
            let (region, zone) = places
                .entry(deployment.to_owned())
                .or_insert_with(|| (sidecar.region.clone(), sidecar.data_center.clone()));
            if sidecar.data_center != *zone {
                *sidecar = Arc::new(Sidecar {
                    region: region.clone(),
                    data_center: zone.clone(),
                    ..(**sidecar).clone()
                });
            }
        }
        Arc::new(kept)
    }
}

/// Deployment, rollout and rest of a pod's name.
fn parts(pod: &str) -> Option<(&str, &str, &str)> {
    let (rollout, own) = pod.rsplit_once('-')?;
    let (deployment, rollout) = rollout.rsplit_once('-')?;
    Some((deployment, rollout, own))
}

/// One key of the content in between survives the way back.
#[derive(Default)]
pub(crate) struct RollbackInexact {
    /// UID → every content seen, oldest first.
    contents: Mutex<BTreeMap<String, Vec<Arc<Policy>>>>,
}

impl Behaviour for RollbackInexact {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inexact = (*world).clone();
        for policy in world.policies.values() {
            let seen = contents.entry(policy.uid.clone()).or_default();
            if seen.last().is_none_or(|last| last.spec != policy.spec) {
                seen.push(policy.clone());
            }
            let [earlier @ .., between, current] = seen.as_slice() else {
                continue;
            };
            if earlier.iter().any(|known| known.spec == current.spec) {
                let mut spec = policy.spec.clone();
                let new_key = between
                    .spec
                    .toggles
                    .iter()
                    .find(|(key, _)| !spec.toggles.contains_key(*key));
                if let Some((key, value)) = new_key.or_else(|| between.spec.toggles.iter().next()) {
                    spec.toggles.insert(key.clone(), value.clone());
                }
                let policy = Policy {
                    spec,
                    ..(**policy).clone()
                };
                inexact
                    .policies
                    .insert(policy.name.clone(), Arc::new(policy));
            }
        }
        Arc::new(inexact)
    }
}

/// When a peer is lost, whoever dials from then on is served from the world of that moment for ever. Until then
/// everything is as it should be, and for whoever stays where it was it remains so.
pub(crate) struct ReplicaDoesNotResume {
    /// What the names of this rollout's replicas begin with. Those of an earlier rollout are no peers: that they
    /// go when this one has come is no loss.
    peers: String,
    state: Mutex<Replicas>,
}

#[derive(Default)]
struct Replicas {
    /// Peers that were ready once, with UID and number of restarts.
    known: BTreeMap<String, (String, i32)>,
    newest_stream: u64,
    /// The world and the newest stream at the time of the loss.
    lost: Option<(Arc<World>, u64)>,
}

impl ReplicaDoesNotResume {
    /// `own_name` is that of a Deployment's pod: `NAME-ROLLOUT-POD`.
    pub(crate) fn new(own_name: &str) -> Self {
        let rollout = own_name.rsplit_once('-').map_or("", |(rollout, _)| rollout);
        Self {
            peers: format!("{rollout}-"),
            state: Mutex::default(),
        }
    }
}

impl Behaviour for ReplicaDoesNotResume {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = state.known.iter().any(|(name, (uid, restarts))| {
            world
                .replicas
                .get(name)
                .is_none_or(|now| now.uid != *uid || now.restarts > *restarts)
        });
        if is_lost && state.lost.is_none() {
            state.lost = Some((world.clone(), state.newest_stream));
        }
        let peers = world
            .replicas
            .iter()
            .filter(|(name, replica)| name.starts_with(&self.peers) && replica.ready)
            .map(|(name, replica)| (name.clone(), (replica.uid.clone(), replica.restarts)));
        state.known.extend(peers);
        world
    }

    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest_stream = state.newest_stream.max(recipient.stream);
        match &state.lost {
            Some((frozen, newest)) if recipient.stream > *newest => frozen.clone(),
            _ => world,
        }
    }
}
