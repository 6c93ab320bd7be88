//! Calls over a stream that breaks, against a small probe on a local port.

use super::*;
use bytes::Bytes;
use futures::future::BoxFuture;
use harness_cluster::{Cluster, ClusterError, ConnectError, PodStream};
use harness_model::capability::Capability;
use harness_model::topology::{ClusterShape, DataCenter, Topology};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// A cluster with one pod, which is a local port.
struct OnePod {
    address: SocketAddr,
    topology: Topology,
}

impl Cluster for OnePod {
    fn client(&self) -> kube::Client {
        unreachable!("a prober does not speak to the API server")
    }
    fn kubeconfig(&self) -> Option<&Path> {
        None
    }
    fn topology(&self) -> &Topology {
        &self.topology
    }
    fn service_cidr(&self) -> &str {
        ""
    }
    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::new()
    }
    fn connect<'a>(
        &'a self,
        pod: &'a PodAddress,
        port: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.address).await;
            let stream = stream.map_err(|source| ConnectError {
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                port,
                source,
            })?;
            Ok(Box::new(stream) as Box<dyn PodStream>)
        })
    }
    fn load_images<'a>(
        &'a self,
        _: &'a [harness_cluster::ImageArchive],
    ) -> BoxFuture<'a, Result<harness_cluster::ImageNames, ClusterError>> {
        Box::pin(async { Ok(harness_cluster::ImageNames::new()) })
    }
    fn cut_zone<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }
    fn heal_zone<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }
    fn collect_diagnostics<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }
    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}

/// How the small probe treats a request.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers and keeps the connection.
    Keep,
    /// Answers and closes the connection, without saying so before.
    CloseAfter,
    /// Closes the connection without an answer.
    Silent,
    /// Refuses.
    Refuse,
}

async fn prober(manner: Manner) -> (Prober, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&connections), Arc::clone(&requests));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.0.fetch_add(1, Ordering::SeqCst);
            let requests = Arc::clone(&counted.1);
            let service = service_fn(move |_| {
                requests.fetch_add(1, Ordering::SeqCst);
                async move {
                    let body = serde_json::to_vec(&ReconnectReply { epoch: 7 }).unwrap();
                    let status = match manner {
                        Manner::Silent => return Err(std::io::Error::other("closed")),
                        Manner::Refuse => StatusCode::SERVICE_UNAVAILABLE,
                        Manner::Keep | Manner::CloseAfter => StatusCode::OK,
                    };
                    let mut response = Response::new(Full::new(Bytes::from(body)));
                    *response.status_mut() = status;
                    Ok(response)
                }
            });
            tokio::spawn(async move {
                let mut server = hyper::server::conn::http1::Builder::new();
                server.keep_alive(!matches!(manner, Manner::CloseAfter));
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
                Ok::<_, Infallible>(())
            });
        }
    });
    let cluster = OnePod {
        address,
        topology: Topology {
            name: String::new(),
            clusters: vec![ClusterShape {
                name: "one".to_owned(),
                data_centers: vec![DataCenter {
                    name: "alpha".to_owned(),
                    region: "north".to_owned(),
                    nodes: 1,
                }],
            }],
            latency: harness_model::topology::Latency::default(),
        },
    };
    let prober = Prober::new(
        Arc::new(Clusters::one(Arc::new(cluster))),
        Duration::from_secs(5),
    );
    (prober, connections, requests)
}

fn pod() -> PodAddress {
    PodAddress {
        cluster: "one".to_owned(),
        namespace: "mesh-workloads".to_owned(),
        name: "checkout-1".to_owned(),
        node: "n1".to_owned(),
        ip: "10.0.0.1".to_owned(),
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let (prober, connections, _) = prober(Manner::Keep).await;
    for _ in 0..3 {
        assert_eq!(prober.reconnect(&pod(), None).await.unwrap().epoch, 7);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced() {
    let (prober, connections, requests) = prober(Manner::CloseAfter).await;
    for _ in 0..3 {
        prober.reconnect(&pod(), None).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_act_that_may_have_happened_is_not_repeated() {
    let (prober, _, requests) = prober(Manner::Silent).await;
    let error = prober.reconnect(&pod(), None).await.unwrap_err();
    assert!(error.is_unreachable());
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_error_names_the_pod_the_act_and_the_reason() {
    let (prober, _, _) = prober(Manner::Refuse).await;
    let error = prober.reconnect(&pod(), None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "reconnect the sidecar (probe mesh-workloads/checkout-1)"
    );
    assert!(!error.is_unreachable());
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("503"), "{reason}");
}
