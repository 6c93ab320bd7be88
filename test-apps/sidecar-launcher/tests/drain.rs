//! The launcher as Kubernetes ends it: SIGTERM while a request is under way. The launcher and Envoy are real; Envoy has a
//! configuration of the test's own, so that no control plane is needed. `MESHPROOF_ENVOY` names the Envoy; `cargo xtask test`
//! sets it.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{interval, timeout};

/// How long anything may take: all of it is events, so only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// `DRAIN_SECONDS`: longer than the test lasts, so that it is never the bound that ends a request.
const DRAIN_SECONDS: &str = "600";

/// What the launcher starts in Envoy's place: the same process with the same arguments, but for the configuration.
const SCRIPT: &str = r#"#!/bin/sh
[ "$1" = --config-path ] || exit 1
shift 2
exec "$MESHPROOF_ENVOY" --config-path "$CONFIGURATION" "$@"
"#;

/// What the application answers when nothing holds it back.
const AT_ONCE: &str = "at once";

/// What the application answers when it is let go.
fn held_back() -> String {
    "held back ".repeat(1000)
}

/// What the application waits for, and what the test waits for.
#[derive(Debug, Default)]
struct Gate {
    /// The request that is held back has come.
    has_request: watch::Sender<bool>,
    /// It may be answered.
    is_open: watch::Sender<bool>,
}

/// Serves an application that answers `/` at once, and `/held` when the gate is open.
fn serve_application(socket: &Path) -> Arc<Gate> {
    async fn hold(State(gate): State<Arc<Gate>>) -> String {
        gate.has_request.send_replace(true);
        let mut is_open = gate.is_open.subscribe();
        // The sender is in the state, so it is there.
        let _ = is_open.wait_for(|open| *open).await;
        held_back()
    }
    let gate = Arc::new(Gate::default());
    let listener = UnixListener::bind(socket).expect("a socket");
    let application = Router::new()
        .route("/", get(async || AT_ONCE))
        .route("/held", get(hold))
        .with_state(Arc::clone(&gate));
    tokio::spawn(axum::serve(listener, application).into_future());
    gate
}

/// A launcher with its sidecar; both end with this, also when the test fails.
struct Launcher {
    process: Child,
    /// All files and sockets.
    folder: TempDir,
}

impl Launcher {
    /// Starts one whose sidecar leads from [`Launcher::listener`] to `application`.
    fn start(folder: TempDir, application: &Path) -> Self {
        assert!(
            std::env::var_os("MESHPROOF_ENVOY").is_some(),
            "MESHPROOF_ENVOY names no Envoy: `cargo xtask test` sets it; by hand, name the `envoy` of the assets",
        );
        let script = folder.path().join("envoy");
        std::fs::write(&script, SCRIPT).expect("written");
        std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("is ours");
        let admin_port = free_port();
        let configuration = folder.path().join("configuration.json");
        let content = envoy(admin_port, &listener(folder.path()), application);
        std::fs::write(&configuration, content.to_string()).expect("written");
        let process = Command::new(env!("CARGO_BIN_EXE_sidecar-launcher"))
            .env("ENVOY", script)
            .env("CONFIGURATION", configuration)
            .env("WORK_DIR", folder.path().join("work"))
            .env("DRAIN_SECONDS", DRAIN_SECONDS)
            .env("ADMIN_PORT", admin_port.to_string())
            // Nobody asks there.
            .env("XDS_ADDRESS", "127.0.0.1:1")
            .env("RELAY_PORT", "0")
            .env("LAUNCHER_LISTEN_PORT", "0")
            .env("READY_LISTEN_PORT", "0")
            .env("LOG", "warn")
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        Self { process, folder }
    }

    /// Where the sidecar listens.
    fn listener(&self) -> PathBuf {
        listener(self.folder.path())
    }

    /// As Kubernetes does it.
    fn tell_to_end(&self) {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        kill(Pid::from_raw(id.expect("runs")), Signal::SIGTERM).expect("is ours");
    }

    /// Its sidecars: the processes whose command line names a file of this test.
    fn sidecars(&self) -> Vec<Pid> {
        let folder = self.folder.path().to_str().expect("text");
        let processes = std::fs::read_dir("/proc").expect("is there");
        processes
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let id: i32 = entry.file_name().to_str()?.parse().ok()?;
                // One that is gone meanwhile is none of them.
                let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
                line.contains(folder).then_some(Pid::from_raw(id))
            })
            .collect()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // The launcher first, or it starts the sidecar again. One that has ended cannot be killed, which is as good.
        let _ = self.process.start_kill();
        for sidecar in self.sidecars() {
            let _ = kill(sidecar, Signal::SIGKILL);
        }
    }
}

fn listener(folder: &Path) -> PathBuf {
    folder.join("listener.sock")
}

/// A port that nobody has now. Envoy has to be told one, since the launcher asks there.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("is bound").port()
}

/// Envoy's configuration: a listener for HTTP, the application, and the admin interface.
fn envoy(admin_port: u16, listener: &Path, application: &Path) -> Value {
    const TYPES: &str = "type.googleapis.com/envoy.extensions.filters";
    let routes = json!([{
        "match": { "prefix": "/" },
        "route": { "cluster": "application", "timeout": "0s" },
    }]);
    let manager = json!({
        "@type": format!("{TYPES}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "inbound",
        "stream_idle_timeout": "0s",
        "route_config": {
            "name": "inbound",
            "virtual_hosts": [{ "name": "application", "domains": ["*"], "routes": routes }],
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{TYPES}.http.router.v3.Router") },
        }],
    });
    json!({
        "admin": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": admin_port } },
        },
        "static_resources": {
            "listeners": [{
                "name": "inbound",
                "address": { "pipe": { "path": listener } },
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": manager,
                }] }],
            }],
            "clusters": [{
                "name": "application",
                "type": "STATIC",
                "load_assignment": {
                    "cluster_name": "application",
                    "endpoints": [{ "lb_endpoints": [
                        { "endpoint": { "address": { "pipe": { "path": application } } } },
                    ] }],
                },
            }],
        },
    })
}

/// One request on a connection that is there; status and body of the answer.
async fn request(stream: UnixStream, path: &'static str) -> hyper::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, "application")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("well-formed");
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    };
    // How the connection ends says nothing more than the answer does.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

async fn within_patience<T>(what: &str, event: impl Future<Output = T>) -> T {
    let in_time = timeout(PATIENCE, event).await;
    in_time.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Looks until there is something: Envoy tells nobody when its listeners come and go.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let comes = async {
        let mut looks = interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    };
    within_patience(what, comes).await
}

/// Makes connections until one is refused. Those before are answered, or closed: one that was made when the listener was just
/// being closed is accepted by nobody, and Envoy may close one that has not said anything yet.
async fn until_refused(listener: &Path) {
    until("new connections are refused", async || {
        let Ok(stream) = UnixStream::connect(listener).await else {
            return Some(());
        };
        if let Ok((status, body)) = request(stream, "/").await {
            assert_eq!(status, StatusCode::OK);
            assert_eq!(body, AT_ONCE);
        }
        None
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered_before_the_sidecar_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let application = folder.path().join("application.sock");
    let gate = serve_application(&application);
    let mut launcher = Launcher::start(folder, &application);
    let listener = launcher.listener();
    until("the sidecar serves", async || {
        let stream = UnixStream::connect(&listener).await.ok()?;
        let (status, _) = request(stream, "/").await.ok()?;
        (status == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(launcher.sidecars().len(), 1, "it is one process");

    let stream = UnixStream::connect(&listener).await.expect("it listens");
    let under_way = tokio::spawn(request(stream, "/held"));
    let mut has_request = gate.has_request.subscribe();
    let comes = has_request.wait_for(|has| *has);
    drop(within_patience("the application has the request", comes).await);

    launcher.tell_to_end();
    // That it has heard it shows from outside when its sidecar takes nothing more.
    until_refused(&listener).await;
    assert!(!under_way.is_finished(), "nobody has answered it");
    let ended = launcher.process.try_wait().expect("is ours");
    assert_eq!(ended, None, "it waits for the request");
    assert_eq!(launcher.sidecars().len(), 1, "and so does its sidecar");

    gate.is_open.send_replace(true);
    let answer = within_patience("the request is answered", under_way).await;
    let (status, body) = answer.expect("no panic").expect("an answer");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, held_back());

    let ended = within_patience("the launcher ends", launcher.process.wait()).await;
    assert_eq!(ended.expect("waited for").code(), Some(0));
    let left = launcher.sidecars();
    assert!(left.is_empty(), "left behind: {left:?}");
}
