//! Writes status, while this replica leads.
//!
//! Invariant: only what differs from what the API server has is written; what changes during a write is
//! written with the next one.

use crate::acknowledgements::Acknowledgements;
use crate::behaviour::Behaviour;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::settings::Settings;
use crate::status::{newest, of_policy, of_scope};
use crate::watching::Statuses;
use crate::world::{World, WorldStore};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use mesh_api::{PolicyConfig, ScopeConfig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::debug;

/// The field manager of status.
const MANAGER: &str = "control-plane-status";
/// When a write failed, the next try is at the next change or after this time.
const AGAIN: Duration = Duration::from_secs(1);

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

impl Writing {
    /// Writes whenever this replica leads.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        loop {
            if leads.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            self.lead(&mut leads).await;
        }
    }

    async fn lead(&self, leads: &mut watch::Receiver<bool>) {
        let mut worlds = self.store.subscribe();
        let mut own = self.acknowledgements.subscribe();
        let mut peers = Peers::default();
        let mut others = peers.subscribe();
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let world = worlds.borrow_and_update().clone();
            own.mark_unchanged();
            others.mark_unchanged();
            peers.follow(
                &world,
                &self.settings.pod_name,
                self.settings.admin_listen.port(),
            );
            let is_done = self.write(&world, &peers).await;
            again.reset();
            tokio::select! {
                changed = worlds.changed() => if changed.is_err() { return },
                changed = own.changed() => if changed.is_err() { return },
                _ = others.changed() => {}
                _ = leads.wait_for(|leads| !leads) => return,
                _ = again.tick(), if !is_done => {}
            }
        }
    }

    /// Writes what differs; false when something could not be written.
    async fn write(&self, world: &World, peers: &Peers) -> bool {
        let mut reports = peers.reports();
        reports.push(self.acknowledgements.report());
        let recipients = newest(&reports);
        let now = Time(jiff::Timestamp::now());
        let mut is_done = true;

        let before = snapshot(&self.statuses.policies);
        for policy in world.policies.values() {
            let known = before.get(&policy.name);
            let status = of_policy(world, policy, &recipients, known, &now);
            let status = self.behaviour.report(world, policy, status);
            if known != Some(&status) {
                let written = self
                    .patch::<PolicyConfig>(&policy.name, "PolicyConfig", &status)
                    .await;
                is_done &= written;
                if written {
                    remember(&self.statuses.policies, &policy.name, status);
                }
            }
        }
        let before = snapshot(&self.statuses.scopes);
        for scope in world.scopes.values() {
            let known = before.get(&scope.name);
            let status = of_scope(world, scope, &recipients, known, &now);
            if known != Some(&status) {
                let written = self
                    .patch::<ScopeConfig>(&scope.name, "ScopeConfig", &status)
                    .await;
                is_done &= written;
                if written {
                    remember(&self.statuses.scopes, &scope.name, status);
                }
            }
        }
        is_done
    }

    async fn patch<K>(&self, name: &str, kind: &str, status: &impl Serialize) -> bool
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.settings.workload_namespace);
        let patch = serde_json::json!({
            "apiVersion": format!("{}/v1alpha1", mesh_api::GROUP),
            "kind": kind,
            "metadata": {"name": name},
            "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        self.metrics.status_writes.fetch_add(1, Ordering::Relaxed);
        match api
            .patch_status(name, &parameters, &Patch::Apply(&patch))
            .await
        {
            Ok(_) => true,
            // It was deleted meanwhile, and the watch will say so.
            Err(kube::Error::Api(status)) if status.code == 404 => true,
            Err(error) => {
                debug!(%error, name, kind, "a status could not be written");
                false
            }
        }
    }
}

fn snapshot<V: Clone>(statuses: &Mutex<BTreeMap<String, V>>) -> BTreeMap<String, V> {
    statuses
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn remember<V>(statuses: &Mutex<BTreeMap<String, V>>, name: &str, status: V) {
    let mut statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner);
    statuses.insert(name.to_owned(), status);
}
