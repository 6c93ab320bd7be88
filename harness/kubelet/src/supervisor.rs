//! One container's life: start, probes, end, restart with back-off, until it is done or told to stop.

use crate::backoff::Backoff;
use crate::container_end::{Stop, end, grace_period, last_words, run_hook, stopped};
use crate::container_order::{self, Refusal, chain};
use crate::events::Level;
use crate::limits;
use crate::pod_context::{PodContext, waiting};
use crate::probe;
use crate::runtime;
use harness_kernel::container::Order;
use harness_kernel::control_group::Group;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next one.
    Init,
    /// Started in turn, runs beside the others.
    Sidecar,
    /// The pod is about it.
    Main,
}

/// How one run of a container ended.
struct Ended {
    status: i32,
    reason: &'static str,
    message: Option<String>,
    since: Timestamp,
    ran: Duration,
}

/// The exit status of a process that was killed: 128 and the number of the signal.
const KILLED: i32 = 137;

/// Runs a container until it is done for good (by its kind and the pod's restart policy) or was stopped. What
/// happens is in the facts.
pub(crate) async fn supervise(
    context: Arc<PodContext>,
    container: Container,
    kind: Kind,
    mut stop: Stop,
) {
    let first_wait = context.node.config.restart_backoff;
    let mut backoff = Backoff::new(first_wait);
    let mut refusals = Backoff::new(Duration::from_millis(100).min(first_wait));
    let policy = context
        .pod()
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.clone());
    let policy = policy.unwrap_or_else(|| "Always".to_owned());
    let name = container.name.clone();
    loop {
        let before = context.container(&name);
        let run = before.restarts + i32::from(before.container_id.is_some());
        let (order, image, group) = tokio::select! {
            prepared = container_order::prepare(&context, &container, run) => match prepared {
                Ok(prepared) => prepared,
                Err(refusal) => {
                    tell_refusal(&context, &container, refusal);
                    if wait_or_stop(refusals.after_run(Duration::ZERO), &mut stop).await {
                        return;
                    }
                    continue;
                }
            },
            () = stopped(&mut stop) => return,
        };
        let node = &context.node;
        let text = format!(
            "Container image {:?} already present on machine",
            container.image.as_deref().unwrap_or_default()
        );
        node.events
            .record(&context.pod(), Some(&name), Level::Normal, "Pulled", text);
        let container_id = format!("meshproof://{}-{}-{run}", context.uid, name);
        context.update(&name, |facts| {
            facts.image_id = image.digest.clone();
            facts.container_id = Some(container_id.clone());
            facts.restarts = run;
            if facts.state.terminated.is_some() {
                facts.last_state = std::mem::take(&mut facts.state);
            }
        });
        let scratch = order.scratch.clone();
        let ended = run_once(
            &context,
            &container,
            Order::Start(order),
            group.as_ref(),
            &mut stop,
        )
        .await;
        if let Some(group) = &group {
            limits::remove(group);
        }
        // The container's own mounts ended with it; what it wrote is of no use any more.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(scratch)).await;
        tracing::debug!(
            pod = context.name,
            container = name,
            status = ended.status,
            "container ended"
        );
        let terminated = ContainerStateTerminated {
            exit_code: ended.status,
            reason: Some(ended.reason.to_owned()),
            message: ended.message,
            started_at: Some(Time(ended.since)),
            finished_at: Some(Time(Timestamp::now())),
            container_id: Some(container_id),
            signal: None,
        };
        context.update(&name, |facts| {
            facts.state = ContainerState {
                terminated: Some(terminated),
                ..ContainerState::default()
            };
            facts.ready = false;
            facts.started = false;
            facts.pid = None;
            facts.process = None;
        });
        if stop.borrow().is_some() || !is_restarted(kind, &policy, ended.status) {
            return;
        }
        let wait = backoff.after_run(ended.ran);
        if !wait.is_zero() {
            let text = format!(
                "Back-off restarting failed container {name} in pod {}",
                context.name
            );
            node.events.record(
                &context.pod(),
                Some(&name),
                Level::Warning,
                "BackOff",
                text.clone(),
            );
            let state = waiting("CrashLoopBackOff", Some(text));
            context.update(&name, |facts| {
                facts.last_state = std::mem::replace(&mut facts.state, state);
            });
            if wait_or_stop(wait, &mut stop).await {
                return;
            }
        }
    }
}

/// Says why the container cannot be started for now, in the words of Kubernetes.
fn tell_refusal(context: &PodContext, container: &Container, refusal: Refusal) {
    let name = &container.name;
    let image = container.image.as_deref().unwrap_or_default();
    let record = |level, reason, message: String| {
        let pod = context.pod();
        let events = &context.node.events;
        events.record(&pod, Some(name), level, reason, message);
    };
    let Refusal {
        mut reason,
        mut message,
    } = refusal;
    let before = context.container(name).state.waiting;
    let before = before
        .and_then(|waiting| waiting.reason)
        .unwrap_or_default();
    match reason {
        "ErrImagePull" if before.contains("ImagePull") => {
            reason = "ImagePullBackOff";
            message = format!("Back-off pulling image {image:?}: ErrImagePull: {message}");
            let text = format!("Back-off pulling image {image:?}");
            record(Level::Normal, "BackOff", text);
        }
        "ErrImagePull" => {
            let text = format!("Failed to pull image {image:?}: {message}");
            record(Level::Warning, "Failed", text);
            record(Level::Warning, "Failed", "Error: ErrImagePull".to_owned());
        }
        "ErrImageNeverPull" => {
            message = format!("Container image {image:?} is not present with pull policy of Never");
            record(Level::Warning, "ErrImageNeverPull", message.clone());
        }
        _ => record(Level::Warning, "Failed", format!("Error: {message}")),
    }
    let state = waiting(reason, Some(message));
    context.update(name, |facts| {
        let former = std::mem::replace(&mut facts.state, state);
        // How it ended before stays known while it cannot be started again.
        if former.terminated.is_some() {
            facts.last_state = former;
        }
    });
}

fn is_restarted(kind: Kind, policy: &str, status: i32) -> bool {
    match (kind, policy) {
        (Kind::Sidecar, _) => true,
        (Kind::Init, "Never") => false,
        (Kind::Init, _) => status != 0,
        (Kind::Main, "Always") => true,
        (Kind::Main, "OnFailure") => status != 0,
        (Kind::Main, _) => false,
    }
}

/// Starts the container and sees it through to its end.
async fn run_once(
    context: &Arc<PodContext>,
    container: &Container,
    order: Order,
    group: Option<&Group>,
    stop: &mut Stop,
) -> Ended {
    let node = &context.node;
    let name = &container.name;
    let (since, begun) = (Timestamp::now(), Instant::now());
    let ended = |status: i32, reason: &'static str, message: Option<String>| Ended {
        status,
        reason,
        message,
        since,
        ran: begun.elapsed(),
    };
    let process = match &order {
        Order::Start(spec) => spec.process.clone(),
        Order::Execute { process, .. } => process.clone(),
    };
    let (mut running, output, errors) = match runtime::start(&node.config.executable, &order).await
    {
        Ok(started) => started,
        Err(error) => {
            let message = chain(&error);
            node.events.record(
                &context.pod(),
                Some(name),
                Level::Warning,
                "Failed",
                format!("Error: {message}"),
            );
            return ended(128, "StartError", Some(message));
        }
    };
    let log = context.logs.record(name, output, errors);
    let pid = running.pid;
    context.update(name, |facts| {
        let now_running = ContainerStateRunning {
            started_at: Some(Time(since)),
        };
        facts.state = ContainerState {
            running: Some(now_running),
            ..ContainerState::default()
        };
        facts.pid = Some(pid);
        facts.process = Some(Arc::new(process.clone()));
    });
    let pod = context.pod();
    node.events.record(
        &pod,
        Some(name),
        Level::Normal,
        "Created",
        format!("Created container: {name}"),
    );
    node.events.record(
        &pod,
        Some(name),
        Level::Normal,
        "Started",
        format!("Started container {name}"),
    );
    let hooks = container.lifecycle.as_ref();
    if let Some(hook) = hooks.and_then(|hooks| hooks.post_start.as_ref()) {
        run_hook(context, pid, &process, hook, "postStart").await;
    }
    let target = probe::Target {
        context: context.clone(),
        container: container.clone(),
        pid,
        process: process.clone(),
    };
    let why = tokio::select! {
        status = running.wait() => Why::Ended(status),
        () = stopped(stop) => Why::Stopped,
        unhealthy = probe::watch(target) => Why::Unhealthy(unhealthy),
    };
    let status = match why {
        Why::Ended(status) => status,
        Why::Stopped => {
            let text = format!("Stopping container {name}");
            node.events
                .record(&pod, Some(name), Level::Normal, "Killing", text);
            context.update(name, |facts| facts.ready = false);
            end(context, container, &process, &mut running, stop).await
        }
        Why::Unhealthy(text) => {
            node.events
                .record(&pod, Some(name), Level::Normal, "Killing", text);
            let (_now, mut grace) = watch::channel(Some(Instant::now() + grace_period(context)));
            context.update(name, |facts| facts.ready = false);
            // The pod's own end may come meanwhile and be sooner.
            let status = tokio::select! {
                status = end(context, container, &process, &mut running, &mut grace) => Some(status),
                () = stopped(stop) => None,
            };
            match status {
                Some(status) => status,
                None => end(context, container, &process, &mut running, stop).await,
            }
        }
    };
    // All ends of the streams are closed with the container's namespace.
    let _ = log.await;
    let message = last_words(context, container, status).await;
    let reason = match status {
        0 => "Completed",
        // What ended otherwise has outlived a child that was killed.
        KILLED if group.is_some_and(Group::has_run_out_of_memory) => "OOMKilled",
        _ => "Error",
    };
    ended(status, reason, message)
}

/// Why a container does not run any more, or must not.
enum Why {
    Ended(i32),
    Stopped,
    Unhealthy(String),
}

/// Waits; true when the container was told to stop meanwhile.
async fn wait_or_stop(wait: Duration, stop: &mut Stop) -> bool {
    tokio::time::timeout(wait, stopped(stop)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_follow_kind_and_policy() {
        assert!(is_restarted(Kind::Sidecar, "Never", 0));
        assert!(is_restarted(Kind::Main, "Always", 0));
        assert!(is_restarted(Kind::Main, "OnFailure", 1));
        assert!(!is_restarted(Kind::Main, "OnFailure", 0));
        assert!(!is_restarted(Kind::Main, "Never", 1));
        assert!(is_restarted(Kind::Init, "Always", 1));
        assert!(!is_restarted(Kind::Init, "Always", 0));
        assert!(!is_restarted(Kind::Init, "Never", 1));
    }
}
