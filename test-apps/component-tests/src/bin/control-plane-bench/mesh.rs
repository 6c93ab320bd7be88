//! What the API server has: accounts and rights, nodes, services, pods that nobody runs with the tokens of their sidecars,
//! and the policy that changes. And the control plane that is told of it.

use anyhow::{Context as _, ensure};
use component_tests::certificates::Authority;
use component_tests::kubernetes::{NAMESPACE, apply, apply_rights, bound_to, request_token};
use component_tests::programs::{Program, Programs};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use mesh_api::{Destination, HeaderMatch, PolicyConfig, PolicyConfigSpec, RoutingRule, RuleMatch};
use serde_json::{Value, json};

const WORKLOADS: &str = "mesh-workloads";
/// One service account for all pods, as in one Deployment.
const ACCOUNT: &str = "workload";
/// Whom the sidecars' tokens are for.
const AUDIENCE: &str = "mesh-control-plane";
/// Longer than any bench takes, in seconds.
const TOKEN_LIFETIME: i64 = 6 * 60 * 60;
/// Three zones with a node each, and five services, shared evenly by the pods.
const ZONES: [&str; 3] = ["a", "b", "c"];
const SERVICES: usize = 5;
/// The scope, the policy, its toggle and its rule.
const NAME: &str = "bench";
/// The port of the control plane's admin interface.
const ADMIN: u16 = 15014;
/// Its certificate is for it.
pub(crate) const HOST: &str = "localhost";

/// How what changes begins, wherever it stands: in the toggle, and in the header that the rule looks at.
pub(crate) const CHANGE: &str = "change-";
/// The digits after that.
pub(crate) const DIGITS: usize = 6;

/// A pod's sidecar: its name, and the token that it shows.
pub(crate) struct Identity {
    pub(crate) pod: String,
    pub(crate) token: String,
}

/// What there is, and which change is in force.
pub(crate) struct Mesh {
    client: Client,
    policies: Api<PolicyConfig>,
    /// Who signed the certificate of the control plane, PEM.
    pub(crate) root: String,
    pub(crate) identities: Vec<Identity>,
    /// The number of the newest change.
    pub(crate) change: u64,
}

impl Mesh {
    /// Makes everything but pods.
    pub(crate) async fn make(programs: &Programs) -> anyhow::Result<Self> {
        let client = Client::try_default()
            .await
            .context("reach the API server")?;
        apply_rights(&client).await;
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": WORKLOADS},
        });
        put(&client, account).await?;
        for zone in ZONES {
            let labels = json!({
                "topology.kubernetes.io/region": "here",
                "topology.kubernetes.io/zone": zone,
            });
            let node = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": node(zone), "labels": labels},
            });
            put(&client, node).await?;
        }
        for number in 0..SERVICES {
            put(&client, service(number)).await?;
        }
        // An entry without fields matches everybody.
        let scope = json!({
            "apiVersion": "mesh.meshproof.io/v1alpha1", "kind": "ScopeConfig",
            "metadata": {"name": NAME, "namespace": WORKLOADS},
            "spec": {"match": [{}]},
        });
        put(&client, scope).await?;
        let authority = Authority::new().context("make an authority")?;
        let pair = authority.server(&[HOST]).context("make a certificate")?;
        programs.write("control-plane/tls.crt", &pair.certificate)?;
        programs.write("control-plane/tls.key", &pair.key)?;
        let policies: Api<PolicyConfig> = Api::namespaced(client.clone(), WORKLOADS);
        let policy = PolicyConfig::new(NAME, spec(1));
        policies
            .create(&PostParams::default(), &policy)
            .await
            .context("make the policy")?;
        Ok(Self {
            client,
            policies,
            root: authority.certificate,
            identities: Vec::new(),
            change: 1,
        })
    }

    /// Makes pods until there are so many, and has the services lead to them.
    pub(crate) async fn grow(&mut self, count: usize) -> anyhow::Result<()> {
        let pods: &Api<Pod> = &Api::namespaced(self.client.clone(), WORKLOADS);
        let client = &self.client;
        let made: Vec<Identity> = futures::stream::iter(self.identities.len()..count)
            .map(async |number| {
                let name = format!("pod-{number}");
                let object = serde_json::from_value(pod(number)).context("write a pod")?;
                let made = pods
                    .create(&PostParams::default(), &object)
                    .await
                    .with_context(|| format!("make pod {name}"))?;
                let ip = address(number);
                let status = json!({"status": {
                    "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                }});
                pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                    .await
                    .with_context(|| format!("give pod {name} an address"))?;
                let token = bound_to(&made, AUDIENCE, TOKEN_LIFETIME);
                Ok::<_, anyhow::Error>(Identity {
                    pod: name,
                    token: request_token(client, WORKLOADS, ACCOUNT, token).await?,
                })
            })
            .buffer_unordered(crate::AT_ONCE)
            .try_collect()
            .await?;
        self.identities.extend(made);
        for number in 0..SERVICES {
            put(&self.client, slice(number, self.identities.len())).await?;
        }
        Ok(())
    }

    /// Starts a replica and waits until it knows all of this. It has the name of the one before, so it leads at once.
    pub(crate) async fn start_control_plane(&self, programs: &Programs) -> anyhow::Result<Program> {
        let kubeconfig = programs.kubeconfig(&self.client, "control-plane").await?;
        let environment = [
            ("KUBECONFIG", kubeconfig),
            ("POD_NAME", "control-plane-0".to_owned()),
            ("POD_NAMESPACE", NAMESPACE.to_owned()),
            ("CLUSTER_NAME", NAME.to_owned()),
            ("TLS_DIRECTORY", programs.path("control-plane")),
        ];
        programs.start("control-plane", ADMIN, &environment).await
    }

    /// Changes the policy, its toggle and its rule.
    pub(crate) async fn change(&mut self) -> anyhow::Result<()> {
        self.change += 1;
        let patch = json!({"spec": spec(self.change)});
        let changed = self
            .policies
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .context("change the policy")?;
        ensure!(changed.spec == spec(self.change), "the change is lost");
        Ok(())
    }
}

async fn put(client: &Client, object: Value) -> anyhow::Result<()> {
    let object = serde_json::from_value(object).context("write an object")?;
    apply(client, &object).await;
    Ok(())
}

/// The number of the change that stands in these bytes, if one does.
pub(crate) fn change_in(bytes: &[u8]) -> Option<u64> {
    let begins = |window: &[u8]| window == CHANGE.as_bytes();
    let start = bytes.windows(CHANGE.len()).position(begins)? + CHANGE.len();
    let digits = bytes.get(start..start + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn spec(change: u64) -> PolicyConfigSpec {
    let text = format!("{CHANGE}{change:0DIGITS$}");
    let condition = RuleMatch {
        headers: vec![HeaderMatch {
            name: "x-bench".to_owned(),
            value: text.clone(),
        }],
        ..RuleMatch::default()
    };
    let rule = RoutingRule {
        name: NAME.to_owned(),
        service: name(0),
        condition,
        to: vec![Destination {
            service: name(1),
            weight: 1,
        }],
        ..RoutingRule::default()
    };
    PolicyConfigSpec {
        scope_ref: NAME.to_owned(),
        toggles: [(NAME.to_owned(), text.as_str().into())].into(),
        rules: vec![rule],
        ..PolicyConfigSpec::default()
    }
}

fn node(zone: &str) -> String {
    format!("node-{zone}")
}

fn node_of(number: usize) -> String {
    node(ZONES[number % ZONES.len()])
}

fn name(service: usize) -> String {
    format!("service-{service}")
}

fn address(number: usize) -> String {
    format!("10.1.{}.{}", number / 250, number % 250 + 1)
}

fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("pod-{number}"),
            "namespace": WORKLOADS,
            "labels": {"app": name(number % SERVICES)},
        },
        "spec": {
            "nodeName": node_of(number),
            "serviceAccountName": ACCOUNT,
            // By its name the pod is a member of the mesh.
            "containers": [{"name": "sidecar", "image": "none"}],
        },
    })
}

/// The ports of the reference mesh's services, but for those that are there for a scenario or two.
fn service(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name(number), "namespace": WORKLOADS},
        "spec": {
            "selector": {"app": name(number)},
            "ports": [
                {"name": "http", "port": 8080, "appProtocol": "http"},
                {"name": "grpc", "port": 8081, "appProtocol": "kubernetes.io/h2c"},
                {"name": "tcp", "port": 8082, "appProtocol": "tcp"},
            ],
        },
    })
}

/// The endpoints of a service among so many pods, which a controller would write.
fn slice(service: usize, pods: usize) -> Value {
    let endpoint = |number: usize| {
        json!({
            "addresses": [address(number)],
            "conditions": {"ready": true},
            "nodeName": node_of(number),
            "zone": ZONES[number % ZONES.len()],
        })
    };
    let endpoints: Vec<Value> = (service..pods).step_by(SERVICES).map(endpoint).collect();
    let ports = [("http", 8080), ("grpc", 8081), ("tcp", 8082)];
    let ports = ports.map(|(name, port)| json!({"name": name, "port": port, "protocol": "TCP"}));
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-1", name(service)),
            "namespace": WORKLOADS,
            "labels": {"kubernetes.io/service-name": name(service)},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    })
}
