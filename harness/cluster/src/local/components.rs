//! etcd, API server, controller-manager and scheduler: their files, their flags, and a supervisor for each.
//!
//! They are started all at once; those that need the API server reach it through a gate (see `gate`).

use super::pki::{Authority, Pair, Subject, service_account_key};
use super::plan::{API_PORT, API_SERVER, CLUSTER_DOMAIN, SERVICE_CIDR};
use super::programs::Programs;
use super::switch::Switch;
use super::{ACCOUNT_KEY, failed};
use crate::ClusterError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{mpsc, watch};

/// Port of the loopback by which the scheduler reaches the API server, as soon as that serves.
pub(super) const SCHEDULER_GATE: u16 = 6444;
/// That of the controller-manager; it asks whether the API server is ready, and only once a second, and is told so at once.
pub(super) const MANAGER_GATE: u16 = 6445;
const ETCD: &str = "http://127.0.0.1:2379";
/// How far the heap of a component grows beyond what is in use before Go collects what is not, in percent: twice what Go does
/// by itself. All share the processor with everything that is judged.
const GOGC: &str = "200";
/// Seconds without a word from a node after which it is taken for gone; Kubernetes waits for fifty. An etcd that hangs for eight
/// seconds, and an API server that is away for ten, are no nodes that are gone: all pods were declared unready once etcd went on,
/// for as long as their nodes needed to say otherwise, and requests were lost over that.
pub(super) const NODE_GONE_AFTER: u64 = 16;
/// Pause before a component that died is started again.
const RESTART: Duration = Duration::from_millis(500);

/// One process of the control plane of Kubernetes.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<String>,
}

/// The programs of components and the folders that they use.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// The programs.
    pub(super) programs: Programs,
    /// Keys and data, in memory, seen by the fabric only.
    pub(super) state: PathBuf,
    /// One log for each.
    pub(super) logs: PathBuf,
}

impl Folders {
    fn program(&self, component: &Component) -> &Path {
        // An unknown component has no program, which is told like one that is not there.
        self.programs
            .named(component.name)
            .unwrap_or(Path::new(component.name))
    }
}

/// A component ended before the cluster was ready.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) how: String,
    pub(super) log: PathBuf,
}

/// Writes everything the components read, and says how to start them. Returns the administrator's certificate too.
pub(super) fn prepare(
    authority: &Authority,
    folders: &Folders,
) -> Result<(Vec<Component>, Pair), ClusterError> {
    let signed = |result: Result<Pair, rcgen::Error>| result.map_err(failed("sign a certificate"));
    let state = &folders.state;
    let write = |name: &str, text: &str| {
        let path = state.join(name);
        fs::write(&path, text)
            .map(|()| path.display().to_string())
            .map_err(failed(format!("write {}", path.display())))
    };
    let write_pair = |name: &str, pair: &Pair| {
        Ok::<_, ClusterError>((
            write(&format!("{name}.crt"), &pair.certificate)?,
            write(&format!("{name}.key"), &pair.key)?,
        ))
    };
    let client = |user: &str, group: &str| signed(authority.sign(&Subject::Client { user, group }));

    let ca = write("ca.crt", &authority.certificate)?;
    let (private, public) =
        service_account_key().map_err(failed("make the service account key"))?;
    let account_private = write(ACCOUNT_KEY, &private)?;
    let account_public = write("service-account.pub", &public)?;
    let (serving, serving_key) = write_pair("apiserver", &signed(authority.api_server())?)?;
    let kubelet_client = client("kube-apiserver-kubelet-client", "system:masters")?;
    let (kubelet_client, kubelet_client_key) = write_pair("kubelet-client", &kubelet_client)?;
    let kubeconfig_of = |user: &str, gate: u16| {
        // In `system:masters`: else the manager needs one token for each of forty controllers before they start, and the scheduler
        // roles that the API server makes a second after it serves. Who is refused waits another one before he asks again.
        let pair = client(user, "system:masters")?;
        let server = format!("https://127.0.0.1:{gate}");
        write(
            &format!("{user}.kubeconfig"),
            &kubeconfig("local", &server, &authority.certificate, &pair),
        )
    };
    let manager = kubeconfig_of("system:kube-controller-manager", MANAGER_GATE)?;
    let scheduler = kubeconfig_of("system:kube-scheduler", SCHEDULER_GATE)?;
    let scheduler_config = write("scheduler.yaml", &scheduler_configuration(&scheduler))?;

    let data = state.join("etcd").display().to_string();
    let certificates = state.join("certificates").display().to_string();
    let components = vec![
        component(
            "etcd",
            &[
                ("data-dir", &data),
                ("listen-client-urls", ETCD),
                ("advertise-client-urls", ETCD),
                ("listen-peer-urls", "http://127.0.0.1:2380"),
                // Nothing outlives the cluster, so nothing needs to reach a disk.
                ("unsafe-no-fsync", "true"),
                ("heartbeat-interval", "10"),
                ("election-timeout", "100"),
                ("log-level", "warn"),
            ],
        ),
        component(
            "kube-apiserver",
            &[
                ("etcd-servers", ETCD),
                ("bind-address", &API_SERVER.to_string()),
                ("advertise-address", &API_SERVER.to_string()),
                ("secure-port", &API_PORT.to_string()),
                ("service-cluster-ip-range", SERVICE_CIDR),
                ("authorization-mode", "Node,RBAC"),
                ("enable-admission-plugins", "NodeRestriction"),
                ("client-ca-file", &ca),
                ("tls-cert-file", &serving),
                ("tls-private-key-file", &serving_key),
                ("cert-dir", &certificates),
                ("kubelet-certificate-authority", &ca),
                ("kubelet-client-certificate", &kubelet_client),
                ("kubelet-client-key", &kubelet_client_key),
                ("kubelet-preferred-address-types", "InternalIP"),
                (
                    "service-account-issuer",
                    &format!("https://kubernetes.default.svc.{CLUSTER_DOMAIN}"),
                ),
                ("service-account-key-file", &account_public),
                ("service-account-signing-key-file", &account_private),
                ("allow-privileged", "true"),
                // We write the one endpoint ourselves, at once.
                ("endpoint-reconciler-type", "none"),
                ("enable-priority-and-fairness", "false"),
                ("max-requests-inflight", "1000"),
                ("max-mutating-requests-inflight", "500"),
                (
                    "feature-gates",
                    "APIServerIdentity=false,UnknownVersionInteroperabilityProxy=false",
                ),
                // Pods of a node that is gone stay long enough for a zone that was cut off to come back with them.
                ("default-not-ready-toleration-seconds", "60"),
                ("default-unreachable-toleration-seconds", "60"),
                ("profiling", "false"),
            ],
        ),
        component(
            "kube-controller-manager",
            &[
                ("kubeconfig", &manager),
                ("leader-elect", "false"),
                // Serving would cost the making of an RSA key.
                ("secure-port", "0"),
                ("use-service-account-credentials", "false"),
                ("service-account-private-key-file", &account_private),
                ("root-ca-file", &ca),
                ("allocate-node-cidrs", "false"),
                ("node-monitor-period", "500ms"),
                ("node-monitor-grace-period", &format!("{NODE_GONE_AFTER}s")),
                ("node-startup-grace-period", "10s"),
                ("kube-api-qps", "500"),
                ("kube-api-burst", "1000"),
                ("profiling", "false"),
            ],
        ),
        component(
            "kube-scheduler",
            &[("config", &scheduler_config), ("secure-port", "0")],
        ),
    ];
    for component in &components {
        let program = folders.program(component);
        if !program.is_file() {
            return Err(ClusterError {
                act: format!("find {}", program.display()),
                source: None,
                hint: Some("run without `--assets` to have the assets made".into()),
                left: Vec::new(),
            });
        }
    }
    Ok((
        components,
        client("meshproof:administrator", "system:masters")?,
    ))
}

fn component(name: &'static str, flags: &[(&str, &str)]) -> Component {
    Component {
        name,
        arguments: flags
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}"))
            .collect(),
    }
}

fn scheduler_configuration(kubeconfig: &str) -> String {
    // One second is the least it accepts; pods wait for nodes at the start, and must not wait long.
    format!(
        "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {{ leaderElect: false }}
clientConnection: {{ kubeconfig: {kubeconfig:?}, qps: 500, burst: 1000 }}
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 1
"
    )
}

/// A kubeconfig with everything inside.
pub(super) fn kubeconfig(name: &str, server: &str, ca: &str, user: &Pair) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": server,
            "certificate-authority-data": encode(ca),
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": encode(&user.certificate),
            "client-key-data": encode(&user.key),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    })
    .to_string()
}

/// A component as its switch sees it.
#[derive(Clone, Debug)]
pub(super) struct Supervised {
    name: &'static str,
    /// Off: it is not started again, or does not go on.
    pub(super) switch: Switch,
    /// Its process, while it runs.
    pid: Arc<Mutex<Option<i32>>>,
}

impl Supervised {
    /// On, and not started yet.
    pub(super) fn new(component: &Component) -> Self {
        Self {
            name: component.name,
            switch: Switch::new(),
            pid: Arc::default(),
        }
    }

    /// Kills it and keeps it from coming back for this time.
    pub(super) fn kill(&self, time: Duration) -> Result<String, ClusterError> {
        self.switch.off_for(time);
        self.signal(Signal::SIGKILL)
            .inspect_err(|_| self.switch.on())?;
        Ok(format!("{} is killed", self.name))
    }

    /// Stops it for this time.
    pub(super) fn stop(&self, time: Duration) -> Result<String, ClusterError> {
        self.switch.off_for(time);
        self.signal(Signal::SIGSTOP)
            .inspect_err(|_| self.switch.on())?;
        let own = self.clone();
        tokio::spawn(async move {
            own.switch.is_on().await;
            // Who is gone meanwhile needs nothing.
            let _ = own.signal(Signal::SIGCONT);
        });
        Ok(format!("{} is stopped", self.name))
    }

    fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        let act = format!("send {signal} to {}", self.name);
        // Held until the signal is sent: whoever waits for the process must not have reaped it before.
        let pid = self.pid();
        let Some(pid) = *pid else {
            return Err(ClusterError::because(act, "it does not run"));
        };
        kill(Pid::from_raw(pid), signal).map_err(failed(act))
    }

    fn pid(&self) -> MutexGuard<'_, Option<i32>> {
        // A number is always whole.
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a component for ever. Until `ready` its end is told to `ended` and final, since a component that cannot
/// start will not by trying again; after that it is started again, once it is switched on.
pub(super) async fn supervise(
    component: Component,
    own: Supervised,
    folders: Folders,
    ready: watch::Receiver<bool>,
    ended: mpsc::Sender<Ended>,
) {
    let log = folders.logs.join(format!("{}.log", component.name));
    loop {
        let how = match run(&component, &own, &folders, &log).await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        if !*ready.borrow() {
            let name = component.name.to_owned();
            // Nobody listens when the cluster is going down already.
            let _ = ended.send(Ended { name, how, log }).await;
            return;
        }
        tracing::warn!(component = component.name, how, "ended; starting it again");
        #[expect(
            clippy::disallowed_methods,
            reason = "a component that dies at once must not fill the machine"
        )]
        tokio::time::sleep(RESTART).await;
        own.switch.is_on().await;
    }
}

async fn run(
    component: &Component,
    own: &Supervised,
    folders: &Folders,
    log: &Path,
) -> std::io::Result<ExitStatus> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut child = Command::new(folders.program(component))
        .args(&component.arguments)
        // Proxies and other settings of the user must not reach them.
        .env_clear()
        .env("PATH", harness_kernel::search_path())
        .env("GOGC", GOGC)
        .current_dir(&folders.state)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    *own.pid() = child.id().and_then(|pid| i32::try_from(pid).ok());
    let status = child.wait().await;
    *own.pid() = None;
    status
}

/// The last lines of a log, for an error message.
pub(super) fn tail(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    });
    if let Err(error) = read {
        return format!("{}: {error}", log.display());
    }
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
