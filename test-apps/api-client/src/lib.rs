//! The connection to the API server, made to notice within seconds that nobody is there any more: a zone that
//! was cut off must catch up at once when it is back, and a watch says nothing by itself.

mod bound_token;
mod remembering;

pub use bound_token::{BoundToken, ReadTokenError};
pub use remembering::Remembered;

use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use kube::runtime::utils::Backoff;
use kube::{Client, Config};
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};

/// A connection without any answer for this long, probes included, is dead.
const SILENCE: Duration = Duration::from_secs(3);
/// A dial that takes longer is given up.
const DIAL: Duration = Duration::from_secs(2);

/// No client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no configuration to be found.
    #[error("find out how to reach the API server")]
    Infer(#[source] kube::config::InferConfigError),
    /// The configuration cannot be used.
    #[error("use the configuration of the API server")]
    Use(#[source] kube::Error),
}

/// A client from the environment: kubeconfig if there is one, else the pod's service account.
///
/// # Errors
///
/// When there is no usable configuration. Nothing is dialled yet.
pub async fn connect() -> Result<Client, ConnectError> {
    let config = Config::infer().await.map_err(ConnectError::Infer)?;
    let mut connector = connector();
    connector.enforce_http(false);
    let https = config
        .rustls_https_connector_with_connector(connector)
        .map_err(ConnectError::Use)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(ConnectError::Use)?)
        .map_err(BoxError::from)
        .service(HttpClient::builder(TokioExecutor::new()).build(https));
    Ok(Client::new(service, config.default_namespace))
}

/// Dials and notices dead peers soon.
#[must_use]
pub fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(DIAL));
    connector.set_keepalive(Some(Duration::from_secs(1)));
    connector.set_keepalive_interval(Some(Duration::from_secs(1)));
    connector.set_keepalive_retries(Some(2));
    connector.set_tcp_user_timeout(Some(SILENCE));
    connector
}

/// From 50 ms to a second: the API server is this mesh's own, and seconds count.
#[derive(Clone, Debug, Default)]
pub struct Impatient {
    tries: u32,
}

impl Iterator for Impatient {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = Duration::from_millis(50 << self.tries.min(4));
        self.tries += 1;
        Some(delay.min(Duration::from_secs(1)))
    }
}

impl Backoff for Impatient {
    fn reset(&mut self) {
        self.tries = 0;
    }
}
