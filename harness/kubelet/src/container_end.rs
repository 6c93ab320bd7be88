//! How a container is brought to its end: hooks, signals, deadlines; and its last words.

use crate::container_order::{chain, termination_log};
use crate::events::Level;
use crate::logs::{self, Request, Run};
use crate::pod_context::PodContext;
use crate::runtime::{self, Running};
use harness_kernel::container::ProcessSpec;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// When a container must have ended; none while it may run.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

/// Longest part of a container's last words that is kept, in bytes.
const LAST_WORDS: usize = 4096;

/// As much of the end of its log may stand for them: so many lines, and of those so many bytes.
const LAST_LINES: usize = 80;
const LAST_BYTES: usize = 2048;

/// Stands where a private key begins and where it ends.
const KEY: &[u8] = b"PRIVATE KEY-----";

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

/// What a container that has ended left as its last words; where it left none and wants it so, the end of its log, which is
/// whole by then.
pub(crate) async fn last_words(
    context: &PodContext,
    container: &Container,
    status: i32,
) -> Option<String> {
    let mut words = std::fs::read(termination_log(context, container)).unwrap_or_default();
    if words.is_empty()
        && has_log_for_words(container, status)
        && let Some(run) = context.logs.find(&container.name, false)
    {
        words = end_of(run).await;
    }
    let kept = &words[words.len().saturating_sub(LAST_WORDS)..];
    (!kept.is_empty()).then(|| String::from_utf8_lossy(kept).into_owned())
}

/// Whether the log is to stand for last words that a container has not left.
fn has_log_for_words(container: &Container, status: i32) -> bool {
    let policy = container.termination_message_policy.as_deref();
    status != 0 && policy == Some("FallbackToLogsOnError")
}

/// The end of a log that is whole.
async fn end_of(run: Run) -> Vec<u8> {
    let request = Request {
        tail: Some(LAST_LINES),
        ..Request::default()
    };
    // There is room for all of them: nobody takes them meanwhile.
    let (sender, mut lines) = mpsc::channel(LAST_LINES);
    if let Err(error) = logs::read(run, request, sender).await {
        tracing::warn!(%error, "the end of a log was not read");
    }
    let mut text = Vec::new();
    while let Some(Ok(line)) = lines.recv().await {
        text.extend_from_slice(&line);
    }
    let end = text.split_off(text.len().saturating_sub(LAST_BYTES));
    // Whoever shows messages knows a key by how it begins, and this may begin within one.
    let has_key = end.windows(KEY.len()).any(|words| words == KEY);
    if has_key { Vec::new() } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::testing::node;
    use crate::pods::Newest;
    use std::sync::Arc;

    #[test]
    fn a_log_stands_for_last_words_after_an_error_where_that_is_wanted() {
        let container = |policy: &str| Container {
            termination_message_policy: Some(policy.to_owned()),
            ..Container::default()
        };
        assert!(has_log_for_words(&container("FallbackToLogsOnError"), 1));
        assert!(!has_log_for_words(&container("FallbackToLogsOnError"), 0));
        assert!(!has_log_for_words(&container("File"), 1));
        assert!(!has_log_for_words(&Container::default(), 1));
    }

    #[tokio::test]
    async fn what_a_container_left_goes_before_the_end_of_its_log() {
        let disk = tempfile::tempdir().unwrap();
        let nobody: axum::Router = axum::Router::new();
        let client = kube::Client::new(nobody, "default");
        let (_newest, newest) = watch::channel(Newest {
            pod: Arc::default(),
            removed: false,
        });
        let context = PodContext::new(node(disk.path(), &client), newest);
        let container = Container {
            name: "only".to_owned(),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..Container::default()
        };
        let said = std::io::Cursor::new(b"said\n".to_vec());
        let logs = &context.logs;
        let log = logs.record("only", Box::new(said), Box::new(tokio::io::empty()));
        log.await.unwrap();
        let file = termination_log(&context, &container);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        for (left, status, told) in [
            ("left", 1, Some("left")),
            ("left", 0, Some("left")),
            ("", 1, Some("said\n")),
            ("", 0, None),
        ] {
            std::fs::write(&file, left).unwrap();
            let words = last_words(&context, &container, status).await;
            assert_eq!(words.as_deref(), told, "{left:?} and {status}");
        }
        let long = format!("{}{}", "a".repeat(LAST_WORDS), "b".repeat(LAST_WORDS));
        std::fs::write(&file, long).unwrap();
        let words = last_words(&context, &container, 1).await;
        assert_eq!(words, Some("b".repeat(LAST_WORDS)));
    }

    #[tokio::test]
    async fn of_a_log_the_last_lines_are_told_and_of_long_ones_the_last_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let told = async |lines: Vec<String>| {
            let written = |line: &String| format!("2026-01-02T03:04:05Z stderr F {line}\n");
            let log: String = lines.iter().map(written).collect();
            std::fs::write(&path, &log).unwrap();
            let bytes = u64::try_from(log.len()).unwrap();
            String::from_utf8(end_of(Run::ended(path.clone(), bytes)).await).unwrap()
        };
        let numbered = told((1..=100).map(|number| number.to_string()).collect()).await;
        assert_eq!(numbered.lines().next(), Some("21"));
        assert_eq!(numbered.lines().last(), Some("100"));
        let long = told(vec!["a".repeat(3000), "b".repeat(2000)]).await;
        assert_eq!(long.len(), LAST_BYTES);
        assert!(long.starts_with("aa") && long.ends_with("b\n"), "{long}");
        assert_eq!(told(Vec::new()).await, "");
        let cut = told(vec![
            "x".repeat(3000),
            "-----END PRIVATE KEY-----".to_owned(),
        ])
        .await;
        assert_eq!(cut, "", "its beginning is cut off");
    }
}
