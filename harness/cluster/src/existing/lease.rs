//! One run at a time on a cluster: a Lease that is renewed while we live.

use crate::{ClusterError, failed};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;

const NAMESPACE: &str = "default";
const NAME: &str = "meshproof";
/// After this time without a renewal the holder is taken for dead, seconds.
const SECONDS: i32 = 30;
/// How often we renew.
const RENEWAL: Duration = Duration::from_secs(8);

/// The Lease, ours until it is released or this process ends.
pub(super) struct Held {
    leases: Api<Lease>,
    uid: Option<String>,
    renewing: JoinHandle<()>,
}

impl Held {
    /// Takes the Lease for `run`, from nobody or from a holder that is dead.
    pub(super) async fn take(client: &Client, run: &str) -> Result<Self, ClusterError> {
        let act = "take the cluster for this run";
        let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
        let holder = format!("{run} (process {})", std::process::id());
        let found = leases.get_opt(NAME).await.map_err(failed(act))?;
        let mut wanted = ours(&holder);
        let taken = match found {
            None => leases.create(&PostParams::default(), &wanted).await,
            Some(lease) if is_over(&lease, Timestamp::now()) => {
                // Whoever is faster has changed the version.
                wanted.metadata.resource_version = lease.metadata.resource_version;
                leases.replace(NAME, &PostParams::default(), &wanted).await
            }
            Some(lease) => return Err(held(act, lease.spec.as_ref())),
        };
        let lease = taken.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 409 => held(act, None),
            _ => failed(act)(error),
        })?;
        Ok(Self {
            renewing: tokio::spawn(renew(leases.clone())),
            leases,
            uid: lease.metadata.uid,
        })
    }

    /// Gives the Lease back.
    pub(super) async fn release(self) {
        self.renewing.abort();
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: self.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        if let Err(error) = self.leases.delete(NAME, &parameters).await {
            tracing::warn!(%error, "the lease of the cluster was not given back; it runs out");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(leases: Api<Lease>) {
    let mut tick = tokio::time::interval(RENEWAL);
    tick.tick().await;
    loop {
        tick.tick().await;
        let now = MicroTime(Timestamp::now());
        let renewal = json!({ "spec": { "renewTime": now } });
        let renewed = leases
            .patch(NAME, &PatchParams::default(), &Patch::Merge(renewal))
            .await;
        if let Err(error) = renewed {
            tracing::warn!(%error, "cannot renew the lease of the cluster");
        }
    }
}

fn ours(holder: &str) -> Lease {
    let now = MicroTime(Timestamp::now());
    let mut lease = Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(SECONDS),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    };
    lease.metadata.name = Some(NAME.to_owned());
    lease
}

/// Nobody has renewed it for longer than it lasts.
fn is_over(lease: &Lease, now: Timestamp) -> bool {
    let Some(spec) = &lease.spec else {
        return true;
    };
    let Some(renewed) = spec.renew_time.as_ref().or(spec.acquire_time.as_ref()) else {
        return true;
    };
    let seconds = spec.lease_duration_seconds.unwrap_or(SECONDS);
    now.duration_since(renewed.0) > SignedDuration::from_secs(i64::from(seconds))
}

fn held(act: &str, spec: Option<&LeaseSpec>) -> ClusterError {
    let holder = spec
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or("another run");
    ClusterError::because(act, format!("{holder} uses it")).hint(format!(
        "wait until that run ends; {SECONDS} s after a killed one the cluster is free again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_over_when_it_was_not_renewed_for_its_duration() {
        let lease = ours("somebody");
        let now = Timestamp::now();
        assert!(!is_over(&lease, now));
        assert!(is_over(&lease, now + SignedDuration::from_secs(31)));
        assert!(is_over(&Lease::default(), now));
    }
}
