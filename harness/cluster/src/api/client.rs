//! Clients from kubeconfigs.

use crate::{ClusterError, failed};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::Path;

/// A client from a kubeconfig file, for `context` or the current one.
pub(crate) async fn from_file(path: &Path, context: Option<&str>) -> Result<Client, ClusterError> {
    let parsed = Kubeconfig::read_from(path).map_err(failed(format!("read {}", path.display())))?;
    from_parsed(parsed, context).await
}

/// A client from the text of a kubeconfig, for its current context.
pub(crate) async fn from_text(text: &str) -> Result<Client, ClusterError> {
    let parsed = Kubeconfig::from_yaml(text).map_err(failed("read the kubeconfig"))?;
    from_parsed(parsed, None).await
}

/// A client from a kubeconfig that was read.
pub(crate) async fn from_parsed(
    parsed: Kubeconfig,
    context: Option<&str>,
) -> Result<Client, ClusterError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(parsed, &options)
        .await
        .map_err(failed("read the kubeconfig"))?;
    Client::try_from(config).map_err(failed("make a client for the API server"))
}
