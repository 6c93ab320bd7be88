//! Startup, readiness and liveness probes: HTTP, TCP and exec, run from the node.
//!
//! One difference from Kubernetes makes pods ready sooner: until the first success, startup and readiness probes are
//! repeated after [`EAGEREST`], and then more and more seldom up to every [`EAGER`], instead of every `periodSeconds`.
//! Failures are still counted, and told, once a period, so that `failureThreshold` means the same time.

use crate::events::Level;
use crate::pod_context::PodContext;
use crate::runtime;
use bytes::Bytes;
use harness_kernel::container::ProcessSpec;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How soon a probe that never succeeded is repeated at first: most programs listen a moment after they are started.
const EAGEREST: Duration = Duration::from_millis(10);
/// How soon it is repeated at last.
const EAGER: Duration = Duration::from_millis(100);

/// What is probed.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) context: Arc<PodContext>,
    pub(crate) container: Container,
    /// The container's init.
    pub(crate) pid: i32,
    /// For exec probes: everything but the command.
    pub(crate) process: ProcessSpec,
}

/// Counts results the way a probe's thresholds ask for.
#[derive(Debug)]
struct Counter {
    success_threshold: i32,
    failure_threshold: i32,
    successes: i32,
    failures: i32,
}

impl Counter {
    fn new(probe: &Probe) -> Self {
        Self {
            success_threshold: probe.success_threshold.unwrap_or(1).max(1),
            failure_threshold: probe.failure_threshold.unwrap_or(3).max(1),
            successes: 0,
            failures: 0,
        }
    }

    /// `Some` when a threshold is reached by this result.
    fn count(&mut self, success: bool) -> Option<bool> {
        if success {
            self.failures = 0;
            self.successes += 1;
            (self.successes >= self.success_threshold).then_some(true)
        } else {
            self.successes = 0;
            self.failures += 1;
            (self.failures >= self.failure_threshold).then_some(false)
        }
    }
}

/// Runs a container's probes, keeps its `started` and `ready` facts, and returns with a reason when the container
/// must be killed.
pub(crate) async fn watch(target: Target) -> String {
    let container = &target.container;
    let name = container.name.clone();
    if let Some(probe) = &container.startup_probe {
        let mut counter = Counter::new(probe);
        if !repeat(&target, "Startup", probe, &mut counter, |reached| reached).await {
            return format!("Container {name} failed startup probe, will be restarted");
        }
    }
    let without_readiness = container.readiness_probe.is_none();
    target.context.update(&name, |facts| {
        facts.started = true;
        facts.ready = without_readiness;
    });
    let readiness = async {
        let Some(probe) = &container.readiness_probe else {
            return std::future::pending::<bool>().await;
        };
        let mut counter = Counter::new(probe);
        let ready = |reached: Option<bool>| {
            if let Some(ready) = reached {
                target.context.update(&name, |facts| facts.ready = ready);
            }
            None
        };
        repeat(&target, "Readiness", probe, &mut counter, ready).await
    };
    let liveness = async {
        let Some(probe) = &container.liveness_probe else {
            return std::future::pending::<bool>().await;
        };
        let mut counter = Counter::new(probe);
        let dead = |reached: Option<bool>| (reached == Some(false)).then_some(false);
        repeat(&target, "Liveness", probe, &mut counter, dead).await
    };
    tokio::select! {
        _ = readiness => {}
        _ = liveness => {}
    }
    format!("Container {name} failed liveness probe, will be restarted")
}

/// Probes until `decide` says what it is worth.
async fn repeat(
    target: &Target,
    kind: &str,
    probe: &Probe,
    counter: &mut Counter,
    decide: impl Fn(Option<bool>) -> Option<bool>,
) -> bool {
    let seconds = |value: Option<i32>, default: u64| {
        Duration::from_secs(
            value
                .and_then(|value| u64::try_from(value).ok())
                .unwrap_or(default),
        )
    };
    let period = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
    let patience = seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1));
    pause(seconds(probe.initial_delay_seconds, 0)).await;
    let eager = kind != "Liveness";
    let mut succeeded = false;
    let mut soon = EAGEREST;
    let mut counted: Option<Instant> = None;
    loop {
        // An exec probe ends its process itself when it takes too long.
        let bound = if probe.exec.is_some() {
            patience * 2
        } else {
            patience
        };
        let result = match tokio::time::timeout(bound, once(target, probe, patience)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        };
        let due = counted.is_none_or(|counted| counted.elapsed() >= period);
        let success = result.is_ok();
        succeeded |= success;
        // The first failures of a container that is still starting say nothing yet.
        if success || (due && (!eager || succeeded || counted.is_some())) {
            if let Err(message) = &result {
                let message = format!("{kind} probe failed: {message}");
                let pod = target.context.pod();
                let events = &target.context.node.events;
                events.record(
                    &pod,
                    Some(&target.container.name),
                    Level::Warning,
                    "Unhealthy",
                    message,
                );
            }
            counted = Some(Instant::now());
            if let Some(decided) = decide(counter.count(success)) {
                return decided;
            }
        } else if counted.is_none() {
            counted = Some(Instant::now());
        }
        let is_eager = eager && !succeeded;
        pause(if is_eager { soon } else { period }).await;
        soon = next_soon(soon);
    }
}

/// The pause after this one, as long as there is no success.
fn next_soon(soon: Duration) -> Duration {
    (soon * 2).min(EAGER)
}

async fn pause(delay: Duration) {
    if !delay.is_zero() {
        #[expect(
            clippy::disallowed_methods,
            reason = "the pod says how often it wants to be asked"
        )]
        tokio::time::sleep(delay).await;
    }
}

/// One attempt; the error is what an event says.
async fn once(target: &Target, probe: &Probe, patience: Duration) -> Result<(), String> {
    if let Some(exec) = &probe.exec {
        let arguments = exec.command.clone().unwrap_or_default();
        let process = ProcessSpec {
            arguments,
            ..target.process.clone()
        };
        let executable = &target.context.node.config.executable;
        let executed = runtime::execute(executable, target.pid, process, patience)
            .await
            .map_err(|error| error.to_string())?;
        return match executed.status {
            0 => Ok(()),
            status => Err(format!("exit status {status}: {}", executed.output.trim())),
        };
    }
    let address = target
        .context
        .facts
        .borrow()
        .address
        .map(|address| address.to_string());
    let address = address.unwrap_or_default();
    if let Some(http) = &probe.http_get {
        return http_get(target, http, &address).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let port = port_number(&target.container, &tcp.port)?;
        let host = tcp.host.clone().unwrap_or(address);
        return match TcpStream::connect((host.as_str(), port)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("dial tcp {host}:{port}: {error}")),
        };
    }
    Err("gRPC probes are not supported here".to_owned())
}

async fn http_get(target: &Target, action: &HTTPGetAction, address: &str) -> Result<(), String> {
    if action.scheme.as_deref() == Some("HTTPS") {
        return Err("HTTPS probes are not supported here".to_owned());
    }
    let port = port_number(&target.container, &action.port)?;
    let host = action.host.as_deref().unwrap_or(address);
    let path = action.path.as_deref().unwrap_or("/");
    let url = format!("http://{host}:{port}{path}");
    let failed = |error: &dyn std::fmt::Display| format!("Get \"{url}\": {error}");
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let mut request = http::Request::get(path)
        .header(http::header::USER_AGENT, "kube-probe/1.36")
        .header(http::header::ACCEPT, "*/*")
        .header(http::header::CONNECTION, "close");
    let mut named_host = false;
    for header in action.http_headers.iter().flatten() {
        named_host |= header.name.eq_ignore_ascii_case("host");
        request = request.header(&header.name, &header.value);
    }
    if !named_host {
        request = request.header(http::header::HOST, format!("{host}:{port}"));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        // The body is read, or servers would see their answer refused.
        let _ = answer.into_body().collect().await;
        Ok::<_, hyper::Error>(status)
    };
    tokio::pin!(exchange);
    let status = tokio::select! {
        status = &mut exchange => status,
        // A connection that is closed after the answer may be seen closed before the answer is looked at.
        result = connection => match result {
            Ok(()) => exchange.await,
            Err(error) => Err(error),
        },
    };
    let status = status.map_err(|error| failed(&error))?;
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(format!(
            "HTTP probe failed with statuscode: {}",
            status.as_u16()
        ))
    }
}

/// A port by number or by the container's name for it.
fn port_number(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("port {port:?} is not one of the container's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_consecutive() {
        let probe = Probe {
            success_threshold: Some(2),
            failure_threshold: Some(2),
            ..Probe::default()
        };
        let mut counter = Counter::new(&probe);
        let results = [true, false, true, true, false, false];
        let reached: Vec<_> = results
            .into_iter()
            .map(|result| counter.count(result))
            .collect();
        assert_eq!(reached, [None, None, None, Some(true), None, Some(false)]);
    }

    #[test]
    fn a_program_that_starts_is_asked_at_once_and_then_more_and_more_seldom() {
        let pauses = std::iter::successors(Some(EAGEREST), |soon| Some(next_soon(*soon)));
        let millis: Vec<u128> = pauses.take(6).map(|soon| soon.as_millis()).collect();
        assert_eq!(millis, [10, 20, 40, 80, 100, 100]);
    }

    #[test]
    fn ports_have_names() {
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "ports": [{"name": "web", "containerPort": 8080}]}))
        .unwrap();
        let named = IntOrString::String("web".to_owned());
        assert_eq!(port_number(&container, &named), Ok(8080));
        assert_eq!(port_number(&container, &IntOrString::Int(99)), Ok(99));
        assert!(port_number(&container, &IntOrString::String("x".to_owned())).is_err());
    }
}
