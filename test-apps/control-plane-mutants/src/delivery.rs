//! Bugs in who receives and who wins, and in what is said of it.

use control_plane::behaviour::{Behaviour, Recipient};
use control_plane::effective::{Candidate, Effective, Resolution, resolve, stronger_first};
use control_plane::scope::{Specificity, narrowest, specificity};
use control_plane::world::{Policy, Sidecar, World};
use mesh_api::{PolicyConfigStatus, ScopeConfigSpec, ScopeEntry};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// What of a scope is not looked at.
pub(crate) enum ScopeMistake {
    Everything,
    Exceptions,
    Clusters,
}

impl Behaviour for ScopeMistake {
    fn effective(&self, world: &World, recipient: &Recipient) -> Effective {
        let covers = match self {
            Self::Everything => covers_everybody,
            Self::Exceptions => covers_whom_it_excepts,
            Self::Clusters => covers_in_any_cluster,
        };
        let resolution = Resolution {
            covers,
            ..Resolution::FAITHFUL
        };
        resolve(world, &recipient.sidecar, resolution)
    }
}

pub(crate) fn covers_everybody(scope: &ScopeConfigSpec, sidecar: &Sidecar) -> Option<Specificity> {
    covers_whom_it_excepts(scope, sidecar).or(Some(Specificity::Everywhere))
}

fn covers_whom_it_excepts(scope: &ScopeConfigSpec, sidecar: &Sidecar) -> Option<Specificity> {
    narrowest(&scope.entries, sidecar)
}

/// Every cluster that is named counts as the sidecar's own. Who wins is not changed by that.
fn covers_in_any_cluster(scope: &ScopeConfigSpec, sidecar: &Sidecar) -> Option<Specificity> {
    let here = |entries: &[ScopeEntry]| {
        let entries = entries.iter().map(|entry| ScopeEntry {
            cluster: entry.cluster.as_ref().map(|_| sidecar.cluster.clone()),
            ..entry.clone()
        });
        entries.collect()
    };
    let blind = ScopeConfigSpec {
        entries: here(&scope.entries),
        except: here(&scope.except),
    };
    specificity(&blind, sidecar)
}

/// The wrong policy wins.
pub(crate) enum Precedence {
    Reversed,
    ShorterPrefixWins,
}

impl Behaviour for Precedence {
    fn effective(&self, world: &World, recipient: &Recipient) -> Effective {
        let compare = match self {
            Self::Reversed => |a: &Candidate<'_>, b: &Candidate<'_>| stronger_first(b, a),
            Self::ShorterPrefixWins => shorter_prefix_first,
        };
        let resolution = Resolution {
            compare,
            ..Resolution::FAITHFUL
        };
        resolve(world, &recipient.sidecar, resolution)
    }
}

fn shorter_prefix_first(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    match (a.specificity, b.specificity) {
        (Specificity::Ip { prefix: a_prefix }, Specificity::Ip { prefix: b_prefix })
            if a_prefix != b_prefix =>
        {
            a_prefix.cmp(&b_prefix)
        }
        _ => stronger_first(a, b),
    }
}

/// The last zone goes on with the policies that were there when it was first seen.
#[derive(Default)]
pub(crate) struct OneZoneDropped {
    frozen: Mutex<Option<Arc<World>>>,
}

impl Behaviour for OneZoneDropped {
    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        let zones: BTreeSet<&str> = world
            .sidecars
            .values()
            .map(|s| s.data_center.as_str())
            .collect();
        if zones.len() < 2 || zones.last() != Some(&recipient.sidecar.data_center.as_str()) {
            return world;
        }
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        let frozen = frozen.get_or_insert_with(|| world.clone());
        Arc::new(World {
            policies: frozen.policies.clone(),
            scopes: frozen.scopes.clone(),
            ..(*world).clone()
        })
    }
}

/// A policy reaches only pods that were there before it.
#[derive(Default)]
pub(crate) struct Join {
    /// UID of a pod → UIDs of the policies that were there before it.
    earlier: Mutex<BTreeMap<String, BTreeSet<String>>>,
    seen: Mutex<BTreeSet<String>>,
}

impl Behaviour for Join {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for uid in world.sidecars.keys() {
            earlier.entry(uid.clone()).or_insert_with(|| seen.clone());
        }
        // A policy that arrives together with a pod is not earlier than the pod.
        seen.extend(world.policies.values().map(|policy| policy.uid.clone()));
        world
    }

    fn view(&self, world: Arc<World>, recipient: &Recipient) -> Arc<World> {
        let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(missed) = earlier
            .get(&recipient.sidecar.uid)
            .filter(|missed| !missed.is_empty())
        else {
            return world;
        };
        let mut world = (*world).clone();
        world
            .policies
            .retain(|_, policy| !missed.contains(&policy.uid));
        Arc::new(world)
    }
}

/// Everybody who was addressed is said to have acknowledged.
pub(crate) struct LiesInStatus;

impl Behaviour for LiesInStatus {
    fn report(
        &self,
        _world: &World,
        _policy: &Policy,
        mut status: PolicyConfigStatus,
    ) -> PolicyConfigStatus {
        status.delivered = status.matched;
        status.acknowledged = status.matched;
        status.rejected.clear();
        for condition in &mut status.conditions {
            if condition.type_ == "Ready" {
                condition.status = "True".into();
                condition.reason = "Acknowledged".into();
                condition.message.clear();
            }
        }
        status
    }
}
