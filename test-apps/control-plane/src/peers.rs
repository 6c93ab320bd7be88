//! What the other replicas report, asked by the leader with a long poll to each of them.

use crate::acknowledgements::Report;
use crate::admin::REPORT_PATH;
use crate::world::World;
use api_client::connector;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::debug;

/// A peer answers a poll at the latest after this time, even if nothing changed.
pub const POLL: Duration = Duration::from_secs(5);
/// How long a peer that does not answer is left alone.
const PAUSE: Duration = Duration::from_millis(250);

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

/// The reports of the peers, as long as this is alive.
#[derive(Default)]
pub struct Peers {
    reports: Arc<Mutex<BTreeMap<IpAddr, Report>>>,
    revision: watch::Sender<u64>,
    polls: BTreeMap<IpAddr, JoinHandle<()>>,
}

/// A peer could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("make the request")]
    Request(#[source] http::Error),
    #[error("reach the peer")]
    Reach(#[source] hyper_util::client::legacy::Error),
    #[error("the peer answers {0}")]
    Refused(http::StatusCode),
    #[error("read the answer")]
    Read(#[source] hyper::Error),
    #[error("understand the answer")]
    Understand(#[source] serde_json::Error),
    #[error("no answer in time")]
    Late,
}

impl Peers {
    /// Asks those that are there now, and stops asking those that are not.
    pub fn follow(&mut self, world: &World, own_name: &str, port: u16) {
        let present: BTreeMap<IpAddr, &str> = world
            .replicas
            .iter()
            .filter(|(name, _)| name.as_str() != own_name)
            .filter_map(|(name, replica)| Some((replica.ip?, name.as_str())))
            .collect();
        self.polls.retain(|ip, poll| {
            let stays = present.contains_key(ip);
            if !stays {
                poll.abort();
                self.reports
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(ip);
            }
            stays
        });
        for ip in present.into_keys() {
            self.polls.entry(ip).or_insert_with(|| {
                let poll = Poll {
                    client: Client::builder(TokioExecutor::new()).build(connector()),
                    address: SocketAddr::new(ip, port),
                    reports: self.reports.clone(),
                    revision: self.revision.clone(),
                };
                tokio::spawn(poll.run())
            });
        }
    }

    /// The newest reports.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.values().cloned().collect()
    }

    /// Told when a report changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for poll in self.polls.values() {
            poll.abort();
        }
    }
}

struct Poll {
    client: HttpClient,
    address: SocketAddr,
    reports: Arc<Mutex<BTreeMap<IpAddr, Report>>>,
    revision: watch::Sender<u64>,
}

impl Poll {
    async fn run(self) {
        let mut pauses = tokio::time::interval(PAUSE);
        pauses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut after = None;
        loop {
            match self.ask(after).await {
                Ok(report) => {
                    after = Some(report.revision);
                    self.put(Some(report));
                }
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, peer = %self.address, "a peer does not answer");
                    after = None;
                    self.put(None);
                    pauses.reset();
                    pauses.tick().await;
                }
            }
        }
    }

    fn put(&self, report: Option<Report>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let ip = self.address.ip();
        let before = match &report {
            Some(report) => reports.insert(ip, report.clone()),
            None => reports.remove(&ip),
        };
        if before != report {
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    async fn ask(&self, after: Option<u64>) -> Result<Report, AskError> {
        let after = after
            .map(|after| format!("?after={after}"))
            .unwrap_or_default();
        let request = http::Request::get(format!("http://{}{REPORT_PATH}{after}", self.address))
            .body(Empty::new())
            .map_err(AskError::Request)?;
        let answer = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(AskError::Reach)?;
            if !response.status().is_success() {
                return Err(AskError::Refused(response.status()));
            }
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(AskError::Read)?;
            serde_json::from_slice(&body.to_bytes()).map_err(AskError::Understand)
        };
        tokio::time::timeout(POLL * 2, answer)
            .await
            .unwrap_or(Err(AskError::Late))
    }
}
