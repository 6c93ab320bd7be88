//! HTTP/1.1 to the sidecar's admin interface and to the launcher, over one kept connection each.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Both are in the pod: an answer comes soon or not at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// A call inside the pod failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// Nothing listens.
    #[error("connect to {address}: {source}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The exchange broke off.
    #[error("{path} of {address}: {source}")]
    Exchange {
        /// Where.
        address: String,
        /// What was asked.
        path: String,
        /// Why it broke off.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("{path} of {address} did not answer within {PATIENCE:?}")]
    Timeout {
        /// Where.
        address: String,
        /// What was asked.
        path: String,
    },
    /// Another status than 200.
    #[error("{path} of {address} answered {status}")]
    Status {
        /// Where.
        address: String,
        /// What was asked.
        path: String,
        /// The status.
        status: u16,
    },
    /// Not the JSON that was expected.
    #[error("{path} of {address}: {message}")]
    Decode {
        /// Where.
        address: String,
        /// What was asked.
        path: String,
        /// What is wrong.
        message: String,
    },
}

/// One address inside the pod. Calls wait for one another.
#[derive(Debug)]
pub(crate) struct LocalClient {
    address: String,
    kept: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl LocalClient {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            kept: Mutex::new(None),
        }
    }

    /// The body of a GET that was answered with 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, LocalError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// The JSON of a GET that was answered with 200.
    pub(crate) async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, LocalError> {
        let body = self.get(path).await?;
        self.decode(path, &body)
    }

    /// The JSON that answers a POST of JSON.
    pub(crate) async fn post_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, LocalError> {
        let body = serde_json::to_vec(body).expect("wire types have string keys");
        let answer = self.call(Method::POST, path, body.into()).await?;
        self.decode(path, &answer)
    }

    fn decode<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
    ) -> Result<T, LocalError> {
        serde_json::from_slice(body).map_err(|error| LocalError::Decode {
            address: self.address.clone(),
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, LocalError> {
        let mut kept = self.kept.lock().await;
        // The connection stays taken out until the exchange is complete, so that an exchange that was given up
        // half-way cannot leave its rest to the next one.
        let exchange = self.exchange(kept.take(), method, path, body);
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok((connection, body))) => {
                *kept = Some(connection);
                Ok(body)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LocalError::Timeout {
                address: self.address.clone(),
                path: path.to_owned(),
            }),
        }
    }

    async fn exchange(
        &self,
        kept: Option<SendRequest<Full<Bytes>>>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(SendRequest<Full<Bytes>>, Bytes), LocalError> {
        let broke = |source| LocalError::Exchange {
            address: self.address.clone(),
            path: path.to_owned(),
            source,
        };
        let kept = match kept {
            None => None,
            Some(mut connection) => connection.ready().await.ok().map(|()| connection),
        };
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, &self.address)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("methods and paths are our own");
        let response = connection.send_request(request).await.map_err(broke)?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(broke)?
            .to_bytes();
        if status == 200 {
            Ok((connection, body))
        } else {
            Err(LocalError::Status {
                address: self.address.clone(),
                path: path.to_owned(),
                status,
            })
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, LocalError> {
        let stream =
            TcpStream::connect(&self.address)
                .await
                .map_err(|source| LocalError::Connect {
                    address: self.address.clone(),
                    source,
                })?;
        let (sender, connection) =
            handshake(TokioIo::new(stream))
                .await
                .map_err(|source| LocalError::Exchange {
                    address: self.address.clone(),
                    path: String::new(),
                    source,
                })?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection inside the pod ended");
            }
        });
        Ok(sender)
    }
}
