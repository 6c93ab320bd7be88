//! The yardstick of bringing up: etcd and an API server with RBAC alone, until `/readyz` says yes.
//!
//! The same programs with the same flags as in a cluster of ours, in namespaces of their own. This program starts
//! itself again in them; what it has started there ends with it.

use super::credentials;
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use harness_assets::Assets;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The API server's address and port, as in a cluster of ours.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 1);
const PORT: u16 = 6443;
const ETCD: &str = "http://127.0.0.1:2379";
/// How often it is asked, as in a cluster of ours.
const ASK: Duration = Duration::from_millis(10);
/// How long it may take.
const BOUND: Duration = Duration::from_secs(120);

/// What the process inside is told.
#[derive(Debug, Args)]
pub(crate) struct Inside {
    /// etcd
    etcd: PathBuf,
    /// kube-apiserver
    api_server: PathBuf,
    /// An empty folder for everything that is written
    folder: PathBuf,
    /// A program to run once it is ready, with `KUBECONFIG` for an administrator; its output is handed on
    #[arg(last = true)]
    then: Vec<OsString>,
}

/// Brings both up in new namespaces and takes them down again. Milliseconds from the start of etcd to readiness.
///
/// # Errors
///
/// When the namespaces cannot be made or the API server does not become ready.
pub(super) fn measure(assets: &Assets, folder: &Path) -> anyhow::Result<f64> {
    let text = with(assets, folder, &[])?;
    text.trim().parse().context("read how long it took")
}

/// Runs `then` beside an API server alone, and returns what it has printed. Without a program: the milliseconds until the
/// API server was ready.
///
/// # Errors
///
/// When the namespaces cannot be made, the API server does not become ready, or the program fails.
pub(super) fn with(assets: &Assets, folder: &Path, then: &[OsString]) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let own = std::env::current_exe().context("find this program")?;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--pid"])
        .args(["--fork", "--kill-child", "--mount-proc", "--"])
        .arg(own)
        .arg("bench-inside")
        .arg(&assets.etcd)
        .arg(&assets.kube_apiserver)
        .arg(folder)
        .arg("--")
        .args(then)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("start unshare")?;
    ensure!(
        output.status.success(),
        "an API server alone, or what was to run beside it, did not work (see {})",
        folder.display()
    );
    String::from_utf8(output.stdout).context("read what it printed")
}

/// The process inside the namespaces: starts both, waits, prints the milliseconds, and takes both with it.
///
/// # Errors
///
/// When something cannot be prepared or does not become ready.
pub(crate) fn inside(arguments: &Inside) -> anyhow::Result<bool> {
    let state = arguments.folder.join("state");
    std::fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
    // In memory, as in a cluster of ours; it goes with the namespace.
    finish(
        Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(&state),
    )?;
    network()?;
    let authority = credentials::write(&state, ADDRESS)?;
    let client = client(authority)?;
    let started = Instant::now();
    let mut processes = [
        start(&arguments.etcd, &etcd_flags(&state), &arguments.folder)?,
        start(
            &arguments.api_server,
            &api_server_flags(&state),
            &arguments.folder,
        )?,
    ];
    while !is_ready(&client) {
        for process in &mut processes {
            if let Some(status) = process.try_wait().context("look after a process")? {
                bail!("one of them ended with {status}");
            }
        }
        ensure!(
            started.elapsed() < BOUND,
            "it was not ready after {} s",
            BOUND.as_secs()
        );
        pause();
    }
    let Some((program, arguments)) = arguments.then.split_first() else {
        println!("{}", super::program::millis(started.elapsed()));
        return Ok(true);
    };
    let kubeconfig = state.join("kubeconfig");
    std::fs::write(
        &kubeconfig,
        credentials::kubeconfig(&state, ADDRESS, PORT).to_string(),
    )
    .context("write the kubeconfig")?;
    let status = Command::new(program)
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        program.display()
    );
    Ok(true)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an API server tells nobody that it is ready; it has to be asked"
)]
fn pause() {
    std::thread::sleep(ASK);
}

/// A bridge with the address, and a default route, which the API server wants.
fn network() -> anyhow::Result<()> {
    let address = format!("{ADDRESS}/24");
    let steps: [&[&str]; 5] = [
        &["link", "set", "lo", "up"],
        &["link", "add", "backbone0", "type", "bridge"],
        &["address", "add", &address, "dev", "backbone0"],
        &["link", "set", "backbone0", "up"],
        &["route", "add", "default", "dev", "backbone0"],
    ];
    steps
        .into_iter()
        .try_for_each(|step| finish(Command::new("ip").args(step)))
}

fn finish(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn start(program: &Path, flags: &[String], logs: &Path) -> anyhow::Result<Child> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let file = logs.join(format!("{name}.log"));
    let log = File::create(&file).with_context(|| format!("write {}", file.display()))?;
    let errors = log.try_clone().context("share a log")?;
    Command::new(program)
        .args(flags)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(logs)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}

/// As in `harness-cluster`, `local::components`; a test compares.
fn etcd_flags(state: &Path) -> Vec<String> {
    flags(&[
        ("data-dir", &state.join("etcd").display().to_string()),
        ("listen-client-urls", ETCD),
        ("advertise-client-urls", ETCD),
        ("listen-peer-urls", "http://127.0.0.1:2380"),
        ("unsafe-no-fsync", "true"),
        ("heartbeat-interval", "10"),
        ("election-timeout", "100"),
        ("log-level", "warn"),
    ])
}

/// As in `harness-cluster`, `local::components`; a test compares.
fn api_server_flags(state: &Path) -> Vec<String> {
    let file = |name: &str| state.join(name).display().to_string();
    flags(&[
        ("etcd-servers", ETCD),
        ("bind-address", &ADDRESS.to_string()),
        ("advertise-address", &ADDRESS.to_string()),
        ("secure-port", &PORT.to_string()),
        ("service-cluster-ip-range", "10.96.0.0/16"),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("client-ca-file", &file("ca.crt")),
        ("tls-cert-file", &file("apiserver.crt")),
        ("tls-private-key-file", &file("apiserver.key")),
        ("cert-dir", &file("certificates")),
        ("kubelet-certificate-authority", &file("ca.crt")),
        ("kubelet-client-certificate", &file("kubelet-client.crt")),
        ("kubelet-client-key", &file("kubelet-client.key")),
        ("kubelet-preferred-address-types", "InternalIP"),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        ),
        ("service-account-key-file", &file("service-account.pub")),
        (
            "service-account-signing-key-file",
            &file("service-account.key"),
        ),
        ("allow-privileged", "true"),
        ("endpoint-reconciler-type", "none"),
        ("enable-priority-and-fairness", "false"),
        ("max-requests-inflight", "1000"),
        ("max-mutating-requests-inflight", "500"),
        (
            "feature-gates",
            "APIServerIdentity=false,UnknownVersionInteroperabilityProxy=false",
        ),
        ("default-not-ready-toleration-seconds", "60"),
        ("default-unreachable-toleration-seconds", "60"),
        ("profiling", "false"),
    ])
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags
        .iter()
        .map(|(flag, value)| format!("--{flag}={value}"))
        .collect()
}

/// One configuration for all connections, so that all but the first resume and cost the server little.
fn client(authority: CertificateDer<'static>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).context("trust the authority")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Everybody may ask for `/readyz` once the default roles are there; before it is refused, which is not ready too.
fn is_ready(client: &Arc<ClientConfig>) -> bool {
    ask(client).is_ok_and(|answer| {
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200")
    })
}

fn ask(client: &Arc<ClientConfig>) -> anyhow::Result<String> {
    let server = SocketAddr::from((ADDRESS, PORT));
    let mut socket = TcpStream::connect(server).context("connect")?;
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .context("set a bound")?;
    let name = ServerName::from(std::net::IpAddr::V4(ADDRESS));
    let mut session = ClientConnection::new(Arc::clone(client), name).context("start TLS")?;
    let mut stream = Stream::new(&mut session, &mut socket);
    stream
        .write_all(b"GET /readyz HTTP/1.0\r\n\r\n")
        .context("ask")?;
    let mut answer = [0; 32];
    stream
        .read_exact(&mut answer[..12])
        .context("read the answer")?;
    Ok(String::from_utf8_lossy(&answer[..12]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Names of flags in the sources of the cluster, from one line to another.
    fn flags_of_the_cluster(from: &str, to: &str) -> BTreeSet<String> {
        let file = crate::workspace::root().join("harness/cluster/src/local/components.rs");
        let text = std::fs::read_to_string(file).expect("the cluster has this file");
        let start = text.find(from).expect("the component is there");
        let rest = &text[start + from.len()..];
        let end = rest.find(to).expect("another component follows");
        let words = rest[..end].split('"').skip(1).step_by(2);
        let is_flag = |word: &&str| {
            word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        };
        words.filter(is_flag).map(str::to_owned).collect()
    }

    fn names(flags: &[String]) -> BTreeSet<String> {
        flags
            .iter()
            .filter_map(|flag| flag.trim_start_matches('-').split_once('='))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name.contains('-'))
            .collect()
    }

    #[test]
    fn the_yardstick_has_the_flags_of_the_cluster() {
        let state = Path::new("/state");
        let etcd = flags_of_the_cluster("\"etcd\",", "\"kube-apiserver\",");
        assert_eq!(names(&etcd_flags(state)), etcd);
        let api_server =
            flags_of_the_cluster("\"kube-apiserver\",", "\"kube-controller-manager\",");
        assert_eq!(names(&api_server_flags(state)), api_server);
    }
}
