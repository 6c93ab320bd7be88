//! PodKill: a pod is deleted without grace.

use crate::pulse::ALIVE;
use crate::{ActiveFault, InjectError, Injector, Kind, Pulse};
use harness_cluster::PodAddress;
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use std::time::{Duration, Instant};

/// The pod to be killed and how its life is measured.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Where it is.
    pub address: PodAddress,
    /// A TCP port that it listens on and that can be connected to while it lives.
    pub port: u16,
}

/// How long one attempt to connect to a killed pod may take: nobody answers for an address that is gone.
const DEAD: Duration = Duration::from_millis(300);

impl Injector {
    /// Deletes a pod without grace and measures that this life of it has ended: before, its port takes connections;
    /// afterwards it takes none. Bounded by `patience`.
    ///
    /// # Errors
    ///
    /// When it cannot be deleted, or cannot be shown to have lived before and to be dead afterwards.
    pub async fn kill_pod(
        &self,
        victim: &Victim,
        patience: Duration,
    ) -> Result<ActiveFault, InjectError> {
        let pod = &victim.address.name;
        let cluster = self
            .clusters
            .named(&victim.address.cluster)
            .map_err(|error| InjectError::NotReachableBefore(chain(&error)))?;
        let pods: Api<Pod> = Api::namespaced(cluster.client(), &victim.address.namespace);
        let uid = pods
            .get_metadata(pod)
            .await
            .map_err(|source| InjectError::Delete {
                pod: pod.clone(),
                source: Box::new(source),
            })?
            .metadata
            .uid
            .unwrap_or_default();
        self.feel(&Pulse::Connects(victim.clone()), ALIVE)
            .await
            .map_err(|why| InjectError::NotReachableBefore(why.words()))?;
        let number = self
            .ledger
            .begin(format!("kill the pod {pod}"), None, None)
            .map_err(InjectError::Ledger)?;
        let started = Instant::now();
        let outcome = self.delete_and_measure(victim, &pods, &uid, patience).await;
        // A deleted pod is replaced by its controller: there is nothing to heal, whatever was measured.
        self.ledger.cross_out(number);
        outcome?;
        Ok(ActiveFault {
            number,
            efficacy: format!(
                "port {} of {pod} ({uid}) took connections before and none after {} ms",
                victim.port,
                started.elapsed().as_millis()
            ),
            kind: Kind::PodKill,
        })
    }

    async fn delete_and_measure(
        &self,
        victim: &Victim,
        pods: &Api<Pod>,
        uid: &str,
        patience: Duration,
    ) -> Result<(), InjectError> {
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        pods.delete(&victim.address.name, &parameters)
            .await
            .map_err(|source| InjectError::Delete {
                pod: victim.address.name.clone(),
                source: Box::new(source),
            })?;
        let pulse = Pulse::Connects(victim.clone());
        let dead = async { while self.feel(&pulse, DEAD).await.is_ok() {} };
        tokio::time::timeout(patience, dead).await.map_err(|_| {
            InjectError::WithoutEffect(format!(
                "port {} of {} still takes connections {} s after it was deleted",
                victim.port,
                victim.address.name,
                patience.as_secs()
            ))
        })
    }
}
