//! Writes status, while this replica leads.
//!
//! Invariant: only what differs from what the API server has is written. A status is computed when its write
//! begins, of what was known at the last look, an object has at most one write in flight, and all objects together at most [`IN_FLIGHT`]: what
//! changes meanwhile is written once, in its newest form, and nobody waits for a slow write but its own object.

mod agenda;

use crate::acknowledgements::{Acknowledgements, RecipientReport, Report};
use crate::behaviour::Behaviour;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::settings::Settings;
use crate::status::{newest, of_policy, of_scope};
use crate::statuses::{Known, Statuses};
use crate::world::{World, WorldStore};
use agenda::Agenda;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use mesh_api::{PolicyConfig, ScopeConfig};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// The field manager of status.
const MANAGER: &str = "control-plane-status";
/// What changes within this time is written once: sidecars acknowledge one by one, and each status that is written costs
/// the API server more than the change that it tells of.
const COLLECTED: Duration = Duration::from_millis(400);
/// When a write failed, the next try is at the next change or after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// A write that takes longer has failed.
const GIVEN_UP: Duration = Duration::from_secs(5);
/// How many writes may be in flight.
pub const IN_FLIGHT: usize = 8;

/// What is needed to write status.
pub struct Writing {
    /// The API server.
    pub client: Client,
    /// Names.
    pub settings: Settings,
    /// May change what is written.
    pub behaviour: Arc<dyn Behaviour>,
    /// The newest world.
    pub store: WorldStore,
    /// What the API server has.
    pub statuses: Arc<Statuses>,
    /// What this replica's own sidecars say.
    pub acknowledgements: Arc<Acknowledgements>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// An object with a status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Policy(String),
    Scope(String),
}

/// A write and whether it succeeded.
type Write = BoxFuture<'static, (Object, bool)>;

impl Writing {
    /// Writes whenever this replica leads.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        loop {
            if leads.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            // What is in flight when this replica leads no more is dropped.
            self.lead(&mut leads).await;
        }
    }

    async fn lead(&self, leads: &mut watch::Receiver<bool>) {
        let mut worlds = self.store.subscribe();
        let mut own = self.acknowledgements.subscribe();
        let mut policies = self.statuses.policies.subscribe();
        let mut scopes = self.statuses.scopes.subscribe();
        let mut peers = Peers::default();
        let mut others = peers.subscribe();
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut agenda = Agenda::new(IN_FLIGHT);
        let mut writes = FuturesUnordered::<Write>::new();
        let mut world = Arc::default();
        let mut reports = Vec::new();
        // When to look at what is new; none when nothing is.
        let mut look_at = Some(Instant::now());
        loop {
            if look_at.is_some_and(|at| at <= Instant::now()) {
                look_at = None;
                world = worlds.borrow_and_update().clone();
                own.mark_unchanged();
                others.mark_unchanged();
                policies.mark_unchanged();
                scopes.mark_unchanged();
                let port = self.settings.admin_listen.port();
                peers.follow(&world, &self.settings.pod_name, port);
                reports = peers.reports();
                reports.push(self.acknowledgements.report());
                agenda.look_at(&objects(&world));
            }
            self.begin(&world, &reports, &mut agenda, &writes);
            let is_news = tokio::select! {
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => false,
                changed = worlds.changed() => if changed.is_err() { return } else { true },
                changed = own.changed() => if changed.is_err() { return } else { true },
                _ = others.changed() => true,
                _ = policies.changed() => true,
                _ = scopes.changed() => true,
                _ = leads.wait_for(|leads| !leads) => return,
                Some((object, is_done)) = writes.next() => {
                    if is_done {
                        agenda.done(&object);
                    } else {
                        if !agenda.has_failed() {
                            again.reset();
                        }
                        agenda.failed(object);
                    }
                    false
                }
                _ = again.tick(), if agenda.has_failed() => {
                    agenda.try_again();
                    false
                }
            };
            if is_news && look_at.is_none() {
                look_at = Some(Instant::now() + COLLECTED);
            }
        }
    }

    /// Begins as many writes as may be in flight.
    fn begin(
        &self,
        world: &World,
        reports: &[Report],
        agenda: &mut Agenda<Object>,
        writes: &FuturesUnordered<Write>,
    ) {
        let recipients = newest(reports);
        while let Some(object) = agenda.next() {
            match self.write(world, &recipients, &object) {
                Some(write) => writes.push(write),
                None => agenda.done(&object),
            }
        }
    }

    /// The write of an object's status as it is now; none when the API server has it already.
    fn write(
        &self,
        world: &World,
        recipients: &BTreeMap<&str, &RecipientReport>,
        object: &Object,
    ) -> Option<Write> {
        let now = Time(jiff::Timestamp::now());
        match object {
            Object::Policy(name) => {
                let policy = world.policies.get(name)?;
                let known = self.statuses.policies.get(name);
                let status = of_policy(world, policy, recipients, known.as_ref(), &now);
                let status = self.behaviour.report(world, policy, status);
                (known.as_ref() != Some(&status)).then(|| {
                    self.patch::<PolicyConfig, _>(object, name, &policy.uid, status, |known| {
                        &known.policies
                    })
                })
            }
            Object::Scope(name) => {
                let scope = world.scopes.get(name)?;
                let known = self.statuses.scopes.get(name);
                let status = of_scope(world, scope, recipients, known.as_ref(), &now);
                (known.as_ref() != Some(&status)).then(|| {
                    self.patch::<ScopeConfig, _>(object, name, &scope.uid, status, |known| {
                        &known.scopes
                    })
                })
            }
        }
    }

    fn patch<K, V>(
        &self,
        object: &Object,
        name: &str,
        uid: &str,
        status: V,
        known: fn(&Statuses) -> &Known<V>,
    ) -> Write
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + 'static,
        V: Serialize + Clone + PartialEq + Send + Sync + 'static,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.settings.workload_namespace);
        let patch = Patch::Apply(serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // With its UID, so that an object that was deleted and made again does not get what the old one had.
            "metadata": {"name": name, "uid": uid},
            "status": status,
        }));
        let statuses = self.statuses.clone();
        let metrics = self.metrics.clone();
        let (object, name) = (object.clone(), name.to_owned());
        async move {
            let parameters = PatchParams::apply(MANAGER).force();
            metrics.status_writes.fetch_add(1, Ordering::Relaxed);
            let written = api.patch_status(&name, &parameters, &patch);
            let is_done = match tokio::time::timeout(GIVEN_UP, written).await {
                Ok(Ok(written)) => {
                    let version = written.meta().resource_version.as_deref();
                    known(&statuses).written(&name, version, status);
                    true
                }
                // It was deleted meanwhile, and the watch will say so.
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => true,
                Ok(Err(error)) => {
                    debug!(%error, ?object, "a status could not be written");
                    false
                }
                Err(_) => {
                    debug!(?object, "the API server does not take a status");
                    false
                }
            };
            (object, is_done)
        }
        .boxed()
    }
}

fn objects(world: &World) -> BTreeSet<Object> {
    let policies = world.policies.keys().cloned().map(Object::Policy);
    let scopes = world.scopes.keys().cloned().map(Object::Scope);
    policies.chain(scopes).collect()
}

#[cfg(test)]
mod tests;
