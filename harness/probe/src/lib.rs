//! Speaking to the probes: reading sidecars, waiting for their changes, sending requests and load.
//!
//! Every call is one HTTP/1.1 exchange over a byte stream that the cluster opens into the pod, so that it works
//! while the pod's zone is cut off and while its sidecar is broken. Idle connections are kept for each pod.
//!
//! Invariant: nothing here knows a mesh or a scenario, and no call is repeated behind the caller's back once
//! the probe may have seen it, except reading.

mod connection;
mod error;

pub use error::{ProbeError, ProbeFailure};

use connection::Connections;
use harness_cluster::{Clusters, PodAddress};
use http::Method;
use probe_api::handshake::{HandshakeAnswer, HandshakeAsk, PartnerRoot};
use probe_api::identity::{IdentityAnswer, IdentityAsk};
use probe_api::paths;
use probe_api::request::{
    LoadReport, LoadSpec, LoadStarted, Received, RequestBatch, RequestBatchReply, RequestOutcome,
};
use probe_api::state::{ReconnectReply, ReconnectRequest, SidecarState};
use std::sync::Arc;
use std::time::Duration;

/// Asks the probes of the clusters. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Prober {
    connections: Arc<Connections>,
    patience: Duration,
}

impl Prober {
    /// A prober for the pods of `clusters`. `patience` bounds every call beyond the time that the probe itself was asked
    /// to take ([`harness_model::patience::Patience::probe`]).
    #[must_use]
    pub fn new(clusters: Arc<Clusters>, patience: Duration) -> Self {
        Self {
            connections: Arc::new(Connections::new(clusters)),
            patience,
        }
    }

    /// Reads the sidecar of `pod` now.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached or does not answer in time. A probe that answers but cannot read its
    /// sidecar is no error: see [`probe_api::state::SidecarReading`].
    pub async fn state(&self, pod: &PodAddress) -> Result<SidecarState, ProbeError> {
        self.call(
            Act::ReadState,
            pod,
            Method::GET,
            paths::STATE,
            None,
            Duration::ZERO,
        )
        .await
    }

    /// Waits until the state of `pod` has another hash than `hash`, or until `timeout` is over; then the answer
    /// carries the same hash.
    ///
    /// # Errors
    ///
    /// As [`state`](Self::state).
    pub async fn wait_for_change(
        &self,
        pod: &PodAddress,
        hash: &str,
        timeout: Duration,
    ) -> Result<SidecarState, ProbeError> {
        let path = format!(
            "{}?differs_from={hash}&timeout_ms={}",
            paths::STATE,
            timeout.as_millis()
        );
        self.call(Act::WaitForChange, pod, Method::GET, &path, None, timeout)
            .await
    }

    /// Makes the sidecar of `pod` leave its control-plane connection and dial `to` (`ip:port` of a replica, or
    /// any replica) from now on. A reading is of a new connection when its epoch is at least the answer's.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached, does not answer in time or has no sidecar that can be told.
    pub async fn reconnect(
        &self,
        pod: &PodAddress,
        to: Option<&str>,
    ) -> Result<ReconnectReply, ProbeError> {
        let request = ReconnectRequest {
            to: to.map(str::to_owned),
        };
        let body = encode(&request);
        self.call(
            Act::Reconnect,
            pod,
            Method::POST,
            paths::RECONNECT,
            body,
            Duration::ZERO,
        )
        .await
    }

    /// Sends a batch of requests from `pod` and waits for all outcomes, in order of sending.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached or does not answer in time; a failed request is an outcome, not an error.
    pub async fn requests(
        &self,
        pod: &PodAddress,
        batch: &RequestBatch,
    ) -> Result<Vec<RequestOutcome>, ProbeError> {
        let rounds = batch.count.div_ceil(batch.concurrency.max(1));
        let longest = Duration::from_millis(batch.request.timeout_ms) * rounds;
        let reply: RequestBatchReply = self
            .call(
                Act::SendRequests,
                pod,
                Method::POST,
                paths::REQUESTS,
                encode(batch),
                longest,
            )
            .await?;
        Ok(reply.outcomes)
    }

    /// Has the probe of `pod` ask for an identity.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached or does not answer in time; a refusal is an answer, not an error.
    pub async fn ask_identity(
        &self,
        pod: &PodAddress,
        ask: &IdentityAsk,
    ) -> Result<IdentityAnswer, ProbeError> {
        let body = encode(ask);
        let path = paths::IDENTITY;
        self.call(
            Act::AskIdentity,
            pod,
            Method::POST,
            path,
            body,
            ASKING_TAKES,
        )
        .await
    }

    /// Has the probe of `pod` speak TLS to a sidecar.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached or does not answer in time; a refusal is an answer, not an error.
    pub async fn handshake(
        &self,
        pod: &PodAddress,
        ask: &HandshakeAsk,
    ) -> Result<HandshakeAnswer, ProbeError> {
        let body = encode(ask);
        let (act, path) = (Act::Handshake, paths::HANDSHAKE);
        self.call(act, pod, Method::POST, path, body, HANDSHAKE_TAKES)
            .await
    }

    /// Has the probe of `pod` make a root of a partner, in the place of the one that it made before, and gives its certificate,
    /// PEM.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached, does not answer in time or makes none.
    pub async fn make_partner_root(&self, pod: &PodAddress) -> Result<String, ProbeError> {
        let path = paths::PARTNER;
        let made: PartnerRoot = self
            .call(
                Act::MakePartnerRoot,
                pod,
                Method::POST,
                path,
                None,
                Duration::ZERO,
            )
            .await?;
        Ok(made.certificate)
    }

    /// How many requests came to `pod` that were to be counted under a text (letters, digits, `-`, `.` and `/`).
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached or does not answer in time.
    pub async fn received(&self, pod: &PodAddress, text: &str) -> Result<u64, ProbeError> {
        let path = format!("{}?count={text}", paths::RECEIVED);
        let received: Received = self
            .call(
                Act::CountRequests,
                pod,
                Method::GET,
                &path,
                None,
                Duration::ZERO,
            )
            .await?;
        Ok(received.count)
    }

    /// Starts steady load from `pod` and returns its name.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached, does not answer in time or refuses the load.
    pub async fn start_load(
        &self,
        pod: &PodAddress,
        load: &LoadSpec,
    ) -> Result<String, ProbeError> {
        let started: LoadStarted = self
            .call(
                Act::StartLoad,
                pod,
                Method::POST,
                paths::LOADS,
                encode(load),
                Duration::ZERO,
            )
            .await?;
        Ok(started.id)
    }

    /// What a load has done from sequence `since` on.
    ///
    /// # Errors
    ///
    /// When the probe cannot be reached, does not answer in time, does not know the load, or has already
    /// forgotten outcomes from `since` on.
    pub async fn load_report(
        &self,
        pod: &PodAddress,
        id: &str,
        since: u64,
    ) -> Result<LoadReport, ProbeError> {
        let path = format!("{}/{id}?since={since}", paths::LOADS);
        self.call(Act::ReadLoad, pod, Method::GET, &path, None, Duration::ZERO)
            .await
    }

    /// Stops a load, waits for the outcomes that are still open and returns those from sequence `since` on.
    ///
    /// # Errors
    ///
    /// As [`load_report`](Self::load_report).
    pub async fn stop_load(
        &self,
        pod: &PodAddress,
        id: &str,
        since: u64,
    ) -> Result<LoadReport, ProbeError> {
        let path = format!("{}/{id}?since={since}", paths::LOADS);
        self.call(Act::StopLoad, pod, Method::DELETE, &path, None, STOP_TAKES)
            .await
    }
}

/// Who is asked for an identity may wait for a pod to show up.
const ASKING_TAKES: Duration = Duration::from_secs(15);

/// A certificate is asked for, may be waited for to end, and is shown.
const HANDSHAKE_TAKES: Duration = Duration::from_secs(45);

/// Stopping a load waits for requests that are still open, each bounded by its own time limit.
const STOP_TAKES: Duration = Duration::from_secs(30);

fn encode<T: serde::Serialize>(body: &T) -> Option<Vec<u8>> {
    Some(serde_json::to_vec(body).expect("wire types have string keys and finite numbers"))
}

/// What was asked of a probe, as a fragment that fits "failed to ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// [`Prober::state`].
    ReadState,
    /// [`Prober::wait_for_change`].
    WaitForChange,
    /// [`Prober::reconnect`].
    Reconnect,
    /// [`Prober::requests`].
    SendRequests,
    /// [`Prober::ask_identity`].
    AskIdentity,
    /// [`Prober::handshake`].
    Handshake,
    /// [`Prober::make_partner_root`].
    MakePartnerRoot,
    /// [`Prober::received`].
    CountRequests,
    /// [`Prober::start_load`].
    StartLoad,
    /// [`Prober::load_report`].
    ReadLoad,
    /// [`Prober::stop_load`].
    StopLoad,
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ReadState => "read the state",
            Self::WaitForChange => "wait for a change of the state",
            Self::Reconnect => "reconnect the sidecar",
            Self::SendRequests => "send requests",
            Self::AskIdentity => "ask for an identity",
            Self::Handshake => "speak TLS to a sidecar",
            Self::MakePartnerRoot => "make a partner's root",
            Self::CountRequests => "count requests",
            Self::StartLoad => "start load",
            Self::ReadLoad => "read the load report",
            Self::StopLoad => "stop load",
        })
    }
}

#[cfg(test)]
mod tests;
