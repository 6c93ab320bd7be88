//! One pod's life: network, volumes, init containers and sidecars in turn, containers, and its end.

use crate::addresses;
use crate::container_order::{chain, host_name};
use crate::events::Level;
use crate::node::Node;
use crate::pod_context::PodContext;
use crate::pods::Newest;
use crate::sandbox::Sandbox;
use crate::status::is_sidecar;
use crate::status_writer;
use crate::supervisor::{self, Kind};
use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateTerminated, Pod};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a sidecar gets at least to end, also when the containers before it have used up the pod's grace.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// A container that was handed to its supervisor.
struct Supervised {
    kind: Kind,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

/// Sees a pod through its whole life on this node, until the API server has it no more.
pub(crate) async fn run(node: Arc<Node>, mut newest: watch::Receiver<Newest>) {
    let context = PodContext::new(node.clone(), newest.clone());
    let pod = context.pod();
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.clone())
        .unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" || pod.metadata.deletion_timestamp.is_some() {
        // It ended under a former run of this node; nothing of it is left here.
        end_requested(&mut newest).await;
        status_writer::delete(&context).await;
        return;
    }
    take_over(&context, &pod);
    node.register_pod(&context);
    let publisher = tokio::spawn(status_writer::publish(context.clone()));

    let mut containers = Vec::new();
    let finished = tokio::select! {
        () = live(&context, &mut containers) => true,
        () = end_requested(&mut newest) => false,
    };
    context.facts.send_modify(|facts| facts.ending |= !finished);
    end(&context, containers, newest.clone()).await;
    context.facts.send_modify(|facts| facts.settled = true);
    let _ = publisher.await;
    if let Some(sandbox) = context.sandbox.get() {
        sandbox.remove(&node).await;
    }
    if finished {
        end_requested(&mut newest).await;
    }
    let ended = context.clone();
    let put_away = move || {
        ended.logs.hand_over();
        std::fs::remove_dir_all(&ended.folder)
    };
    let _ = tokio::task::spawn_blocking(put_away).await;
    status_writer::delete(&context).await;
    node.forget_pod(&context.uid);
}

/// Returns when the pod must end.
async fn end_requested(newest: &mut watch::Receiver<Newest>) {
    let gone = |newest: &Newest| newest.removed || newest.pod.metadata.deletion_timestamp.is_some();
    let _ = newest.wait_for(gone).await;
}

/// Containers that ran before this node came back count as ended, and the pod's address of then as given back.
fn take_over(context: &PodContext, pod: &Pod) {
    let Some(status) = &pod.status else {
        return;
    };
    let former = status.pod_ip.as_ref();
    let former = former.and_then(|ip| ip.parse::<Ipv4Addr>().ok());
    if let (Some(addresses), Some(former)) = (&context.node.addresses, former) {
        addresses.remember(former);
    }
    let all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten();
    for former in all.filter(|former| former.container_id.is_some()) {
        let lost = ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some("The node was restarted while the container ran".to_owned()),
            container_id: former.container_id.clone(),
            ..ContainerStateTerminated::default()
        };
        let ended = former
            .state
            .as_ref()
            .and_then(|state| state.terminated.clone());
        let last_state = ContainerState {
            terminated: Some(ended.unwrap_or(lost)),
            ..ContainerState::default()
        };
        context.update(&former.name, |facts| {
            facts.restarts = former.restart_count;
            facts.container_id = former.container_id.clone();
            facts.last_state = last_state;
        });
    }
    context.facts.send_modify(|facts| {
        facts.started = status
            .start_time
            .as_ref()
            .map(|time| time.0)
            .or(facts.started);
    });
}

/// From nothing to all containers done; what runs is in `containers`, also when this is given up on the way.
async fn live(context: &Arc<PodContext>, containers: &mut Vec<Supervised>) {
    let pod = context.pod();
    let Some(spec) = &pod.spec else {
        return;
    };
    tokio::join!(make_network(context, &pod), make_volumes_ready(context));
    for container in spec.init_containers.iter().flatten() {
        let kind = if is_sidecar(container) {
            Kind::Sidecar
        } else {
            Kind::Init
        };
        start(context, containers, container, kind);
        if kind == Kind::Sidecar {
            let mut facts = context.facts.subscribe();
            let started = |facts: &crate::pod_context::Facts| {
                facts
                    .containers
                    .get(&container.name)
                    .is_some_and(|facts| facts.started)
            };
            let _ = facts.wait_for(started).await;
        } else if let Some(supervised) = containers.last_mut() {
            let _ = (&mut supervised.task).await;
            let state = context.container(&container.name).state;
            if state
                .terminated
                .is_none_or(|terminated| terminated.exit_code != 0)
            {
                return;
            }
        }
    }
    for container in &spec.containers {
        start(context, containers, container, Kind::Main);
    }
    for supervised in containers
        .iter_mut()
        .filter(|supervised| supervised.kind == Kind::Main)
    {
        let _ = (&mut supervised.task).await;
    }
}

fn start(
    context: &Arc<PodContext>,
    containers: &mut Vec<Supervised>,
    container: &Container,
    kind: Kind,
) {
    let (stop, stopped) = watch::channel(None);
    let task = tokio::spawn(supervisor::supervise(
        context.clone(),
        container.clone(),
        kind,
        stopped,
    ));
    containers.push(Supervised { kind, stop, task });
}

/// Makes the pod's network and the files that tell containers about it, however often that takes.
async fn make_network(context: &Arc<PodContext>, pod: &Pod) {
    let node = &context.node;
    let shared = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let sandbox = loop {
        let made = if shared {
            Ok(Sandbox::of_the_node(node))
        } else {
            Sandbox::create(node, &context.uid, &addresses::workload(pod)).await
        };
        match made {
            Ok(sandbox) => break sandbox,
            Err(error) => {
                let message = chain(&error);
                node.events
                    .record(pod, None, Level::Warning, "FailedCreatePodSandBox", message);
                pause(Duration::from_secs(1)).await;
            }
        }
    };
    let address = sandbox.address;
    let _ = context.sandbox.set(sandbox);
    if let Err(error) = write_network_files(context, pod) {
        tracing::warn!(%error, pod = context.name, "no resolv.conf and hosts");
    }
    context
        .facts
        .send_modify(|facts| facts.address = Some(address));
}

fn write_network_files(context: &PodContext, pod: &Pod) -> std::io::Result<()> {
    let folder = context.folder.join("etc");
    std::fs::create_dir_all(&folder)?;
    let node = &context.node.config;
    let host_name = host_name(pod);
    let address = context
        .sandbox
        .get()
        .map(|sandbox| sandbox.address.to_string())
        .unwrap_or_default();
    let mut hosts = format!("127.0.0.1\tlocalhost\n{address}\t{host_name}\n");
    let spec = pod.spec.as_ref();
    for alias in spec
        .and_then(|spec| spec.host_aliases.as_ref())
        .into_iter()
        .flatten()
    {
        let names = alias.hostnames.clone().unwrap_or_default().join(" ");
        hosts.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    let domain = &node.cluster_domain;
    let resolv = format!(
        "nameserver {}\nsearch {}.svc.{domain} svc.{domain} {domain}\noptions ndots:5\n",
        node.pod_gateway, context.namespace
    );
    std::fs::write(folder.join("hosts"), hosts)?;
    std::fs::write(folder.join("resolv.conf"), resolv)?;
    std::fs::write(folder.join("hostname"), format!("{host_name}\n"))
}

/// Fills the volumes, however often that takes: what they refer to may not be there yet.
async fn make_volumes_ready(context: &Arc<PodContext>) {
    // Fields such as the pod's address may be asked for.
    let _ = context
        .facts
        .subscribe()
        .wait_for(|facts| facts.address.is_some())
        .await;
    let mut wait = Duration::from_millis(50);
    let mut told = BTreeSet::new();
    loop {
        let failed = match crate::volumes::prepare(context).await {
            Ok(volumes) => {
                let _ = context.volumes.set(volumes);
                return;
            }
            Err(failed) => failed,
        };
        // What was created together with the pod arrives within moments.
        if wait >= Duration::from_secs(1) {
            let pod = context.pod();
            for (volume, error) in failed {
                let message = chain(&error);
                let message = format!("MountVolume.SetUp failed for volume {volume:?} : {message}");
                // Once each: Kubernetes waits longer and longer between two tries, we do not.
                if told.insert(message.clone()) {
                    let events = &context.node.events;
                    events.record(&pod, None, Level::Warning, "FailedMount", message);
                }
            }
        }
        pause(wait).await;
        wait = (wait * 3 / 2).min(Duration::from_secs(2));
    }
}

async fn pause(wait: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells when an object of unknown kind appears"
    )]
    tokio::time::sleep(wait).await;
}

/// Stops what runs: containers first, then sidecars, the last started one first, all within the pod's grace.
async fn end(
    context: &Arc<PodContext>,
    containers: Vec<Supervised>,
    newest: watch::Receiver<Newest>,
) {
    let begun = Instant::now();
    let deadline = move |newest: &Newest| {
        let asked = newest.pod.metadata.deletion_grace_period_seconds;
        let own = newest
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = if newest.removed {
            Some(0)
        } else {
            asked.or(own)
        };
        begun
            + Duration::from_secs(
                seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .unwrap_or(30),
            )
    };
    let (sidecars, others): (Vec<_>, Vec<_>) = containers
        .into_iter()
        .partition(|supervised| supervised.kind == Kind::Sidecar);
    stop_together(others, newest.clone(), deadline).await;
    for sidecar in sidecars.into_iter().rev() {
        let told = Instant::now();
        let at_least = move |newest: &Newest| match newest.removed {
            true => deadline(newest),
            false => deadline(newest).max(told + LEAST_GRACE),
        };
        stop_together(vec![sidecar], newest.clone(), at_least).await;
    }
    tracing::debug!(pod = context.name, "all containers ended");
}

async fn stop_together(
    containers: Vec<Supervised>,
    mut newest: watch::Receiver<Newest>,
    deadline: impl Fn(&Newest) -> Instant,
) {
    let (stops, tasks): (Vec<_>, Vec<_>) = containers
        .into_iter()
        .filter(|supervised| !supervised.task.is_finished())
        .map(|supervised| (supervised.stop, supervised.task))
        .unzip();
    let mut all = std::pin::pin!(futures::future::join_all(tasks));
    loop {
        let at = deadline(&newest.borrow_and_update());
        for stop in &stops {
            stop.send_replace(Some(at));
        }
        tokio::select! {
            _ = &mut all => return,
            // A shorter grace may be asked for meanwhile.
            changed = newest.changed() => if changed.is_err() {
                all.await;
                return;
            }
        }
    }
}
