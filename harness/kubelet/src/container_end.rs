//! How a container is brought to its end: hooks, signals, deadlines.

use crate::container_order::chain;
use crate::events::Level;
use crate::pod_context::PodContext;
use crate::runtime::{self, Running};
use harness_kernel::container::ProcessSpec;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// When a container must have ended; none while it may run.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

/// The time that the pod gives its containers to end.
pub(crate) fn grace_period(context: &PodContext) -> Duration {
    let seconds = context
        .pod()
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds);
    Duration::from_secs(
        seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(30),
    )
}

/// Hook, SIGTERM, and SIGKILL when the deadline in `stop` has come; the deadline may be moved. Without grace there is
/// SIGKILL alone.
pub(crate) async fn end(
    context: &PodContext,
    container: &Container,
    process: &ProcessSpec,
    running: &mut Running,
    stop: &mut Stop,
) -> i32 {
    // Otherwise it were chance whether a pod that is killed still tidies up: the two signals are a moment apart.
    let is_over = stop.borrow().is_some_and(|at| at <= Instant::now());
    if is_over {
        running.kill();
        return running.wait().await;
    }
    let hook = container
        .lifecycle
        .as_ref()
        .and_then(|hooks| hooks.pre_stop.as_ref());
    if let Some(hook) = hook {
        let pid = running.pid;
        tokio::select! {
            status = running.wait() => return status,
            () = run_hook(context, pid, process, hook, "preStop") => {}
            () = deadline(stop) => {}
        }
    }
    running.terminate();
    tokio::select! {
        status = running.wait() => return status,
        () = deadline(stop) => {}
    }
    running.kill();
    running.wait().await
}

pub(crate) async fn run_hook(
    context: &PodContext,
    pid: i32,
    process: &ProcessSpec,
    hook: &LifecycleHandler,
    name: &str,
) {
    if let Some(sleep) = &hook.sleep {
        let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
        #[expect(clippy::disallowed_methods, reason = "the hook is a delay")]
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
    let Some(exec) = &hook.exec else {
        return;
    };
    let process = ProcessSpec {
        arguments: exec.command.clone().unwrap_or_default(),
        ..process.clone()
    };
    let executable = &context.node.config.executable;
    let failure = match runtime::execute(executable, pid, process, grace_period(context)).await {
        Ok(executed) if executed.status == 0 => return,
        Ok(executed) => format!(
            "exit status {}: {}",
            executed.status,
            executed.output.trim()
        ),
        Err(error) => chain(&error),
    };
    let reason = if name == "preStop" {
        "FailedPreStopHook"
    } else {
        "FailedPostStartHook"
    };
    context
        .node
        .events
        .record(&context.pod(), None, Level::Warning, reason, failure);
}

/// Returns when the container must not run any more.
pub(crate) async fn stopped(stop: &mut Stop) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns when the time in `stop` has come.
async fn deadline(stop: &mut Stop) {
    loop {
        let at = *stop.borrow_and_update();
        let passed = async {
            match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = passed => return,
            changed = stop.changed() => if changed.is_err() {
                if let Some(at) = at {
                    tokio::time::sleep_until(at.into()).await;
                }
                return;
            }
        }
    }
}
