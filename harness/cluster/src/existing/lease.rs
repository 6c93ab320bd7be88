//! One run at a time on a cluster: a Lease that is renewed while we live, as client-go's leader election does it.
//!
//! Every write names the version it changes, so a Lease that somebody else has changed is never changed back. Whether a
//! holder is dead is judged by the time since *we* saw the record last change, never by clocks of others.
//!
//! Invariant: once the Lease is lost, or could not be renewed in time, no request passes a client from
//! [`Held::gated`]; the Lease of another run is neither renewed nor deleted.

mod record;

use crate::rights::{self, Right};
use crate::{ClusterError, failed};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use record::{NAME, NAMESPACE, Observed, Seen, holder, new, renewed};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// How often we renew, and look whether another holder does.
const RETRY: Duration = Duration::from_secs(2);
/// Without a renewal for so long we give the cluster up; less than the [`record::DURATION`] after which others may
/// take it.
const DEADLINE: Duration = Duration::from_secs(10);

/// What holding the Lease takes.
pub(super) fn rights() -> Vec<Right> {
    rights::verbs(
        &["get", "create", "update", "delete"],
        "coordination.k8s.io",
        "leases",
        Some(NAMESPACE),
    )
}

/// Whether the cluster is ours.
#[derive(Clone, Debug)]
enum Standing {
    /// Until then, without another renewal.
    Until(Instant),
    /// Not any more.
    Lost(String),
}

impl Standing {
    /// Why the cluster is not ours any more; none while it is.
    fn lost(&self) -> Option<String> {
        match self {
            Self::Until(end) if Instant::now() < *end => None,
            Self::Until(_) => Some(not_renewed("this process was halted")),
            Self::Lost(reason) => Some(reason.clone()),
        }
    }
}

/// The Lease. Dropping it gives it back as far as the runtime lives on; else it runs out.
pub(super) struct Held {
    standing: watch::Receiver<Standing>,
    /// Dropping it ends the renewing.
    stop: oneshot::Sender<()>,
    renewing: JoinHandle<()>,
}

impl Held {
    /// Takes the Lease for `run`, from nobody or from a holder that is seen to be dead.
    pub(super) async fn take(
        client: &Client,
        run: &str,
        progress: &mut (impl FnMut(&str) + Send),
    ) -> Result<Self, ClusterError> {
        let act = "take the cluster for this run";
        let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
        let found = leases.get_opt(NAME).await.map_err(failed(act))?;
        let dead = match found {
            Some(found) => until_dead(&leases, found, progress).await?,
            None => None,
        };
        // The wait for a holder that seems dead is not ours.
        let asked = Instant::now();
        let wanted = new(run, dead.as_ref());
        let taken = match dead {
            None => leases.create(&PostParams::default(), &wanted).await,
            Some(_) => leases.replace(NAME, &PostParams::default(), &wanted).await,
        };
        let lease = match taken {
            Ok(lease) => lease,
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let other = leases.get_opt(NAME).await.ok().flatten();
                return Err(refused(other.as_ref()));
            }
            Err(error) => return Err(failed(act)(error)),
        };
        Ok(Self::keep(leases, lease, asked))
    }

    fn keep(leases: Api<Lease>, lease: Lease, asked: Instant) -> Self {
        let until = asked + DEADLINE;
        let (sender, standing) = watch::channel(Standing::Until(until));
        let (stop, stopped) = oneshot::channel();
        let keeper = Keeper {
            leases,
            lease,
            until,
            standing: sender,
        };
        Self {
            standing,
            stop,
            renewing: tokio::spawn(keeper.keep(stopped)),
        }
    }

    /// The same client, which sends nothing any more once the Lease is lost.
    pub(super) fn gated(&self, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (client, standing) = (client.clone(), self.standing.clone());
        let gated = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let lost = standing.borrow().lost();
            let client = client.clone();
            async move {
                match lost {
                    None => client.send(request).await.map_err(tower::BoxError::from),
                    Some(reason) => {
                        Err(format!("the cluster is not ours to use any more: {reason}").into())
                    }
                }
            }
        });
        Client::new(gated, namespace)
    }

    /// Why the Lease is lost; none while it is ours.
    pub(super) fn why_lost(&self) -> Option<String> {
        self.standing.borrow().lost()
    }

    /// Ends when the Lease is lost, and says why.
    pub(super) fn lost(&self) -> impl Future<Output = String> + Send + use<> {
        let mut standing = self.standing.clone();
        async move {
            loop {
                let now = standing.borrow_and_update().clone();
                if let Some(reason) = now.lost() {
                    return reason;
                }
                let Standing::Until(end) = now else { continue };
                // A change is a renewal or the loss; without one it is lost by then.
                if let Ok(Err(_)) = tokio::time::timeout_at(end, standing.changed()).await {
                    // It was given back: nobody renews it, and nobody has taken it from us.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Gives the Lease back, if it is still ours.
    pub(super) async fn release(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.renewing.await {
            tracing::warn!(%error, "the lease of the cluster was not given back; it runs out");
        }
    }
}

/// Watches a Lease of somebody else until it is free: nobody holds it (none: it is gone), or it did not change for as
/// long as it lasts. Refused as soon as its holder shows that it lives.
async fn until_dead(
    leases: &Api<Lease>,
    found: Lease,
    progress: &mut (impl FnMut(&str) + Send),
) -> Result<Option<Lease>, ClusterError> {
    let mut observed = Observed::new(found, Instant::now());
    if !observed.is_free(Instant::now()) {
        progress(&format!(
            "{} holds the cluster; looking for {} s whether it still lives",
            holder(observed.lease()),
            observed.duration().as_secs()
        ));
    }
    let mut tick = tokio::time::interval(RETRY);
    tick.tick().await;
    while !observed.is_free(Instant::now()) {
        tick.tick().await;
        let now = leases
            .get_opt(NAME)
            .await
            .map_err(failed("see whether another run still uses the cluster"))?;
        match now {
            None => return Ok(None),
            Some(now) => match observed.look(now) {
                Seen::Silent => {}
                Seen::Alive => return Err(refused(Some(observed.lease()))),
            },
        }
    }
    Ok(Some(observed.into_lease()))
}

/// Renews the Lease.
struct Keeper {
    leases: Api<Lease>,
    /// As we wrote it last.
    lease: Lease,
    /// When we give up, unless it is renewed before.
    until: Instant,
    standing: watch::Sender<Standing>,
}

/// The Lease was not renewed.
enum NotRenewed {
    /// It is not ours any more.
    Lost(String),
    /// It may still be renewed.
    Yet(kube::Error),
}

impl Keeper {
    /// Renews until it is told to stop, and then gives the Lease back; or until it is lost.
    async fn keep(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut tick = tokio::time::interval(RETRY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        let mut last = "this process was halted".to_owned();
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return self.give_back().await,
                _ = tick.tick() => {}
            }
            let asked = Instant::now();
            if asked >= self.until {
                return self.lose(not_renewed(&last));
            }
            match tokio::time::timeout_at(self.until, self.renew()).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    self.until = asked + DEADLINE;
                    self.standing.send_replace(Standing::Until(self.until));
                }
                Ok(Err(NotRenewed::Lost(reason))) => return self.lose(reason),
                Ok(Err(NotRenewed::Yet(error))) => last = error.to_string(),
                Err(_) => return self.lose(not_renewed("the API server did not answer")),
            }
        }
    }

    async fn renew(&self) -> Result<Lease, NotRenewed> {
        let parameters = PostParams::default();
        let next = renewed(&self.lease);
        let error = match self.leases.replace(NAME, &parameters, &next).await {
            Ok(lease) => return Ok(lease),
            Err(error) => error,
        };
        if !matches!(&error, kube::Error::Api(status) if matches!(status.code, 404 | 409)) {
            return Err(NotRenewed::Yet(error));
        }
        let now = self.leases.get_opt(NAME).await.map_err(NotRenewed::Yet)?;
        match now {
            // Ours after all: the answer to an earlier renewal did not arrive.
            Some(now) if record::is_same(&now, &self.lease) => self
                .leases
                .replace(NAME, &parameters, &renewed(&now))
                .await
                .map_err(NotRenewed::Yet),
            Some(now) => Err(NotRenewed::Lost(format!("{} has taken it", holder(&now)))),
            None => Err(NotRenewed::Lost(format!(
                "somebody deleted the Lease {NAMESPACE}/{NAME}"
            ))),
        }
    }

    fn lose(self, reason: String) {
        self.standing.send_replace(Standing::Lost(reason));
    }

    async fn give_back(self) {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: self.lease.metadata.uid.clone(),
                resource_version: self.lease.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        if let Err(error) = self.leases.delete(NAME, &parameters).await {
            tracing::warn!(%error, "the lease of the cluster was not given back; it runs out");
        }
    }
}

fn not_renewed(reason: &str) -> String {
    format!(
        "the Lease {NAMESPACE}/{NAME} was not renewed for {} s: {reason}",
        DEADLINE.as_secs()
    )
}

/// Another run has the cluster.
fn refused(lease: Option<&Lease>) -> ClusterError {
    let holder = lease.map_or_else(|| "another run".to_owned(), holder);
    ClusterError::because("take the cluster for this run", format!("{holder} uses it")).hint(
        format!(
            "wait until that run ends, or end it there; {} s after it was killed the cluster is free again (the Lease {NAMESPACE}/{NAME} says who has it)",
            record::DURATION.as_secs()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::fake_api::FakeApi;
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_somebody_deletes_while_its_holder_is_watched_is_ours_from_then_on() {
        let server = Arc::new(FakeApi::default());
        *server.lease.lock().unwrap() = Some(new("another", None));
        let client = server.client();
        let began = Instant::now();
        let deletes = async {
            // Most of the time after which the holder would be dead.
            tokio::time::sleep_until(began + DEADLINE + RETRY).await;
            server.delete_lease();
        };
        let mut progress = |_: &str| ();
        let (held, ()) = tokio::join!(Held::take(&client, "r1", &mut progress), deletes);
        let held = held.unwrap();
        assert!(
            began.elapsed() > DEADLINE,
            "the wait was long enough to count"
        );
        assert_eq!(held.why_lost(), None);
        held.release().await;
        assert!(server.lease.lock().unwrap().is_none(), "it is given back");
    }
}
