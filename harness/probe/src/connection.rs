//! Idle HTTP/1.1 connections by pod, and one exchange over one of them.

use crate::error::ProbeFailure;
use crate::{Act, ProbeError, Prober};
use bytes::Bytes;
use harness_cluster::{Clusters, PodAddress};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// More idle connections than this to one pod are closed: long polls and loads of one pod rarely exceed it.
const IDLE_PER_POD: usize = 4;

/// The connections of a [`Prober`].
pub(crate) struct Connections {
    clusters: Arc<Clusters>,
    idle: Mutex<HashMap<PodAddress, Vec<SendRequest<Full<Bytes>>>>>,
}

impl Connections {
    pub(crate) fn new(clusters: Arc<Clusters>) -> Self {
        Self {
            clusters,
            idle: Mutex::new(HashMap::new()),
        }
    }

    fn take(&self, pod: &PodAddress) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(pod)?;
        while let Some(connection) = connections.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        idle.remove(pod);
        None
    }

    async fn take_ready(&self, pod: &PodAddress) -> Option<SendRequest<Full<Bytes>>> {
        while let Some(mut connection) = self.take(pod) {
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
        None
    }

    fn put_back(&self, pod: &PodAddress, connection: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(pod.clone()).or_default();
        if connections.len() < IDLE_PER_POD {
            connections.push(connection);
        }
    }

    async fn open(&self, pod: &PodAddress) -> Result<SendRequest<Full<Bytes>>, ProbeFailure> {
        let stream = self
            .clusters
            .connect(pod, probe_api::CONTROL_PORT)
            .await
            .map_err(ProbeFailure::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ProbeFailure::Exchange)?;
        tokio::spawn(async move {
            // The caller sees the same error at its own end; here it only ends the task.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a probe connection ended");
            }
        });
        Ok(sender)
    }

    async fn exchange(
        &self,
        pod: &PodAddress,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Bytes, ProbeFailure> {
        let build = || {
            Request::builder()
                .method(method.clone())
                .uri(path)
                .header(http::header::HOST, "probe")
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(Full::new(
                    body.map_or_else(Bytes::new, Bytes::copy_from_slice),
                ))
                .expect("method, path and headers are our own constants")
        };
        let mut connection = match self.take_ready(pod).await {
            Some(connection) => connection,
            None => self.open(pod).await?,
        };
        let response = match connection.try_send_request(build()).await {
            Ok(response) => response,
            // A request that never left (the probe had closed the idle connection) may go out on a fresh one;
            // one that only reads may do so in any case.
            Err(error) if error.message().is_some() || *method == Method::GET => {
                connection = self.open(pod).await?;
                connection
                    .send_request(build())
                    .await
                    .map_err(ProbeFailure::Exchange)?
            }
            Err(error) => return Err(ProbeFailure::Exchange(error.into_error())),
        };
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(ProbeFailure::Exchange)?
            .to_bytes();
        self.put_back(pod, connection);
        if status.is_success() {
            Ok(bytes)
        } else {
            Err(ProbeFailure::Refused {
                status: status.as_u16(),
                body: String::from_utf8_lossy(&bytes).trim().to_owned(),
            })
        }
    }
}

impl Prober {
    /// One exchange: `asked` is how long the probe itself was asked to take.
    pub(crate) async fn call<T: serde::de::DeserializeOwned>(
        &self,
        act: Act,
        pod: &PodAddress,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        asked: Duration,
    ) -> Result<T, ProbeError> {
        let bound = self.patience + asked;
        let exchange = self
            .connections
            .exchange(pod, &method, path, body.as_deref());
        let result = match tokio::time::timeout(bound, exchange).await {
            Ok(Ok(bytes)) => serde_json::from_slice(&bytes).map_err(ProbeFailure::Decode),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(ProbeFailure::Timeout(bound)),
        };
        result.map_err(|source| ProbeError {
            act,
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            source,
        })
    }
}
