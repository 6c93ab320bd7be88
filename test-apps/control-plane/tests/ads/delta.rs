//! The delta form: what a client of our own is sent, beside one of the state of the world.

use crate::replica::{Replica, replica, replica_at, world};
use crate::{Client, PATIENCE};
use control_plane::snapshot::Kind;
use control_plane::world::{Services, World};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

struct DeltaClient {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl DeltaClient {
    async fn connect(replica: &Replica, token: &str) -> Self {
        let channel = Channel::from_shared(format!("http://{}", replica.address))
            .expect("a URI")
            .connect()
            .await
            .expect("listens");
        let (requests, receiver) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(receiver));
        let token = format!("Bearer mesh-workloads/{token}");
        let value = token.parse().expect("a header value");
        request.metadata_mut().insert("authorization", value);
        let mut service = AggregatedDiscoveryServiceClient::new(channel);
        let response = service.delta_aggregated_resources(request);
        let response = tokio::time::timeout(PATIENCE, response).await;
        Self {
            requests,
            responses: response.expect("in time").expect("admitted").into_inner(),
        }
    }

    async fn ask(&self, kind: Kind, names: &[&str], held: BTreeMap<String, String>) {
        self.send(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            initial_resource_versions: held.into_iter().collect(),
            ..DeltaDiscoveryRequest::default()
        })
        .await;
    }

    async fn send(&self, request: DeltaDiscoveryRequest) {
        let sent = self.requests.send(request).await;
        sent.expect("the stream is open");
    }

    /// The next response, acknowledged.
    async fn next(&mut self) -> DeltaDiscoveryResponse {
        let message = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        let response = message
            .expect("in time")
            .expect("no error")
            .expect("a response");
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        })
        .await;
        response
    }
}

fn versions(resources: &[Resource]) -> BTreeMap<String, String> {
    let version = |resource: &Resource| (resource.name.clone(), resource.version.clone());
    resources.iter().map(version).collect()
}

fn without_services(world: World) -> World {
    World {
        services: Arc::new(Services::new(BTreeMap::new())),
        ..world
    }
}

/// Where no TLS is spoken, since secrets are fetched in the form of the stream.
#[tokio::test]
async fn both_forms_are_sent_the_same_resources() {
    let replica = replica(world("on")).await;
    let mut delta = DeltaClient::connect(&replica, "inside").await;
    let mut whole = Client::connect(replica.address, "mesh-workloads/inside")
        .await
        .expect("admitted");
    for (kind, names) in [
        (Kind::Clusters, vec![]),
        (Kind::Listeners, vec![]),
        (Kind::Routes, vec!["outbound"]),
        (Kind::Runtime, vec!["mesh"]),
    ] {
        delta.ask(kind, &names, BTreeMap::new()).await;
        whole.ask(kind, &names, "", None).await;
        let (changed, state) = (delta.next().await, whole.next().await);
        whole.ask(kind, &names, &state.nonce, None).await;
        assert_eq!(changed.system_version_info, state.version_info);
        let carried: Vec<_> = changed.resources.into_iter().map(|r| r.resource).collect();
        let expected: Vec<_> = state.resources.into_iter().map(Some).collect();
        assert!(!expected.is_empty());
        assert_eq!(carried, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn only_what_changes_is_sent_and_what_goes_is_told() {
    let replica = replica(world("on")).await;
    let mut client = DeltaClient::connect(&replica, "inside").await;
    client.ask(Kind::Clusters, &[], BTreeMap::new()).await;
    let all = client.next().await;
    client.ask(Kind::Runtime, &["mesh"], BTreeMap::new()).await;
    assert_eq!(client.next().await.resources.len(), 1);

    replica.store.publish(Arc::new(world("off")));
    let changed = client.next().await;
    assert_eq!(changed.type_url, Kind::Runtime.url());

    let changed = without_services(world("off"));
    replica.store.publish(Arc::new(changed));
    let gone = client.next().await;
    assert_eq!(gone.type_url, Kind::Clusters.url());
    assert_eq!(gone.resources, []);
    let known = versions(&all.resources);
    assert!(!gone.removed_resources.is_empty());
    for name in gone.removed_resources {
        assert!(known.contains_key(&name), "{name}");
    }
}

#[tokio::test]
async fn who_comes_back_with_what_it_has_is_not_sent_it_again() {
    let first = replica(world("on")).await;
    let mut client = DeltaClient::connect(&first, "inside").await;
    client.ask(Kind::Clusters, &[], BTreeMap::new()).await;
    client.ask(Kind::Runtime, &["mesh"], BTreeMap::new()).await;
    let clusters = versions(&client.next().await.resources);
    let runtime = versions(&client.next().await.resources);
    drop(client);

    // Another replica has the same versions, since they follow from the content.
    let elsewhere = ([127, 0, 0, 1], 0).into();
    let second = replica_at(elsewhere, "replica-1", world("on")).await;
    let mut client = DeltaClient::connect(&second, "inside").await;
    client.ask(Kind::Clusters, &[], clusters).await;
    client.ask(Kind::Runtime, &["mesh"], runtime.clone()).await;
    let greeting = client.next().await;
    assert_eq!(
        (greeting.resources.len(), greeting.removed_resources.len()),
        (0, 0)
    );
    assert_eq!(
        greeting.control_plane.map(|c| c.identifier).as_deref(),
        Some("replica-1")
    );
    second.store.publish(Arc::new(world("off")));
    let changed = client.next().await;
    assert_eq!(changed.type_url, Kind::Runtime.url());
    assert_ne!(versions(&changed.resources), runtime);
}
