//! The node itself: what its parts share, and its Node object, Lease and heartbeat.

use crate::NodeConfig;
use crate::addresses::Addresses;
use crate::events::Recorder;
use crate::freeze::{PodName, Stopped};
use crate::images::Images;
use crate::kept_logs::{self, KeptLogs};
use crate::leases::Leases;
use crate::limits;
use crate::pod_context::PodContext;
use crate::resource_fields;
use crate::service_table::ServiceTable;
use crate::socket_fault::Trace;
use crate::stats::Told;
use harness_kernel::full_disk::Full;
use harness_kernel::late_port::LatePort;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Port of the kubelet's server.
pub const KUBELET_PORT: u16 = 10250;

/// How often the Lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How often the status is written although nothing changed.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// A gap between renewals after which the API server counts as having been away, and watches are made anew.
const SUSPICIOUS_GAP: Duration = Duration::from_millis(2_500);

/// What the parts of one node share.
pub(crate) struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) client: kube::Client,
    pub(crate) images: Images,
    pub(crate) events: Recorder,
    pub(crate) services: ServiceTable,
    pub(crate) addresses: Option<Addresses>,
    /// Pods that are worked on, by UID.
    pub(crate) pods: Mutex<BTreeMap<String, Arc<PodContext>>>,
    /// Pods whose processes are stopped.
    pub(crate) frozen: Arc<Leases<PodName, Stopped>>,
    /// Pods that are asked late.
    pub(crate) late: Arc<Leases<PodName, LatePort>>,
    /// The sockets on its disk that are broken, by the paths that pods name.
    pub(crate) broken: Arc<Leases<String, Trace>>,
    /// The file systems of its disk that are full, by paths of folders on them.
    pub(crate) full: Arc<Leases<String, Full>>,
    /// The logs of pods that are gone.
    pub(crate) kept_logs: Arc<KeptLogs>,
    /// When the kubelet started.
    pub(crate) since: Timestamp,
    /// The processor times that were told.
    pub(crate) told: Told,
}

impl Node {
    pub(crate) fn new(
        config: NodeConfig,
        client: kube::Client,
        images: Images,
        events: Recorder,
        services: ServiceTable,
    ) -> Self {
        let addresses = Addresses::new(&config.pod_cidr, config.pod_gateway);
        let kept_logs = KeptLogs::new(config.state_dir.join("kept-logs"), kept_logs::MOST);
        Self {
            config,
            client,
            images,
            events,
            services,
            addresses,
            pods: Mutex::default(),
            frozen: Arc::default(),
            late: Arc::default(),
            broken: Arc::default(),
            full: Arc::default(),
            kept_logs: Arc::new(kept_logs),
            since: Timestamp::now(),
            told: Told::default(),
        }
    }

    /// From now on the pod can be asked about.
    pub(crate) fn register_pod(&self, pod: &Arc<PodContext>) {
        let mut pods = self.pods.lock().expect("no panic while the pods are held");
        pods.insert(pod.uid.clone(), pod.clone());
    }

    /// The pod is gone.
    pub(crate) fn forget_pod(&self, uid: &str) {
        self.pods
            .lock()
            .expect("no panic while the pods are held")
            .remove(uid);
    }

    /// The pod of that namespace and name, if it is ours.
    pub(crate) fn find_pod(&self, namespace: &str, name: &str) -> Option<Arc<PodContext>> {
        let pods = self.pods.lock().expect("no panic while the pods are held");
        pods.values()
            .find(|pod| pod.namespace == namespace && pod.name == name)
            .cloned()
    }
}

/// Registers the node, waiting for the API server, then keeps Lease and status fresh for ever.
/// Every time the API server can be reached again after it could not, `recovered` counts.
pub(crate) async fn register_and_renew(node: Arc<Node>, recovered: watch::Sender<u64>) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match register(&node).await {
            Ok(()) => break,
            Err(error) => tracing::debug!(%error, "not registered yet"),
        }
    }
    tracing::info!(node = node.config.name, "registered");
    renew(&node, &recovered).await;
}

async fn register(node: &Node) -> Result<(), kube::Error> {
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(node.client.clone());
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.config.name, "labels": node.config.labels},
        "spec": {"podCIDR": node.config.pod_cidr, "podCIDRs": [node.config.pod_cidr]},
    });
    let typed = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &typed).await {
        Ok(_) => {}
        // The node came back: its labels may be new.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let labels = json!({"metadata": {"labels": node.config.labels}});
            api.patch(
                &node.config.name,
                &PatchParams::default(),
                &Patch::Merge(labels),
            )
            .await?;
        }
        Err(error) => return Err(error),
    }
    write_status(node).await?;
    renew_lease(node).await
}

async fn renew(node: &Node, recovered: &watch::Sender<u64>) {
    let mut tick = tokio::time::interval(RENEW_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut renewed, mut written) = (Instant::now(), Instant::now());
    loop {
        tick.tick().await;
        match tokio::time::timeout(RENEW_EVERY, renew_lease(node)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "lease not renewed");
                continue;
            }
            Err(_) => {
                tracing::debug!("lease not renewed: no answer");
                continue;
            }
        }
        // Whoever declared the node lost meanwhile must hear that it is back.
        let suspicious = renewed.elapsed() > SUSPICIOUS_GAP;
        if suspicious {
            tracing::info!(gap = ?renewed.elapsed(), "the API server is there again");
            recovered.send_modify(|count| *count += 1);
        }
        renewed = Instant::now();
        if suspicious || written.elapsed() >= HEARTBEAT_EVERY {
            match write_status(node).await {
                Ok(()) => written = Instant::now(),
                Err(error) => tracing::debug!(%error, "node status not written"),
            }
        }
    }
}

async fn renew_lease(node: &Node) -> Result<(), kube::Error> {
    let api: Api<Lease> = Api::namespaced(node.client.clone(), "kube-node-lease");
    let name = &node.config.name;
    let spec = json!({
        "holderIdentity": name,
        "leaseDurationSeconds": node.config.lease_duration.as_secs().max(1),
        "renewTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime(Timestamp::now()),
    });
    let patch = Patch::Merge(json!({"spec": spec}));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let object = json!({"metadata": {"name": name}, "spec": spec});
            let lease = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
            api.create(&PostParams::default(), &lease).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

async fn write_status(node: &Node) -> Result<(), kube::Error> {
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(node.client.clone());
    let status = node_status(&node.config, Timestamp::now());
    let patch = Patch::Strategic(json!({"status": status}));
    api.patch_status(&node.config.name, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

/// The whole status; raw JSON, since `declaredFeatures` is younger than our types.
fn node_status(config: &NodeConfig, now: Timestamp) -> Value {
    let mut resources: BTreeMap<&str, String> = resource_fields::of_the_node().into();
    resources.insert("pods", "200".to_owned());
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
        })
    };
    let of_limits = {
        let [kind, status, reason, message] = limits::condition(&config.control_groups);
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
        })
    };
    json!({
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": config.internal_ip},
            {"type": "Hostname", "address": config.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        // Sorted; without it the API server speaks SPDY to us.
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
        "nodeInfo": {
            "machineID": config.name, "systemUUID": config.name, "bootID": config.name,
            "kernelVersion": kernel_version(),
            "osImage": "meshproof node",
            "containerRuntimeVersion": concat!("meshproof://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": concat!("v1.36.3-meshproof.", env!("CARGO_PKG_VERSION")),
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": architecture(),
        },
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "memory is not watched"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "the disk is memory"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "processes are not counted"),
            condition("Ready", "True", "KubeletReady", "the kubelet is posting ready status"),
            of_limits,
        ],
    })
}

/// The architecture in Go's words, as Kubernetes uses them.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn kernel_version() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
pub(crate) mod testing;
