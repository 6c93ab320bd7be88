//! A Kubernetes client from the node's certificates.

use crate::NodeConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::json;
use std::time::Duration;

/// The credentials make no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not the form of a kubeconfig.
    #[error("understand the credentials")]
    Form(#[source] serde_json::Error),
    /// Contents that do not fit together.
    #[error("use the credentials")]
    Use(#[source] Box<KubeconfigError>),
    /// TLS.
    #[error("prepare TLS")]
    Tls(#[source] Box<kube::Error>),
}

/// How long a request may be without an answer. A connection that was cut is given up then, and the next attempt
/// takes a new one.
const PATIENCE: Duration = Duration::from_secs(3);

/// Two clients, for requests and for watches; nothing is sent yet.
pub(crate) struct Clients {
    pub(crate) requests: kube::Client,
    pub(crate) watches: kube::Client,
}

/// Makes the clients.
pub(crate) async fn connect(config: &NodeConfig) -> Result<Clients, ClientError> {
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {
            "server": config.api_server,
            "certificate-authority-data": STANDARD.encode(&config.ca_pem),
        }}],
        "users": [{"name": "node", "user": {
            "client-certificate-data": STANDARD.encode(&config.client_cert_pem),
            "client-key-data": STANDARD.encode(&config.client_key_pem),
        }}],
        "contexts": [{"name": "node", "context": {"cluster": "cluster", "user": "node"}}],
        "current-context": "node",
    }))
    .map_err(ClientError::Form)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| ClientError::Use(Box::new(error)))?;
    config.connect_timeout = Some(Duration::from_secs(2));
    let make =
        |config| kube::Client::try_from(config).map_err(|error| ClientError::Tls(Box::new(error)));
    let watches = make(config.clone())?;
    config.read_timeout = Some(PATIENCE);
    // Counted from the request, not from when its connection was last used.
    config.reset_reader_on_write = true;
    Ok(Clients {
        requests: make(config)?,
        watches,
    })
}
