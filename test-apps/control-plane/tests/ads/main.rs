//! The ADS service as a client sees it, over loopback, with identities told by the test; [`delta`] in that form,
//! [`envoy`] with the real client, [`clients`] with clients of that, [`callees`] with callees of that, and [`inbound`] with
//! an application behind it.

mod authority;
mod callees;
mod clients;
mod delta;
mod envoy;
mod flaws;
mod inbound;
mod replica;
mod sidecar;

use control_plane::snapshot::Kind;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::runtime::v3::Runtime;
use envoy_types::pb::google::rpc::Status as RpcStatus;
use prost::Message as _;
use replica::{replica, world};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

const PATIENCE: Duration = Duration::from_secs(10);

struct Client {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Client {
    async fn connect(address: SocketAddr, token: &str) -> Result<Self, tonic::Status> {
        let channel = Channel::from_shared(format!("http://{address}"))
            .expect("a URI")
            .connect()
            .await
            .expect("listens");
        let (requests, receiver) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().expect("a header value");
            request.metadata_mut().insert("authorization", value);
        }
        let mut service = AggregatedDiscoveryServiceClient::new(channel);
        let response = service.stream_aggregated_resources(request);
        let responses = tokio::time::timeout(PATIENCE, response)
            .await
            .expect("an answer")?
            .into_inner();
        Ok(Self {
            requests,
            responses,
        })
    }

    async fn ask(&self, kind: Kind, names: &[&str], nonce: &str, error: Option<&str>) {
        let request = DiscoveryRequest {
            type_url: kind.url().into(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: nonce.into(),
            error_detail: error.map(|message| RpcStatus {
                message: message.into(),
                ..RpcStatus::default()
            }),
            ..DiscoveryRequest::default()
        };
        self.requests
            .send(request)
            .await
            .expect("the stream is open");
    }

    async fn next(&mut self) -> DiscoveryResponse {
        let message = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        message
            .expect("in time")
            .expect("no error")
            .expect("a response")
    }
}

fn toggles(response: &DiscoveryResponse) -> usize {
    let runtime = Runtime::decode(response.resources[0].value.as_slice()).expect("a runtime layer");
    runtime.layer.expect("a layer").fields.len()
}

#[tokio::test]
async fn scope_follows_identity_and_updates_are_pushed_at_once() {
    let replica = replica(world("on")).await;
    let mut inside = Client::connect(replica.address, "mesh-workloads/inside")
        .await
        .expect("admitted");
    let mut outside = Client::connect(replica.address, "mesh-workloads/outside")
        .await
        .expect("admitted");
    for (client, expected) in [(&mut inside, 1), (&mut outside, 0)] {
        client.ask(Kind::Runtime, &["mesh"], "", None).await;
        let response = client.next().await;
        assert_eq!(toggles(&response), expected);
        assert_eq!(
            response
                .control_plane
                .as_ref()
                .map(|c| c.identifier.as_str()),
            Some("replica-0")
        );
        client
            .ask(Kind::Runtime, &["mesh"], &response.nonce, None)
            .await;
    }

    replica.store.publish(Arc::new(world("off")));
    let updated = inside.next().await;
    inside
        .ask(Kind::Runtime, &["mesh"], &updated.nonce, Some("no"))
        .await;
    replica.store.publish(Arc::new(world("on")));
    let restored = inside.next().await;
    assert_ne!(updated.version_info, restored.version_info);

    // A client out of scope is sent what is for it, and that shows that nothing else was.
    outside.ask(Kind::Clusters, &[], "", None).await;
    assert_eq!(outside.next().await.type_url, Kind::Clusters.url());
    assert_eq!(replica.shared.acknowledgements.report().recipients.len(), 2);
}

#[tokio::test]
async fn who_cannot_prove_who_it_is_gets_nothing() {
    let replica = replica(world("on")).await;
    let refusal = |token: &'static str| {
        let address = replica.address;
        async move {
            Client::connect(address, token)
                .await
                .err()
                .map(|status| status.code())
        }
    };
    assert_eq!(refusal("").await, Some(Code::Unauthenticated));
    assert_eq!(refusal("nonsense").await, Some(Code::Unauthenticated));
    assert_eq!(
        refusal("elsewhere/inside").await,
        Some(Code::PermissionDenied)
    );
}

#[tokio::test]
async fn a_pod_that_is_not_known_yet_is_waited_for() {
    let mut early = world("on");
    let late = early.sidecars.remove("inside").expect("is there");
    let replica = replica(early.clone()).await;
    let connects = tokio::spawn(Client::connect(replica.address, "mesh-workloads/inside"));
    early.sidecars.insert("inside".into(), late);
    replica.store.publish(Arc::new(early));
    assert!(connects.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_replica_that_goes_ends_its_streams() {
    let replica = replica(world("on")).await;
    let mut client = Client::connect(replica.address, "mesh-workloads/inside")
        .await
        .expect("admitted");
    replica.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, client.responses.message())
        .await
        .expect("in time");
    assert_eq!(
        ended.err().map(|status| status.code()),
        Some(Code::Unavailable)
    );
}
