//! The agent as sidecars see it: real Envoys over a real Unix socket, and an authority over TLS. `MESHPROOF_ENVOY` names
//! the Envoy; `cargo xtask test` sets it. The API server and what signs certificates are played by the test.

mod agent;
mod authority;
mod envoy;
mod program;
#[path = "../../src/stub.rs"]
mod stub;

use agent::{Bench, PATIENCE, until};
use envoy::{Api, Envoy, Peer};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use fake_api::prometheus::samples;
use hyper_util::rt::TokioIo;
use identity_api::SpiffeId;
use node_agent::behaviour::{Behaviour, Faithful};
use node_agent::certificate::Identity;
use node_agent::secret::TYPE_URL;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stub::Root;
use tokio::net::UnixStream;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

async fn served(envoy: &Envoy, client: &Identity) -> Peer {
    until("Envoy serves", async || envoy.greet(client).await).await
}

async fn another(envoy: &Envoy, client: &Identity, than: &Peer) -> Peer {
    until("Envoy shows another certificate", async || {
        let peer = envoy.greet(client).await?;
        (peer.serial != than.serial)
            .then_some(peer)
            .ok_or_else(|| "the same one".to_owned())
    })
    .await
}

fn root_of(bench: &Bench) -> Arc<Root> {
    bench
        .authority
        .state
        .root
        .lock()
        .expect("not poisoned")
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sidecar_has_the_certificate_of_its_own_pod() {
    let bench = Bench::new(LONG).await;
    let agent = bench.agent();
    let client = Bench::client(&root_of(&bench));
    let start = |token, api| Envoy::start(bench.folder.path(), bench.socket(), token, api);
    let (a, b) = (start("a", Api::StateOfTheWorld), start("b", Api::Delta));
    let (a, b) = tokio::join!(served(&a, &client), served(&b, &client));
    assert_eq!(
        a.names,
        ["spiffe://mesh.local/ns/mesh-workloads/sa/account-a"]
    );
    assert_eq!(
        b.names,
        ["spiffe://mesh.local/ns/mesh-workloads/sa/account-b"]
    );
    assert_eq!(agent.metrics.issued.load(Ordering::Relaxed), 2);
    // Each secret is asked for on a stream of its own.
    assert_eq!(agent.metrics.streams.load(Ordering::Relaxed), 4);
    agent
        .counts("every response is acknowledged", |m| &m.acknowledged, 4)
        .await;
    assert_eq!(agent.metrics.rejected.load(Ordering::Relaxed), 0);

    let took = agent.end().await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!bench.socket().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_on_the_stream_that_is_open() {
    let bench = Bench::new(Duration::from_secs(4)).await;
    let agent = bench.agent();
    let client = Bench::client(&root_of(&bench));
    for (token, api) in [("a", Api::StateOfTheWorld), ("b", Api::Delta)] {
        let envoy = Envoy::start(bench.folder.path(), bench.socket(), token, api);
        let first = served(&envoy, &client).await;
        let streams = agent.metrics.streams_total.load(Ordering::Relaxed);
        let second = another(&envoy, &client, &first).await;
        another(&envoy, &client, &second).await;
        assert_eq!(first.names, second.names);
        assert_eq!(agent.metrics.streams_total.load(Ordering::Relaxed), streams);
    }
    assert_eq!(agent.metrics.rejected.load(Ordering::Relaxed), 0);
    agent.end().await;
}

struct Ending;

impl Behaviour for Ending {
    fn keeps_streams(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_with_its_certificate_is_made_again() {
    let bench = Bench::new(Duration::from_secs(4)).await;
    let agent = bench.agent_with(Ending);
    let client = Bench::client(&root_of(&bench));
    for (token, api) in [("a", Api::StateOfTheWorld), ("b", Api::Delta)] {
        let envoy = Envoy::start(bench.folder.path(), bench.socket(), token, api);
        let first = served(&envoy, &client).await;
        let streams = agent.metrics.streams_total.load(Ordering::Relaxed);
        another(&envoy, &client, &first).await;
        agent
            .counts("it connects again", |m| &m.streams_total, streams + 1)
            .await;
    }
    assert_eq!(agent.metrics.rejected.load(Ordering::Relaxed), 0);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_stays_while_the_authority_is_away() {
    let mut bench = Bench::new(Duration::from_secs(2)).await;
    let agent = bench.agent();
    let client = Bench::client(&root_of(&bench));
    let envoy = Envoy::start(
        bench.folder.path(),
        bench.socket(),
        "a",
        Api::StateOfTheWorld,
    );
    served(&envoy, &client).await;
    bench.authority.go().await;
    agent.counts("renewals fail", |m| &m.failures, 3).await;
    let last = served(&envoy, &client).await;
    agent.counts("renewals fail", |m| &m.failures, 6).await;
    assert_eq!(served(&envoy, &client).await, last);
    assert_eq!(agent.metrics.streams.load(Ordering::Relaxed), 2);
    bench.authority.come().await;
    another(&envoy, &client, &last).await;
    agent
        .counts(
            "the bundle is watched again",
            |m| &m.bundle_watch_failures,
            1,
        )
        .await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_rolled_without_a_moment_in_which_nobody_is_trusted() {
    let bench = Bench::new(Duration::from_secs(4)).await;
    let agent = bench.agent();
    let old = root_of(&bench);
    let new = Arc::new(Root::new("root"));
    let clients = [Bench::client(&old), Bench::client(&new)];
    let envoy = Envoy::start(
        bench.folder.path(),
        bench.socket(),
        "a",
        Api::StateOfTheWorld,
    );
    let first = served(&envoy, &clients[0]).await;
    assert!(envoy.greet(&clients[1]).await.is_err(), "not trusted yet");

    let state = &bench.authority.state;
    state
        .bundle
        .send_replace(vec![old.der.clone(), new.der.clone()]);
    served(&envoy, &clients[1]).await;
    envoy.greet(&clients[0]).await.expect("still trusted");
    *state.root.lock().expect("not poisoned") = new.clone();
    another(&envoy, &clients[0], &first).await;
    state.bundle.send_replace(vec![new.der.clone()]);
    until(
        "the old root is not trusted any more",
        async || match envoy.greet(&clients[0]).await {
            Ok(_) => Err("still trusted".to_owned()),
            Err(_) => Ok(()),
        },
    )
    .await;
    envoy.greet(&clients[1]).await.expect("trusted");
    assert_eq!(agent.metrics.rejected.load(Ordering::Relaxed), 0);
    assert_eq!(agent.metrics.streams_total.load(Ordering::Relaxed), 2);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_removed_is_bound_again_and_an_agent_may_be_replaced() {
    let bench = Bench::new(LONG).await;
    let agent = bench.agent();
    let client = Bench::client(&root_of(&bench));
    let start = |token| Envoy::start(bench.folder.path(), bench.socket(), token, Api::Delta);
    let a = start("a");
    let first = served(&a, &client).await;
    std::fs::remove_file(bench.socket()).expect("was there");
    agent
        .counts("the socket is bound again", |m| &m.bound, 2)
        .await;
    let b = start("b");
    served(&b, &client).await;
    assert_eq!(served(&a, &client).await, first, "its stream went on");

    agent.end().await;
    assert_eq!(served(&a, &client).await, first, "it goes on without");
    let agent = bench.agent();
    agent.counts("both connect again", |m| &m.streams, 4).await;
    another(&a, &client, &first).await;
    // Both have brought the trust bundle along, and wait for nothing before the certificate.
    assert_eq!(agent.metrics.rootless.load(Ordering::Relaxed), 0);
    agent.end().await;
}

async fn dial(bench: &Bench, token: &str) -> (SecretDiscoveryServiceClient<Channel>, String) {
    let socket: PathBuf = bench.socket().to_owned();
    let channel = until("the agent listens", async || {
        let socket = socket.clone();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://agent");
        let channel = endpoint.connect_with_connector(connector).await;
        channel.map_err(|error| format!("{error:?}"))
    })
    .await;
    (
        SecretDiscoveryServiceClient::new(channel),
        format!("Bearer {token}"),
    )
}

async fn refusal(bench: &Bench, token: &str) -> Status {
    let (mut client, bearer) = dial(bench, token).await;
    let mut request = Request::new(futures::stream::pending::<DiscoveryRequest>());
    if !token.is_empty() {
        let value = bearer.parse().expect("a header value");
        request.metadata_mut().insert("authorization", value);
    }
    let answer = tokio::time::timeout(PATIENCE, client.stream_secrets(request)).await;
    answer.expect("an answer").expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_prove_who_it_is_gets_nothing() {
    let bench = Bench::new(LONG).await;
    let agent = bench.agent();
    for (token, code, cause) in [
        ("", Code::Unauthenticated, "no bearer token"),
        ("nonsense", Code::Unauthenticated, "not a token"),
        ("outside", Code::Unauthenticated, "another audience"),
        ("c", Code::PermissionDenied, "node `node-2`"),
    ] {
        let status = refusal(&bench, token).await;
        assert_eq!(status.code(), code, "{token}: {status}");
        assert!(status.message().contains(cause), "{token}: {status}");
    }
    let client = Bench::client(&root_of(&bench));
    let envoy = Envoy::start(bench.folder.path(), bench.socket(), "nonsense", Api::Delta);
    agent
        .counts("Envoy is refused, too", |m| &m.refused, 8)
        .await;
    assert!(envoy.greet(&client).await.is_err());
    assert_eq!(agent.metrics.issued.load(Ordering::Relaxed), 0);
    assert_eq!(agent.metrics.streams_total.load(Ordering::Relaxed), 0);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_issued_renewed_and_refused_is_counted() {
    let bench = Bench::new(Duration::from_secs(4)).await;
    let agent = bench.agent();
    let counts = || {
        let counted = samples(&agent.metrics.text());
        let count = |what: &str| counted[format!("mesh_node_agent_{what}_total").as_str()];
        ["issued", "renewals", "refused"].map(count)
    };
    assert_eq!(counts(), [0, 0, 0]);
    refusal(&bench, "nonsense").await;
    assert_eq!(counts(), [0, 0, 1]);
    let client = Bench::client(&root_of(&bench));
    let envoy = Envoy::start(bench.folder.path(), bench.socket(), "a", Api::Delta);
    let first = served(&envoy, &client).await;
    assert!(counts()[0] >= 1, "{:?}", counts());
    another(&envoy, &client, &first).await;
    // Counted when it is on its way.
    agent.counts("it is renewed", |m| &m.renewals, 1).await;
    let [issued, renewals, refused] = counts();
    assert!(issued >= 2 && renewals >= 1, "{:?}", counts());
    assert_eq!(refused, 1);
    agent.end().await;
}

/// Serves something else before it goes.
struct Parting;

impl Behaviour for Parting {
    fn serves_last(&self, id: &SpiffeId, held: &Arc<Identity>) -> Arc<Identity> {
        let expected = "spiffe://mesh.local/ns/mesh-workloads/sa/account-a";
        assert_eq!(id.to_string(), expected);
        Arc::new(Identity {
            version: "last".to_owned(),
            ..Identity::clone(held)
        })
    }
}

/// The versions that a client which asks for a certificate is sent by an agent that is told to end after the first, and how
/// the stream ends.
async fn versions_until_the_end(behaviour: impl Behaviour) -> (Vec<String>, Code) {
    let bench = Bench::new(LONG).await;
    let agent = bench.agent_with(behaviour);
    let (mut client, bearer) = dial(&bench, "a").await;
    let (asks, asked) = tokio::sync::mpsc::unbounded_channel();
    let first = DeltaDiscoveryRequest {
        type_url: TYPE_URL.to_owned(),
        resource_names_subscribe: vec!["default".to_owned()],
        ..DeltaDiscoveryRequest::default()
    };
    asks.send(first).expect("open");
    let mut request = Request::new(UnboundedReceiverStream::new(asked));
    let value = bearer.parse().expect("a header value");
    request.metadata_mut().insert("authorization", value);
    let answer = client.delta_secrets(request).await;
    let mut responses = answer.expect("admitted").into_inner();
    let mut versions = Vec::new();
    let mut note = |response: Option<DeltaDiscoveryResponse>| {
        let response = response.expect("a response");
        versions.extend(response.resources.into_iter().map(|one| one.version));
        response.nonce
    };
    let response = tokio::time::timeout(PATIENCE, responses.message()).await;
    let nonce = note(response.expect("in time").expect("the first"));
    let acknowledgement = DeltaDiscoveryRequest {
        type_url: TYPE_URL.to_owned(),
        response_nonce: nonce,
        ..DeltaDiscoveryRequest::default()
    };
    asks.send(acknowledgement).expect("open");
    agent
        .counts("the first is acknowledged", |m| &m.acknowledged, 1)
        .await;
    let rest = async {
        loop {
            let response = tokio::time::timeout(PATIENCE, responses.message()).await;
            match response.expect("in time") {
                Ok(response) => {
                    note(response);
                }
                Err(status) => return status.code(),
            }
        }
    };
    let (_, code) = tokio::join!(agent.end(), rest);
    (versions, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_goes_leaves_its_sidecars_what_they_have() {
    let (versions, code) = versions_until_the_end(Faithful).await;
    assert_eq!((versions.len(), code), (1, Code::Unavailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_behaviour_may_serve_something_else_before_the_agent_goes() {
    let (versions, code) = versions_until_the_end(Parting).await;
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert_eq!((versions[1].as_str(), code), ("last", Code::Unavailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_and_types_are_not_served() {
    let bench = Bench::new(LONG).await;
    let agent = bench.agent();
    let (mut client, bearer) = dial(&bench, "a").await;
    let mut open = async |url: &str, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let first = DeltaDiscoveryRequest {
            type_url: url.to_owned(),
            resource_names_subscribe: names,
            ..DeltaDiscoveryRequest::default()
        };
        use futures::StreamExt as _;
        let requests = futures::stream::iter([first]).chain(futures::stream::pending());
        let mut request = Request::new(requests);
        let value = bearer.parse().expect("a header value");
        request.metadata_mut().insert("authorization", value);
        let mut responses = client
            .delta_secrets(request)
            .await
            .expect("admitted")
            .into_inner();
        let message = tokio::time::timeout(PATIENCE, responses.message()).await;
        message
            .expect("in time")
            .map(|message| message.expect("a response"))
    };
    let response = open(TYPE_URL, &["file:/etc/passwd"])
        .await
        .expect("a response");
    assert_eq!(response.removed_resources, ["file:/etc/passwd"]);
    assert!(response.resources.is_empty());
    let other = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    let status = open(other, &["default"]).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    let fetched = client.fetch_secrets(DiscoveryRequest::default()).await;
    assert_eq!(fetched.expect_err("refused").code(), Code::Unimplemented);
    agent.end().await;
}
