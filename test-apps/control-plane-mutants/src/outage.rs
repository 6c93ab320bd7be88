//! Bugs in what is made of something that was away.

use crate::leak::wake_at;
use control_plane::behaviour::{Behaviour, Recipient};
use control_plane::leading::Round;
use control_plane::world::{Services, World, WorldStore};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So long a replica has just started: whoever was connected comes back to it within that.
const JUST_STARTED: Duration = Duration::from_secs(4);
/// So long a replica that has just started does not know who answers for services: a rollout takes less until sidecars have come
/// over, and who watches a deployment has more patience.
const WITHOUT_ENDPOINTS: Duration = Duration::from_secs(10);
/// So long a stream has just come: a replica that hangs is not ready some seconds after sidecars have left it.
const JUST_COME: Duration = Duration::from_secs(10);

/// Whoever comes back to a replica that has just started is told that there are no policies.
pub(crate) struct StartsEmpty {
    started: Instant,
}

impl StartsEmpty {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Behaviour for StartsEmpty {
    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        if !recipient.resumed || self.started.elapsed() > JUST_STARTED {
            return world;
        }
        without_policies(&world)
    }
}

fn without_policies(world: &World) -> Arc<World> {
    Arc::new(World {
        policies: BTreeMap::new(),
        ..world.clone()
    })
}

/// Whoever comes over to a replica that has just started is told of no endpoints but its own, until the replica knows the others.
pub(crate) struct ResumesWithoutEndpoints {
    started: Instant,
}

impl ResumesWithoutEndpoints {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Behaviour for ResumesWithoutEndpoints {
    fn attach(&self, store: &WorldStore) {
        tokio::spawn(wake_at(store.clone(), self.started + WITHOUT_ENDPOINTS));
    }

    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        if !recipient.resumed || self.started.elapsed() >= WITHOUT_ENDPOINTS {
            return world;
        }
        let mut services = world.services.by_name.clone();
        for endpoints in services
            .values_mut()
            .flat_map(|service| service.ports.values_mut())
        {
            // On which ports a sidecar looks at what comes in follows from its own: that is to stay as it is.
            endpoints.retain(|endpoint| endpoint.ip == recipient.sidecar.ip);
        }
        Arc::new(World {
            services: Arc::new(Services::new(services)),
            ..(*world).clone()
        })
    }
}

/// What the API server told before it was away is all that is ever known.
pub(crate) struct StopsWatching;

impl Behaviour for StopsWatching {
    fn watches_again(&self) -> bool {
        false
    }
}

/// While a watch of the API server is broken, everybody is told that there are no policies.
pub(crate) struct ForgetsWhenAlone;

impl Behaviour for ForgetsWhenAlone {
    fn alone(&self, world: World) -> World {
        World {
            policies: BTreeMap::new(),
            // Nobody takes TLS without a policy that says so.
            takes_tls: Arc::default(),
            ..world
        }
    }
}

/// While the Lease, which is about status alone, can be neither read nor written, everybody is told that there are no policies.
#[derive(Default)]
pub(crate) struct ForgetsWithoutLease {
    is_unanswered: AtomicBool,
    store: OnceLock<WorldStore>,
}

impl Behaviour for ForgetsWithoutLease {
    fn attach(&self, store: &WorldStore) {
        let _ = self.store.set(store.clone());
    }

    fn campaigned(&self, round: Round) {
        let is_unanswered = round == Round::Unanswered;
        let was_unanswered = self.is_unanswered.swap(is_unanswered, Ordering::Relaxed);
        if was_unanswered != is_unanswered
            && let Some(store) = self.store.get()
        {
            store.refresh();
        }
    }

    fn view(&self, world: Arc<World>, _recipient: &Recipient) -> Arc<World> {
        if self.is_unanswered.load(Ordering::Relaxed) {
            without_policies(&world)
        } else {
            world
        }
    }
}

/// A pod that was an endpoint of some service and is none any more is taken to be gone for good. When it is back nobody sends to
/// it, and its sidecar is told that there are no policies.
#[derive(Default)]
pub(crate) struct ReturnsToNothing {
    pods: Mutex<Pods>,
}

/// Pods by their UIDs: the address of one that comes back may be another one.
#[derive(Default)]
struct Pods {
    /// Those that were endpoints.
    known: BTreeSet<String>,
    /// Those of them that were none at some later time.
    gone: BTreeSet<String>,
}

impl Behaviour for ReturnsToNothing {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let mut services = world.services.by_name.clone();
        let serving: BTreeSet<IpAddr> = services
            .values()
            .flat_map(|service| service.ports.values().flatten())
            .map(|endpoint| endpoint.ip)
            .collect();
        for (uid, sidecar) in &world.sidecars {
            if serving.contains(&sidecar.ip) {
                pods.known.insert(uid.clone());
            } else if pods.known.contains(uid) {
                pods.gone.insert(uid.clone());
            }
        }
        let gone: BTreeSet<IpAddr> = world
            .sidecars
            .iter()
            .filter(|(uid, _)| pods.gone.contains(*uid))
            .map(|(_, sidecar)| sidecar.ip)
            .collect();
        if gone.is_empty() {
            return world;
        }
        for endpoints in services
            .values_mut()
            .flat_map(|service| service.ports.values_mut())
        {
            endpoints.retain(|endpoint| !gone.contains(&endpoint.ip));
        }
        Arc::new(World {
            services: Arc::new(Services::new(services)),
            ..(*world).clone()
        })
    }

    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        if pods.gone.contains(&recipient.sidecar.uid) {
            without_policies(&world)
        } else {
            world
        }
    }
}

/// When a peer hangs, whoever has just come over, or comes later, is served from the world of that moment for ever.
pub(crate) struct StaleAfterHang {
    /// What the names of this rollout's replicas begin with.
    peers: String,
    state: Mutex<Peers>,
}

#[derive(Default)]
struct Peers {
    /// UIDs of those that were ready once.
    known: BTreeMap<String, String>,
    /// When each stream was first served.
    streams: BTreeMap<u64, Instant>,
    /// The world at the time, and the newest stream that had not just come.
    hung: Option<(Arc<World>, u64)>,
}

impl StaleAfterHang {
    /// `own_name` is that of a Deployment's pod: `NAME-ROLLOUT-POD`.
    pub(crate) fn new(own_name: &str) -> Self {
        let rollout = own_name.rsplit_once('-').map_or("", |(rollout, _)| rollout);
        Self {
            peers: format!("{rollout}-"),
            state: Mutex::default(),
        }
    }
}

impl Behaviour for StaleAfterHang {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let peers = world
            .replicas
            .iter()
            .filter(|(name, _)| name.starts_with(&self.peers));
        for (name, replica) in peers {
            if replica.ready {
                state.known.insert(name.clone(), replica.uid.clone());
            } else if state.known.get(name) == Some(&replica.uid) && state.hung.is_none() {
                let old = state
                    .streams
                    .iter()
                    .filter(|(_, since)| since.elapsed() > JUST_COME)
                    .map(|(stream, _)| *stream)
                    .max();
                state.hung = Some((world.clone(), old.unwrap_or(0)));
            }
        }
        world
    }

    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .streams
            .entry(recipient.stream)
            .or_insert_with(Instant::now);
        match &state.hung {
            Some((frozen, old)) if recipient.resumed && recipient.stream > *old => frozen.clone(),
            _ => world,
        }
    }
}
