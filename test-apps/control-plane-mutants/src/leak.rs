//! Bugs that let somebody receive what is not for them.

use crate::delivery::covers_everybody;
use control_plane::behaviour::{Behaviour, Recipient};
use control_plane::effective::{Effective, Resolution, resolve};
use control_plane::scope::specificity;
use control_plane::world::{Policy, World, WorldStore};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How late `leak-late` leaks.
const LATE: Duration = Duration::from_secs(2);

/// To whom it leaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victims {
    Everybody,
    /// The first sidecar, by name, that a policy does not address.
    OnePerPolicy,
    EverybodyLate,
    EverybodyOfOneReplica,
    WhoeverReconnects,
}

/// What leaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeakedPart {
    Everything,
    Toggles,
    Rules,
}

/// Policies reach sidecars out of scope.
pub(crate) struct Leak {
    victims: Victims,
    part: LeakedPart,
    own_name: String,
    /// Policy name → the generation of it that is known and since when.
    since: Mutex<BTreeMap<String, (String, i64, Instant)>>,
    store: OnceLock<WorldStore>,
}

impl Leak {
    pub(crate) fn new(victims: Victims, part: LeakedPart, own_name: &str) -> Self {
        Self {
            victims,
            part,
            own_name: own_name.to_owned(),
            since: Mutex::default(),
            store: OnceLock::new(),
        }
    }

    fn leaks(&self, world: &World, policy: &Policy, recipient: &Recipient) -> bool {
        match self.victims {
            Victims::Everybody => true,
            Victims::OnePerPolicy => {
                first_out_of_scope(world, policy) == Some(&recipient.sidecar.uid)
            }
            Victims::EverybodyLate => {
                let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
                since
                    .get(&policy.name)
                    .is_some_and(|(_, _, since)| since.elapsed() >= LATE)
            }
            Victims::EverybodyOfOneReplica => world.replicas.keys().next() == Some(&self.own_name),
            Victims::WhoeverReconnects => recipient.resumed,
        }
    }
}

fn first_out_of_scope<'a>(world: &'a World, policy: &Policy) -> Option<&'a String> {
    let scope = world.scopes.get(&policy.spec.scope_ref)?;
    let mut members: Vec<_> = world
        .sidecars
        .values()
        .filter(|sidecar| sidecar.member)
        .collect();
    members.sort_by(|a, b| a.pod.cmp(&b.pod));
    members
        .into_iter()
        .find(|sidecar| specificity(&scope.spec, sidecar).is_none())
        .map(|sidecar| &sidecar.uid)
}

impl Behaviour for Leak {
    fn attach(&self, store: &WorldStore) {
        let _ = self.store.set(store.clone());
    }

    fn publish(&self, world: Arc<World>) -> Arc<World> {
        if self.victims != Victims::EverybodyLate {
            return world;
        }
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|name, (uid, _, _)| {
            world
                .policies
                .get(name)
                .is_some_and(|policy| policy.uid == *uid)
        });
        for policy in world.policies.values() {
            let known = since
                .get(&policy.name)
                .map(|(_, generation, _)| *generation);
            if known != Some(policy.generation) {
                let now = Instant::now();
                since.insert(
                    policy.name.clone(),
                    (policy.uid.clone(), policy.generation, now),
                );
                if let Some(store) = self.store.get() {
                    tokio::spawn(wake_at(store.clone(), now + LATE));
                }
            }
        }
        world
    }

    fn effective(&self, world: &World, recipient: &Recipient) -> Effective {
        let faithful = resolve(world, &recipient.sidecar, Resolution::FAITHFUL);
        let mut leaky = world.clone();
        leaky.policies.retain(|name, policy| {
            faithful.basis.contains_key(name) || self.leaks(world, policy, recipient)
        });
        let everybody = Resolution {
            covers: covers_everybody,
            ..Resolution::FAITHFUL
        };
        let leaked = resolve(&leaky, &recipient.sidecar, everybody);
        match self.part {
            LeakedPart::Everything => leaked,
            LeakedPart::Toggles => Effective {
                toggles: leaked.toggles,
                ..faithful
            },
            LeakedPart::Rules => Effective {
                rules: leaked.rules,
                ..faithful
            },
        }
    }
}

/// Nothing changes in the world when it is time to leak, or to be mended.
pub(crate) async fn wake_at(store: WorldStore, time: Instant) {
    tokio::time::sleep_until(time).await;
    store.refresh();
}
