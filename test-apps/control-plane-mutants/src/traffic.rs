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

/// Something of what connections carry is not respected.
pub(crate) enum ProtocolMistake {
    /// Everything goes out as HTTP/1.1.
    Downgraded,
    /// Connections of bytes go to whatever address they were made to.
    BytesPassedBy,
    /// Callees take requests for bytes.
    RequestsTakenForBytes,
    /// Whoever says nothing is waited for.
    SilenceWaitedFor,
}

impl Behaviour for ProtocolMistake {
    fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        match self {
            Self::Downgraded => traffic.http_as_it_came = false,
            Self::BytesPassedBy => traffic.bytes_to_endpoints = false,
            Self::RequestsTakenForBytes => traffic.requests_are_looked_at = false,
            Self::SilenceWaitedFor => traffic.silence_is_borne = false,
        }
        traffic
    }
}

/// What has failed once is left out for good.
pub(crate) struct NeverTakenBack;

impl Behaviour for NeverTakenBack {
    fn traffic(&self) -> Traffic {
        Traffic {
            failed_return: false,
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

/// A part of every rule is not looked at.
pub(crate) enum RuleMistake {
    Headers,
    Weights,
    Timeout,
    Retry,
    Mirror,
}

impl Behaviour for RuleMistake {
    fn publish(&self, world: Arc<World>) -> Arc<World> {
        let mut mistaken = (*world).clone();
        for policy in mistaken.policies.values_mut() {
            let mut copy: Policy = (**policy).clone();
            for rule in &mut copy.spec.rules {
                match self {
                    Self::Headers => rule.condition.headers.clear(),
                    Self::Timeout => rule.timeout_ms = None,
                    Self::Retry => rule.retry = None,
                    Self::Mirror => rule.mirror = None,
                    Self::Weights => {
                        for destination in &mut rule.to {
                            destination.weight = 1;
                        }
                    }
                }
            }
            *policy = Arc::new(copy);
        }
        Arc::new(mistaken)
    }
}
