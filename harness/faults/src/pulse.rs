//! Whether something is alive: one attempt to have it react.

use crate::{Injector, Victim};
use bytes::Bytes;
use harness_model::causes::chain;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How many attempts in a row count.
const IN_A_ROW: usize = 2;
/// How long a reaction may take before a fault: connections go through the API server on some clusters.
pub(crate) const ALIVE: Duration = Duration::from_secs(5);
/// How long no reaction counts as none while a fault is in force.
const DEAD: Duration = Duration::from_millis(1000);

/// Something whose life is measured.
#[derive(Clone, Debug)]
pub enum Pulse {
    /// A pod whose port takes connections.
    Connects(Victim),
    /// A pod that reacts to what comes in on its port, be it by closing the connection: the kernel takes connections
    /// for a process that is stopped, and nobody reads from them.
    Reacts(Victim),
    /// A pod that shows a line in what it answers over HTTP. One that cannot be asked says nothing of it.
    Shows {
        /// Whom.
        victim: Victim,
        /// The path that is asked for.
        path: String,
        /// The line.
        line: String,
    },
    /// The API server of a cluster reads an object from its database.
    Reads {
        /// The cluster's name.
        cluster: String,
    },
}

impl Pulse {
    /// How long is waited for a reaction while a fault is in force.
    fn patience(&self) -> Duration {
        match self {
            Self::Connects(_) | Self::Reacts(_) | Self::Reads { .. } => DEAD,
            // Silence says nothing of it, and whoever shows it is alive.
            Self::Shows { .. } => ALIVE,
        }
    }

    /// What it means that there was no answer.
    fn silent(&self, why: String) -> Silence {
        match self {
            Self::Connects(_) | Self::Reacts(_) | Self::Reads { .. } => Silence::Dead(why),
            Self::Shows { .. } => Silence::Unknown(why),
        }
    }
}

impl std::fmt::Display for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connects(victim) | Self::Reacts(victim) => {
                write!(f, "port {} of {}", victim.port, victim.address.name)
            }
            Self::Shows { victim, path, line } => {
                write!(f, "`{line}` in {path} of {}", victim.address.name)
            }
            Self::Reads { cluster } => write!(f, "the API server of {cluster}"),
        }
    }
}

/// Why nothing was felt.
#[derive(Debug)]
pub(crate) enum Silence {
    /// There is no life.
    Dead(String),
    /// Nobody knows whether there is.
    Unknown(String),
}

impl Silence {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Dead(why) | Self::Unknown(why) => why,
        }
    }
}

/// The longest answer that is read.
const LONGEST: usize = 64 * 1024;

impl Injector {
    /// Each of them reacts, twice in a row.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub(crate) async fn all_react(&self, pulses: &[Pulse]) -> Result<(), String> {
        for _ in 0..IN_A_ROW {
            let felt = pulses.iter().map(|pulse| self.feel(pulse, ALIVE));
            let felt = futures::future::try_join_all(felt).await;
            felt.map_err(Silence::words)?;
        }
        Ok(())
    }

    /// Measures until none of them reacts, twice in a row; what was measured.
    ///
    /// # Errors
    ///
    /// Who still reacted last.
    pub(crate) async fn none_reacts(
        &self,
        pulses: &[Pulse],
        until: Instant,
    ) -> Result<String, String> {
        let begun = Instant::now();
        let mut last = "nothing was measured".to_owned();
        let mut in_a_row = 0;
        while Instant::now() < until {
            let felt = pulses
                .iter()
                .map(|pulse| self.feel(pulse, pulse.patience()));
            let felt = futures::future::join_all(felt).await;
            let alive: Vec<String> = pulses
                .iter()
                .zip(&felt)
                .filter_map(|(pulse, felt)| match felt {
                    Ok(()) => Some(format!("{pulse} still reacts")),
                    Err(Silence::Unknown(why)) => Some(why.clone()),
                    Err(Silence::Dead(_)) => None,
                })
                .collect();
            in_a_row = if alive.is_empty() { in_a_row + 1 } else { 0 };
            last = alive.join(", ");
            if in_a_row == IN_A_ROW {
                let dead: Vec<String> = felt
                    .into_iter()
                    .filter_map(Result::err)
                    .map(Silence::words)
                    .collect();
                return Ok(format!(
                    "all reacted before; {} ms after: {}",
                    begun.elapsed().as_millis(),
                    dead.join(", ")
                ));
            }
            if !alive.is_empty() {
                // Who answers at once would be asked without end.
                pause().await;
            }
        }
        Err(last)
    }

    /// Waits until each of them reacts, twice in a row.
    ///
    /// # Errors
    ///
    /// Who did not react last, when `patience` is over.
    pub(crate) async fn until_all_react(
        &self,
        pulses: &[Pulse],
        patience: Duration,
    ) -> Result<(), String> {
        let mut last = "nothing was measured".to_owned();
        let back = async {
            let mut in_a_row = 0;
            while in_a_row < IN_A_ROW {
                let felt = pulses
                    .iter()
                    .map(|pulse| self.feel(pulse, pulse.patience()));
                match futures::future::try_join_all(felt).await {
                    Ok(_) => in_a_row += 1,
                    Err(why) => {
                        in_a_row = 0;
                        last = why.words();
                        // Who refuses at once would be asked without end.
                        pause().await;
                    }
                }
            }
        };
        let in_time = tokio::time::timeout(patience, back).await.is_ok();
        if in_time { Ok(()) } else { Err(last) }
    }

    /// One attempt, bounded by `patience`.
    pub(crate) async fn feel(&self, pulse: &Pulse, patience: Duration) -> Result<(), Silence> {
        let attempt = async {
            match pulse {
                Pulse::Connects(victim) => self
                    .clusters
                    .connect(&victim.address, victim.port)
                    .await
                    .map(drop)
                    .map_err(|error| chain(&error)),
                Pulse::Reacts(victim) => self.provoke(victim).await,
                Pulse::Reads { cluster } => self.read(cluster).await,
                Pulse::Shows { victim, path, line } => match self.shown(victim, path).await {
                    Ok(lines) if lines.iter().any(|shown| shown == line) => Ok(()),
                    Ok(_) => return Err(Silence::Dead(format!("{pulse}: it is not there"))),
                    Err(why) => Err(why),
                },
            }
            .map_err(|why| pulse.silent(format!("{pulse}: {why}")))
        };
        let attempt = tokio::time::timeout(patience, attempt).await;
        attempt.unwrap_or_else(|_| {
            let patience = patience.as_millis();
            Err(pulse.silent(format!("{pulse}: no reaction within {patience} ms")))
        })
    }

    /// The lines of what a pod answers with status 200, over HTTP. It is waited for as long as the pod takes.
    ///
    /// # Errors
    ///
    /// Why there is no such answer.
    pub async fn shown(&self, victim: &Victim, path: &str) -> Result<Vec<String>, String> {
        let stream = self.clusters.connect(&victim.address, victim.port).await;
        let stream = stream.map_err(|error| chain(&error))?;
        let request = http::Request::get(path)
            .header(http::header::HOST, "pulse")
            .body(Empty::<Bytes>::new())
            .map_err(|error| chain(&error))?;
        // The answer ends where it says, not with the connection: through a kubelet that ends a second later.
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            Ok((status, body))
        };
        let (status, body) = exchange
            .await
            .map_err(|error: hyper::Error| chain(&error))?;
        if status != http::StatusCode::OK {
            return Err(format!("answered with status {}", status.as_u16()));
        }
        let body = body.map_err(|error| chain(&*error))?.to_bytes();
        let lines = String::from_utf8_lossy(&body);
        Ok(lines.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Sends what a server answers in one way or the other, whatever it speaks.
    async fn provoke(&self, victim: &Victim) -> Result<(), String> {
        let mut stream = self
            .clusters
            .connect(&victim.address, victim.port)
            .await
            .map_err(|error| chain(&error))?;
        // Whether this or the answer is cut off: it is a reaction.
        let _ = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: pulse\r\nConnection: close\r\n\r\n")
            .await;
        let _ = stream.read(&mut [0]).await;
        Ok(())
    }

    /// Without a version the API server asks its database.
    async fn read(&self, cluster: &str) -> Result<(), String> {
        let cluster = self
            .clusters
            .named(cluster)
            .map_err(|error| chain(&error))?;
        let namespaces: Api<Namespace> = Api::all(cluster.client());
        namespaces
            .get_metadata("kube-system")
            .await
            .map(drop)
            .map_err(|error| chain(&error))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells that a port takes connections again"
)]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
