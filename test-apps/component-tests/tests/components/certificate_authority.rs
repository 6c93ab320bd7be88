//! The certificate authority and its key service, from the image that both are in, with a real API server and its store.

use component_tests::certificate_authority::{Authorities, Replica, agent_pod, pod};
use component_tests::kubernetes::{Kubernetes, NAMESPACE, apply};
use component_tests::session::with_engine;
use component_tests::wait;
use identity_api::authority::{
    AUDIENCE, IssueRequest, PodReference, TrustBundle, WatchTrustBundleRequest,
};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request, Status};

/// For the authority to notice something, or to do what it is there for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where pods get certificates.
const WORKLOADS: &str = "mesh-workloads";

/// What a pod of account `checkout` is called.
const CHECKOUT: &str = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout";

/// Two nodes, an agent and somebody else on the first, and a pod on each.
struct Mesh {
    client: Client,
    /// The agent's token.
    agent: String,
    here: PodReference,
    there: PodReference,
}

impl Mesh {
    async fn make(kubernetes: &Kubernetes) -> Self {
        let client = kubernetes.administrator().await.expect("a client");
        for account in ["node-agent", "stranger"] {
            kubernetes.token(account).await;
        }
        let objects = [
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-b"}}),
            agent_pod("node-agent", "node-agent", "node-a"),
            agent_pod("stranger", "stranger", "node-a"),
            pod(WORKLOADS, "checkout-a", "checkout", "node-a"),
            pod(WORKLOADS, "checkout-b", "checkout", "node-b"),
        ];
        for object in objects {
            let object = serde_json::from_value(object).expect("an object");
            apply(&client, &object).await;
        }
        Self {
            agent: bound(kubernetes, "node-agent", AUDIENCE).await,
            here: reference(&client, "checkout-a").await,
            there: reference(&client, "checkout-b").await,
            client,
        }
    }

    /// The certificate for the pod on the agent's node.
    async fn certificate(&self, replica: &Replica) -> Result<Vec<Vec<u8>>, Status> {
        issue(replica, &self.agent, &self.here, &csr(CHECKOUT)).await
    }

    async fn published(&self) -> Vec<Vec<u8>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), WORKLOADS);
        let map = maps.get("mesh-trust-bundle").await.expect("the bundle");
        let text = map.data.expect("data").remove("roots.pem").expect("roots");
        let roots = CertificateDer::pem_slice_iter(text.as_bytes());
        roots
            .map(|root| root.expect("a certificate").to_vec())
            .collect()
    }

    async fn desire(&self, desired: serde_json::Value) {
        self.write(json!({"desired": desired.to_string()})).await;
    }

    /// Into the authority's ConfigMap.
    async fn write(&self, data: serde_json::Value) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"data": data}));
        maps.patch("certificate-authority", &PatchParams::default(), &patch)
            .await
            .expect("say what is wanted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_issues_for_the_pods_of_the_agents_node_and_for_nobody_else() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let authorities = Authorities::deployed(session, &kubernetes).await;
        let mesh = Mesh::make(&kubernetes).await;
        let replica = &authorities.replicas[0];

        // Both started at once and agree.
        let roots = mesh.published().await;
        assert_eq!(roots.len(), 1);
        for replica in &authorities.replicas {
            let chain = mesh.certificate(replica).await.expect("a certificate");
            assert_eq!(verified(&roots, &chain), Ok(()));
            let mut bundles = watch(replica, &mesh.agent).await;
            let bundle = bundles.message().await.expect("no error").expect("one");
            assert_eq!(bundle.roots, roots);
        }

        let stranger = bound(&kubernetes, "stranger", AUDIENCE).await;
        let for_another = bound(&kubernetes, "node-agent", "mesh-control-plane").await;
        let unbound = TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            ..TokenRequestSpec::default()
        };
        let unbound = kubernetes.token_of("node-agent", unbound).await;
        let other = "spiffe://mesh.local/ns/mesh-workloads/sa/inventory";
        let abroad = "spiffe://other.local/ns/mesh-workloads/sa/checkout";
        let mut another_life = mesh.here.clone();
        another_life.name = "checkout-b".to_owned();
        let mut of_the_mesh = mesh.here.clone();
        of_the_mesh.namespace = NAMESPACE.to_owned();
        let mut tampered = csr(CHECKOUT);
        *tampered.last_mut().expect("not empty") ^= 1;
        let (agent, here, own) = (&mesh.agent, &mesh.here, csr(CHECKOUT));
        let denied = Code::PermissionDenied;
        let table = [
            (&stranger, here, &own, denied, "`mesh-system/stranger`"),
            (&for_another, here, &own, Code::Unauthenticated, "not valid"),
            (&unbound, here, &own, Code::Unauthenticated, "not bound"),
            (
                agent,
                &mesh.there,
                &own,
                denied,
                "does not run on node node-a",
            ),
            (agent, &another_life, &own, denied, "is not called"),
            (agent, &of_the_mesh, &own, denied, "namespace `mesh-system`"),
            (agent, here, &csr(other), denied, "instead of"),
            (agent, here, &csr(abroad), denied, "instead of"),
            (agent, here, &tampered, Code::InvalidArgument, "signature"),
        ];
        for (token, pod, csr, code, reason) in table {
            let refusal = issue(replica, token, pod, csr).await.expect_err(reason);
            assert_eq!(refusal.code(), code, "{refusal:?}");
            assert!(refusal.message().contains(reason), "{refusal:?}");
        }
        let (status, counted) = replica.answer("/metrics").await.expect("metrics");
        assert_eq!(status, 200, "{counted}");
        for (what, count) in [("issued", 1), ("refused", table.len())] {
            let line = format!("\nmesh_certificate_authority_{what}_total {count}\n");
            assert!(counted.contains(&line), "{line} is not in {counted}");
        }
        let log = replica.log().await;
        for token in [&mesh.agent, &stranger] {
            assert!(
                !log.contains(token.as_str()),
                "it writes tokens into its log"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_root_is_trusted_before_anything_leads_to_it() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let authorities = Authorities::deployed(session, &kubernetes).await;
        let mesh = Mesh::make(&kubernetes).await;
        let replica = &authorities.replicas[0];
        let mut bundles = watch(replica, &mesh.agent).await;
        let old = next_roots(&mut bundles).await;
        let before = mesh.certificate(replica).await.expect("a certificate");

        mesh.desire(json!({"root": 2, "intermediate": 1, "trust": [1]}))
            .await;
        let both = next_roots(&mut bundles).await;
        assert_eq!(both.len(), 2);
        assert_eq!(both[0], old[0]);
        let new = vec![both[1].clone()];
        // Whenever it changes over, nobody ever gets what the bundle does not lead to.
        let after = wait::until("certificates lead to the new root", PATIENCE, async || {
            let chain = mesh.certificate(replica).await.map_err(|s| s.to_string())?;
            assert_eq!(verified(&both, &chain), Ok(()));
            verified(&new, &chain)?;
            Ok(chain)
        })
        .await;
        assert_eq!(verified(&mesh.published().await, &before), Ok(()));

        mesh.desire(json!({"root": 2, "intermediate": 1, "trust": [2]}))
            .await;
        assert_eq!(next_roots(&mut bundles).await, new);
        assert_eq!(verified(&new, &after), Ok(()));
        assert!(verified(&new, &before).is_err());
        for replica in &authorities.replicas {
            let chain = mesh.certificate(replica).await.expect("a certificate");
            assert_eq!(verified(&new, &chain), Ok(()));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_of_somebody_elses_is_trusted_as_long_as_it_is_named() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let authorities = Authorities::deployed(session, &kubernetes).await;
        let mesh = Mesh::make(&kubernetes).await;
        let replica = &authorities.replicas[0];
        let mut bundles = watch(replica, &mesh.agent).await;
        let own = next_roots(&mut bundles).await;

        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root");
        let desired = |partners: &[&str]| {
            json!({"root": 1, "intermediate": 1, "trust": [1], "partners": partners}).to_string()
        };
        let named = desired(&["bank"]);
        mesh.write(json!({"partner-bank.pem": root.pem(), "desired": named}))
            .await;
        let both = next_roots(&mut bundles).await;
        assert_eq!(both, [own[0].clone(), root.der().to_vec()]);
        wait::until("it is published", PATIENCE, async || {
            let published = mesh.published().await;
            (published == both)
                .then_some(())
                .ok_or_else(|| "not yet".to_owned())
        })
        .await;

        mesh.write(json!({"desired": desired(&[])})).await;
        assert_eq!(next_roots(&mut bundles).await, own);
        let chain = mesh.certificate(replica).await.expect("a certificate");
        assert_eq!(verified(&own, &chain), Ok(()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trust_bundle_is_in_every_namespace_and_comes_back() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let client = kubernetes.administrator().await.expect("a client");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let make = async |name: &str| {
            let object = json!({"metadata": {"name": name}});
            let object = serde_json::from_value(object).expect("a namespace");
            let made = namespaces.create(&PostParams::default(), &object).await;
            made.expect("a namespace");
        };
        let maps = |place: &str| -> Api<ConfigMap> { Api::namespaced(client.clone(), place) };
        make("before").await;
        let _authorities = Authorities::deployed(session, &kubernetes).await;
        let workloads = maps(WORKLOADS).get("mesh-trust-bundle").await;
        let published = workloads.expect("the bundle").data;
        let is_in = async |place: &str| {
            wait::until(&format!("the bundle is in {place}"), PATIENCE, async || {
                let map = maps(place).get("mesh-trust-bundle").await;
                let map = map.map_err(|error| error.to_string())?;
                if map.data == published {
                    Ok(())
                } else {
                    Err(format!("{:?}", map.data))
                }
            })
            .await;
        };
        make("after").await;
        for place in [NAMESPACE, "default", "before", "after"] {
            is_in(place).await;
        }

        let take_away = async |place: &str| {
            let maps = maps(place);
            let params = DeleteParams::default();
            let deleted = maps.delete("mesh-trust-bundle", &params).await;
            deleted.expect("deleted");
        };
        let (change, params) = (maps("before"), PatchParams::default());
        let patch = Patch::Merge(json!({"data": {"roots.pem": "mine"}}));
        let changed = change.patch("mesh-trust-bundle", &params, &patch).await;
        changed.expect("changed");
        take_away("after").await;
        is_in("before").await;
        is_in("after").await;

        // Nobody removes what is in a namespace here, so it goes for ever.
        let params = DeleteParams::default();
        let going = namespaces.delete("before", &params).await;
        going.expect("it goes");
        take_away("before").await;
        make("last").await;
        is_in("last").await;
        let left = maps("before").get_opt("mesh-trust-bundle").await;
        assert_eq!(left.expect("an answer"), None, "it is left alone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_service_it_is_not_ready_and_goes_on_with_the_same_keys() {
    with_engine(async |session| {
        let kubernetes = Kubernetes::start(session).await;
        let authorities = Authorities::deployed(session, &kubernetes).await;
        let mesh = Mesh::make(&kubernetes).await;
        let replica = &authorities.replicas[0];
        let roots = mesh.published().await;

        authorities.key_service.stop().await.expect("stop it");
        let refusal = mesh.certificate(replica).await.expect_err("no key service");
        assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
        assert!(refusal.message().contains("key service"), "{refusal:?}");
        wait::until("it is not ready", PATIENCE, async || {
            match replica.answer("/readyz").await? {
                (503, _) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;

        authorities.key_service.start().await.expect("start it");
        let chain = wait::until("it issues again", PATIENCE, async || {
            let issued = mesh.certificate(replica).await;
            issued.map_err(|status| status.to_string())
        })
        .await;
        assert_eq!(verified(&roots, &chain), Ok(()));
        assert_eq!(mesh.published().await, roots);
    })
    .await;
}

/// A token of a service account, bound to the pod of the same name.
async fn bound(kubernetes: &Kubernetes, name: &str, audience: &str) -> String {
    let client = kubernetes.administrator().await.expect("a client");
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let pod = pods.get(name).await.expect("its pod");
    let spec = TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name.to_owned()),
            uid: pod.metadata.uid,
        }),
        ..TokenRequestSpec::default()
    };
    kubernetes.token_of(name, spec).await
}

async fn reference(client: &Client, name: &str) -> PodReference {
    let pods: Api<Pod> = Api::namespaced(client.clone(), WORKLOADS);
    let pod = pods.get(name).await.expect("a pod");
    PodReference {
        namespace: WORKLOADS.to_owned(),
        name: name.to_owned(),
        uid: pod.metadata.uid.expect("a UID"),
    }
}

fn csr(name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.try_into().expect("ASCII"))];
    let key = KeyPair::generate().expect("a key");
    let request = params.serialize_request(&key).expect("a request");
    request.der().to_vec()
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

async fn issue(
    replica: &Replica,
    token: &str,
    pod: &PodReference,
    csr: &[u8],
) -> Result<Vec<Vec<u8>>, Status> {
    let request = IssueRequest {
        csr: csr.to_vec(),
        pod: pod.clone(),
        lifetime_seconds: 3600,
    };
    let reply = replica
        .client()
        .await
        .issue(with_token(request, token))
        .await?;
    Ok(reply.into_inner().chain)
}

async fn watch(replica: &Replica, token: &str) -> tonic::Streaming<TrustBundle> {
    let request = with_token(WatchTrustBundleRequest {}, token);
    let stream = replica.client().await.watch_trust_bundle(request).await;
    stream.expect("a stream").into_inner()
}

/// The roots that are told next.
async fn next_roots(bundles: &mut tonic::Streaming<TrustBundle>) -> Vec<Vec<u8>> {
    let bundle = tokio::time::timeout(PATIENCE, bundles.message()).await;
    bundle
        .expect("in time")
        .expect("no error")
        .expect("one")
        .roots
}

/// Verifies a chain as a server verifies that of a client, now.
fn verified(roots: &[Vec<u8>], chain: &[Vec<u8>]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let root = CertificateDer::from(root.clone());
        store.add(root).map_err(|error| error.to_string())?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(store))
        .build()
        .map_err(|error| error.to_string())?;
    let chain: Vec<_> = chain.iter().cloned().map(CertificateDer::from).collect();
    let (own, intermediates) = chain.split_first().ok_or("an empty chain")?;
    verifier
        .verify_client_cert(own, intermediates, UnixTime::now())
        .map(drop)
        .map_err(|error| error.to_string())
}
