//! Which replica writes status: a Lease, held by one at a time.
//!
//! Invariant: nothing but status hangs on it. Sidecars are served by every replica, leader or not.

use crate::behaviour::Behaviour;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// The name of the Lease.
pub const LEASE: &str = "control-plane";
/// A leader that was silent for this long is followed by another.
const HOLDS: Duration = Duration::from_secs(4);
/// A leader trusts for this long, from the moment at which it asked, that it leads: less than [`HOLDS`], so that
/// it has stopped before another begins.
const TRUSTS: Duration = Duration::from_secs(3);
/// How often the leader says that it is there, and the others look.
const RENEWS: Duration = Duration::from_secs(1);

/// How a round of the election ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// The API server said whose the Lease is.
    Answered,
    /// It failed, or was silent until the time of the round was over.
    Unanswered,
}

/// A candidate.
pub struct Candidate {
    api: Api<Lease>,
    identity: String,
    behaviour: Arc<dyn Behaviour>,
    /// What the Lease said last and since when it says so, by this machine's own clock: clocks of other
    /// machines are not trusted.
    observed: Option<(LeaseSpec, Instant)>,
    renewed: Option<Instant>,
}

impl Candidate {
    /// A candidate of this name. `behaviour` is told how each round ends.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        identity: &str,
        behaviour: Arc<dyn Behaviour>,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            behaviour,
            observed: None,
            renewed: None,
        }
    }

    /// Campaigns until the end, and then gives the Lease back.
    pub async fn run(mut self, leads: watch::Sender<bool>, shutdown: CancellationToken) {
        let mut rounds = tokio::time::interval(RENEWS);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = rounds.tick() => {}
            }
            let asked = Instant::now();
            let patience = match self.renewed {
                Some(renewed) => (renewed + TRUSTS).saturating_duration_since(asked),
                None => HOLDS / 2,
            };
            let round = tokio::time::timeout(patience, self.round(asked)).await;
            let (held, how) = match round {
                Ok(Ok(held)) => (held, Round::Answered),
                Ok(Err(error)) => {
                    debug!(%error, "the Lease could not be read or written");
                    (self.still_holds(), Round::Unanswered)
                }
                Err(_) => (self.still_holds(), Round::Unanswered),
            };
            self.behaviour.campaigned(how);
            if !held {
                self.renewed = None;
            }
            let is_news = leads.send_if_modified(|leads| std::mem::replace(leads, held) != held);
            if is_news {
                info!(leads = held, "the election is decided");
            }
        }
        if self.still_holds() {
            leads.send_replace(false);
            let _ = tokio::time::timeout(RENEWS, self.resign()).await;
        }
    }

    fn still_holds(&self) -> bool {
        self.renewed
            .is_some_and(|renewed| renewed.elapsed() < TRUSTS)
    }

    async fn round(&mut self, asked: Instant) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(LEASE).await? else {
            let outcome = self.create().await;
            return self.won(outcome, asked);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let is_mine = holder == self.identity;
        if !is_mine && !holder.is_empty() && !self.expired(&spec) {
            return Ok(false);
        }
        let mut next = self.spec();
        next.lease_transitions =
            Some(spec.lease_transitions.unwrap_or_default() + i32::from(!is_mine));
        next.acquire_time = if is_mine {
            spec.acquire_time
        } else {
            next.renew_time.clone()
        };
        let outcome = self.replace(lease, next).await;
        self.won(outcome, asked)
    }

    fn expired(&mut self, spec: &LeaseSpec) -> bool {
        match &self.observed {
            Some((known, since)) if known == spec => since.elapsed() > HOLDS,
            _ => {
                self.observed = Some((spec.clone(), Instant::now()));
                false
            }
        }
    }

    async fn create(&self) -> Result<Lease, kube::Error> {
        let mut spec = self.spec();
        spec.acquire_time = spec.renew_time.clone();
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.into()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        self.api.create(&PostParams::default(), &lease).await
    }

    async fn replace(&self, mut lease: Lease, spec: LeaseSpec) -> Result<Lease, kube::Error> {
        // The resource version in the metadata makes this fail if somebody was faster.
        lease.spec = Some(spec);
        self.api
            .replace(LEASE, &PostParams::default(), &lease)
            .await
    }

    fn won(
        &mut self,
        outcome: Result<Lease, kube::Error>,
        asked: Instant,
    ) -> Result<bool, kube::Error> {
        match outcome {
            Ok(_) => {
                self.renewed = Some(asked);
                Ok(true)
            }
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn resign(&mut self) -> Result<(), kube::Error> {
        let Some(lease) = self.api.get_opt(LEASE).await? else {
            return Ok(());
        };
        let mut spec = lease.spec.clone().unwrap_or_default();
        if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
            spec.holder_identity = None;
            self.replace(lease, spec).await?;
        }
        Ok(())
    }

    fn spec(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            renew_time: Some(MicroTime(jiff::Timestamp::now())),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Faithful;
    use fake_api::{Asked, FakeApi};
    use serde_json::json;

    fn lease(asked: &Asked, holder: &str) -> serde_json::Value {
        let mut lease = asked.body.clone();
        lease["metadata"] = json!({"name": LEASE, "resourceVersion": "1"});
        lease["spec"]["holderIdentity"] = json!(holder);
        lease
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_api_server_is_silent_stops_before_another_begins() {
        let (client, mut api) = FakeApi::new();
        let (leads, mut follows) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let candidate = Candidate::new(client, "mesh-system", "me", Arc::new(Faithful));
        let candidate = tokio::spawn(candidate.run(leads, shutdown.clone()));
        let get = api.next().await.expect("looks at the Lease");
        get.refuse(404);
        let asked = Instant::now();
        let create = api.next().await.expect("there is none, so it makes one");
        // The answer is slow: the others count from when the Lease was written.
        tokio::time::advance(RENEWS).await;
        let made = lease(&create, "me");
        create.answer(201, made);
        follows.wait_for(|leads| *leads).await.expect("runs");
        // From here on nothing is answered.
        follows.wait_for(|leads| !leads).await.expect("runs");
        assert!(asked.elapsed() < HOLDS, "{:?}", asked.elapsed());
        candidate.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_somebody_else_is_left_alone_until_it_was_silent() {
        let (client, mut api) = FakeApi::new();
        let (leads, follows) = watch::channel(false);
        let candidate = Candidate::new(client, "mesh-system", "me", Arc::new(Faithful));
        let candidate = tokio::spawn(candidate.run(leads, CancellationToken::new()));
        let started = Instant::now();
        let take = loop {
            let Some(asked) = api.next().await else {
                continue;
            };
            if asked.body["spec"].is_object() {
                break asked;
            }
            let theirs = lease(&asked, "somebody");
            asked.answer(200, theirs);
        };
        assert!(started.elapsed() > HOLDS);
        assert!(!*follows.borrow());
        assert_eq!(take.body["spec"]["holderIdentity"], "me");
        assert_eq!(take.body["metadata"]["resourceVersion"], "1");
        candidate.abort();
    }

    /// Remembers how the last round ended.
    struct Told(watch::Sender<Option<Round>>);

    impl Behaviour for Told {
        fn campaigned(&self, round: Round) {
            self.0.send_replace(Some(round));
        }
    }

    /// How the first round ended, in which the Lease was made, and the next one that ended otherwise: in that `ends` is done
    /// with the first request.
    async fn rounds(ends: fn(Asked)) -> [Option<Round>; 2] {
        let (client, mut api) = FakeApi::new();
        let told = watch::Sender::new(None);
        let mut heard = told.subscribe();
        let (leads, _follows) = watch::channel(false);
        let candidate = Candidate::new(client, "mesh-system", "me", Arc::new(Told(told)));
        let candidate = tokio::spawn(candidate.run(leads, CancellationToken::new()));
        let get = api.next().await.expect("looks at the Lease");
        get.refuse(404);
        let create = api.next().await.expect("there is none, so it makes one");
        let made = lease(&create, "me");
        create.answer(201, made);
        let first = *heard.wait_for(Option::is_some).await.expect("runs");
        let get = loop {
            if let Some(get) = api.next().await {
                break get;
            }
        };
        ends(get);
        let next = *heard.wait_for(|round| *round != first).await.expect("runs");
        candidate.abort();
        [first, next]
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_fails_or_that_nobody_answers_is_told() {
        let expected = [Some(Round::Answered), Some(Round::Unanswered)];
        assert_eq!(rounds(|get| get.refuse(500)).await, expected);
        assert_eq!(rounds(drop).await, expected);
    }
}
