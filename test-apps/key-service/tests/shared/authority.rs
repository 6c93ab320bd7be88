//! The certificate authority's service in this process, in front of a key service; the test plays the API server.

use certificate_authority::authenticate::TokenReviews;
use certificate_authority::behaviour::Faithful;
use certificate_authority::certificate::{Authority, Draft};
use certificate_authority::keeping::Issuer;
use certificate_authority::keys::{INTERMEDIATE, Keys, ROOT};
use certificate_authority::ledger::Place;
use certificate_authority::pods::Pods;
use certificate_authority::service::Service;
use certificate_authority::settings::Settings;
use http_body_util::Full;
use identity_api::authority::service::certificate_authority_server::CertificateAuthority as _;
use identity_api::authority::{AUDIENCE, IssueReply, IssueRequest, PodReference};
use kube::Client;
use kube::client::Body;
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;
use tonic::{Request, Status};

const WORKLOADS: &str = "mesh-workloads";
const NODE: &str = "node-a";

/// The service, and a pod of its agent's node.
pub(crate) struct Front {
    service: Service,
}

impl Front {
    /// Makes a root and an intermediate with the key service.
    pub(crate) async fn new(keys: Keys) -> Self {
        let now = SystemTime::now();
        let key = keys.obtain(ROOT, 1).await.expect("made");
        let root = Draft::root("root", key, now);
        let root = keys.sign(&root, ROOT, 1).await.expect("signed");
        let root = Authority::read(&root.pem()).expect("an authority");
        let key = keys.obtain(INTERMEDIATE, 1).await.expect("made");
        let draft = Draft::intermediate("intermediate", key, &root, now);
        let draft = draft.expect("the root is valid");
        let intermediate = keys.sign(&draft, ROOT, 1).await.expect("signed");
        let intermediate = Authority::read(&intermediate.pem()).expect("an authority");
        let issuer = Issuer {
            place: Place {
                root: 1,
                intermediate: 1,
            },
            certificate: Arc::new(intermediate),
        };
        let settings = Settings::read(|name| match name {
            "POD_NAMESPACE" => Some("mesh-system".to_owned()),
            _ => None,
        })
        .expect("complete");
        let client = api();
        let pods = Pods::default();
        let following = pods.clone();
        tokio::spawn(following.follow(client.clone(), WORKLOADS.to_owned(), Arc::default()));
        let account = settings.node_agent_account.clone();
        let (_, issuers) = watch::channel(Some(Arc::new(issuer)));
        Self {
            service: Service {
                settings,
                behaviour: Arc::new(Faithful),
                reviews: TokenReviews::new(client, Arc::new(Faithful), account),
                pods,
                keys,
                issuer: issuers,
                announcements: Arc::default(),
                doubt: Arc::default(),
                metrics: Arc::default(),
                shutdown: tokio_util::sync::CancellationToken::new(),
            },
        }
    }

    /// What it tells Prometheus.
    pub(crate) fn metrics(&self) -> String {
        let streams = self.service.announcements.streams_open();
        self.service.metrics.text(streams)
    }

    /// What the agent of the pod's node is answered.
    pub(crate) async fn issue(&self) -> Result<IssueReply, Status> {
        let name = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout";
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(name.try_into().expect("ASCII"))];
        let key = KeyPair::generate().expect("a key");
        let csr = params.serialize_request(&key).expect("a request");
        let mut request = Request::new(IssueRequest {
            csr: csr.der().to_vec(),
            pod: PodReference {
                namespace: WORKLOADS.to_owned(),
                name: "checkout-0".to_owned(),
                uid: "u".to_owned(),
            },
            lifetime_seconds: 60,
        });
        let token = "Bearer of-the-agent".parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
        let reply = self.service.issue(request).await?;
        Ok(reply.into_inner())
    }
}

/// An API server that knows the agent by any token, and one pod.
fn api() -> Client {
    let service = tower::service_fn(|request: http::Request<Body>| async move {
        let query = request.uri().query().unwrap_or_default();
        let body = match request.uri().path() {
            "/apis/authentication.k8s.io/v1/tokenreviews" => review(),
            "/api/v1/namespaces/mesh-workloads/pods" if query.contains("watch=true") => {
                // There is no news.
                std::future::pending().await
            }
            "/api/v1/namespaces/mesh-workloads/pods" => json!({
                "kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                "items": [{
                    "metadata": {"name": "checkout-0", "uid": "u"},
                    "spec": {"nodeName": NODE, "serviceAccountName": "checkout", "containers": []},
                }],
            }),
            other => panic!("{other} is not expected"),
        };
        let body = Full::new(bytes::Bytes::from(body.to_string()));
        Ok::<_, Infallible>(http::Response::new(body))
    });
    Client::new(service, "default")
}

fn review() -> Value {
    let extra = json!({
        "authentication.kubernetes.io/pod-name": ["node-agent-0"],
        "authentication.kubernetes.io/pod-uid": ["a"],
        "authentication.kubernetes.io/node-name": [NODE],
    });
    let user = json!({"username": "system:serviceaccount:mesh-system:node-agent", "extra": extra});
    let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
    json!({"spec": {}, "status": status})
}
