//! Bugs in where requests go.

use control_plane::behaviour::{Behaviour, Traffic};
use control_plane::world::{Endpoint, Policy, Services, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// All zones are alike.
pub(crate) struct ZonePreferenceOff;

impl Behaviour for ZonePreferenceOff {
    fn traffic(&self) -> Traffic {
        Traffic {
            own_zone_first: false,
            ..Traffic::default()
        }
    }
}

/// Nothing takes over: no retries, no outlier detection, no other zones, and endpoints that are gone stay.
#[derive(Default)]
pub(crate) struct FailoverOff {
    known: Mutex<BTreeMap<(String, u16), BTreeSet<Endpoint>>>,
}

impl Behaviour for FailoverOff {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut services = world.services.by_name.clone();
        for (name, service) in &mut services {
            for (port, endpoints) in &mut service.ports {
                let all = known.entry((name.clone(), *port)).or_default();
                all.extend(endpoints.drain(..));
                *endpoints = all.iter().cloned().collect();
            }
        }
        Arc::new(World {
            services: Arc::new(Services::new(services)),
            ..(*world).clone()
        })
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            failover: false,
            ..Traffic::default()
        }
    }
}

/// Headers of rules are not looked at.
pub(crate) struct HeaderRuleForAll;

impl Behaviour for HeaderRuleForAll {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut headless = (*world).clone();
        for policy in headless.policies.values_mut() {
            let mut copy: Policy = (**policy).clone();
            for rule in &mut copy.spec.rules {
                rule.condition.headers.clear();
            }
            *policy = Arc::new(copy);
        }
        Arc::new(headless)
    }
}
