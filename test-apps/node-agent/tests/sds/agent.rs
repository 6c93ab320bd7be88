//! An agent with an API server and an authority that the test plays.

use crate::authority::{AGENT_TOKEN, Authority};
use crate::stub::Root;
use fake_api::{Asked, FakeApi};
use identity_api::authority::NODE_AGENT_AUDIENCE;
use node_agent::behaviour::{Behaviour, Faithful};
use node_agent::certificate::{Identity, Request};
use node_agent::metrics::Metrics;
use node_agent::run::{RunError, serve};
use node_agent::settings::Settings;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long anything may take; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with what an agent needs, and the authority.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Authority,
    settings: Settings,
}

/// A running agent.
pub(crate) struct Agent {
    pub(crate) metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), RunError>>,
    api: JoinHandle<()>,
}

impl Bench {
    pub(crate) async fn new(lifetime: Duration) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::start().await;
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("root.pem"), &authority.certificate).expect("written");
        std::fs::write(file("agent-token"), AGENT_TOKEN).expect("written");
        let text = |path: PathBuf| path.to_str().map(str::to_owned);
        let settings = Settings::read(|name| match name {
            "NODE_NAME" => Some("node-1".to_owned()),
            "SOCKET" => text(file("sds.sock")),
            "ADMIN_LISTEN" => Some("127.0.0.1:0".to_owned()),
            "AUTHORITY_ADDRESS" => Some(format!("localhost:{}", authority.address.port())),
            "AUTHORITY_ROOT_FILE" => text(file("root.pem")),
            "TOKEN_FILE" => text(file("agent-token")),
            "CERTIFICATE_LIFETIME" => Some(lifetime.as_secs().to_string()),
            _ => None,
        });
        Self {
            settings: settings.expect("complete"),
            authority,
            folder,
        }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.settings.socket
    }

    /// Starts an agent at the socket.
    pub(crate) fn agent(&self) -> Agent {
        self.agent_with(Faithful)
    }

    /// The same with decisions of its own.
    pub(crate) fn agent_with(&self, behaviour: impl Behaviour) -> Agent {
        let (client, mut api) = FakeApi::new();
        let api = tokio::spawn(async move {
            loop {
                if let Some(asked) = api.next().await {
                    answer(asked);
                }
            }
        });
        let metrics = Arc::new(Metrics::default());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(
            self.settings.clone(),
            client,
            Arc::new(behaviour),
            metrics.clone(),
            shutdown.clone(),
        ));
        Agent {
            metrics,
            shutdown,
            serving,
            api,
        }
    }

    /// A certificate for a client of an Envoy, signed with this root.
    pub(crate) fn client(root: &Root) -> Identity {
        let id = "spiffe://mesh.local/ns/mesh-workloads/sa/client";
        let request = Request::new(id.parse().expect("an ID")).expect("a request");
        let lifetime = Duration::from_secs(3600);
        let chain = vec![root.sign(&request.csr, None, lifetime)];
        let identity = request.answered(chain, lifetime, SystemTime::now());
        identity.expect("good")
    }
}

impl Agent {
    /// Waits until a counter has reached a value.
    pub(crate) async fn counts(&self, what: &str, counter: fn(&Metrics) -> &AtomicU64, least: u64) {
        until(what, async || {
            let count = counter(&self.metrics).load(Ordering::Relaxed);
            let text = || format!("{count} of {least}\n{}", self.metrics.text());
            (count >= least).then_some(()).ok_or_else(text)
        })
        .await;
    }

    /// Ends it as SIGTERM does, and says how long that took.
    pub(crate) async fn end(self) -> Duration {
        let started = std::time::Instant::now();
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.serving).await;
        ended
            .expect("in time")
            .expect("no panic")
            .expect("no error");
        self.api.abort();
        started.elapsed()
    }
}

/// Looks until something is there: Envoy tells nobody when its listeners have taken what it was sent.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut seen = String::new();
    let looks = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look().await {
                Ok(found) => return found,
                Err(instead) => seen = instead,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, looks).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {PATIENCE:?}; last seen: {seen}"),
    }
}

/// The cluster: pods `a` and `b` on this node, `c` on another one. A pod's tokens are its name and anything behind `-`.
fn answer(asked: Asked) {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews") => {
            let token = asked.body["spec"]["token"].as_str().unwrap_or_default();
            let pod = token.split('-').next().unwrap_or_default();
            let status = match pod {
                "a" | "b" => review(pod, "node-1"),
                "c" => review(pod, "node-2"),
                "outside" => json!({"authenticated": true, "audiences": ["mesh-control-plane"]}),
                _ => json!({"authenticated": false, "error": "not a token"}),
            };
            asked.answer(201, json!({"spec": {}, "status": status}));
        }
        // A watch has no news.
        ("GET", _) if asked.query.contains("watch=true") => {}
        ("GET", "/api/v1/namespaces/mesh-workloads/pods") => {
            let pods: Vec<Value> = ["a", "b"]
                .map(|name| {
                    json!({
                        "metadata": {"name": name, "namespace": "mesh-workloads", "uid": format!("uid-{name}")},
                        "spec": {"containers": [], "serviceAccountName": format!("account-{name}")},
                    })
                })
                .into();
            asked.answer(
                200,
                json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": pods}),
            );
        }
        _ => asked.refuse(404),
    }
}

fn review(pod: &str, node: &str) -> Value {
    json!({
        "authenticated": true,
        "audiences": [NODE_AGENT_AUDIENCE],
        "user": {
            "username": format!("system:serviceaccount:mesh-workloads:account-{pod}"),
            "extra": {
                "authentication.kubernetes.io/pod-name": [pod],
                "authentication.kubernetes.io/pod-uid": [format!("uid-{pod}")],
                "authentication.kubernetes.io/node-name": [node],
            },
        },
    })
}
