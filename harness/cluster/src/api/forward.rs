//! Connections to pods by port-forward through the API server: one WebSocket for each, so many at a time do not wait
//! for each other, and one that broke is replaced by connecting again.

use crate::{ConnectError, PodAddress, PodStream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use std::io;
use std::time::Duration;

/// How long a refusal may take to arrive. The kubelet says nothing when a connection stands, and says that nobody
/// listens as soon as it knows; a refusal that comes later ends the stream.
const REFUSAL: Duration = Duration::from_millis(50);

/// Opens a byte stream to a port of a pod.
pub(crate) async fn connect(
    client: &Client,
    pod: &PodAddress,
    port: u16,
) -> Result<Box<dyn PodStream>, ConnectError> {
    let attempt = async {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
        let mut forwarder = pods
            .portforward(&pod.name, &[port])
            .await
            .map_err(io::Error::other)?;
        let stream = forwarder
            .take_stream(port)
            .ok_or_else(|| io::Error::other("the port was not forwarded"))?;
        if let Some(error) = forwarder.take_error(port)
            && let Ok(Some(reason)) = tokio::time::timeout(REFUSAL, error).await
        {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason));
        }
        Ok(stream)
    };
    match attempt.await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(source) => Err(ConnectError {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            port,
            source,
        }),
    }
}
