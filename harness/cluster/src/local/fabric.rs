//! `__fabric`: the first process of a local cluster, init of its namespaces. It makes the network, starts
//! everything, tells the harness when it is ready, serves the control socket, and takes everything with it.
//!
//! Invariant: when the harness is gone (end of file on the lifeline, unless told to keep), or `down` was asked, every
//! process is killed, the run folder removed, and this process ends; the kernel removes the rest.

use super::components::{self, Ended, Folders, Supervised};
use super::machines::{Machine, Machines};
use super::pki::Authority;
use super::plan::{API_PORT, API_SERVER, Plan};
use super::protocol::{
    self, Description, FabricConfig, LIFELINE, LISTENER, NodeRole, Order, Progress, ZoneConfig,
};
use super::run_folder::RunFolder;
use super::wiring::{self, Network};
use super::{ACCOUNT_KEY, bootstrap, control, failed, gate, groups, health_gate, log_to, roles};
use crate::ClusterError;
use harness_kernel::{fd_passing, mount};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

/// How long everything may take to come up.
const BOUND: Duration = Duration::from_secs(180);

/// Runs the cluster to its end.
pub(super) fn run() -> Result<(), ClusterError> {
    let lifeline = fd_passing::inherited(LIFELINE)
        .map(UnixStream::from)
        .map_err(failed("take over the connection to the harness"))?;
    let listener = fd_passing::inherited(LISTENER)
        .map(TcpListener::from)
        .map_err(failed("take over the host's listener"))?;
    let config: FabricConfig = protocol::receive(&mut BufReader::new(&lifeline))
        .map_err(failed("read the cluster's configuration"))?;
    let result = prepare(&config).and_then(|folder| {
        let result = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(failed("start the runtime"))
            .and_then(|runtime| {
                let copy = lifeline.try_clone().map_err(failed("copy the lifeline"))?;
                let result = runtime.block_on(live(&config, copy, listener));
                runtime.shutdown_background();
                result
            });
        end(&config, folder);
        result
    });
    if let Err(error) = &result {
        // When the harness is gone nobody needs to know.
        let _ = protocol::send(&lifeline, &Progress::Failed(error.into()));
    }
    result
}

/// Makes this process the init it is meant to be, and the folders.
fn prepare(config: &FabricConfig) -> Result<RunFolder, ClusterError> {
    let hint = |error: harness_kernel::KernelError| ClusterError {
        act: "prepare the fabric's namespaces".into(),
        source: Some(Box::new(error)),
        hint: Some(
            "inside a container, allow it unmasked /proc and mounts, or run on the host".into(),
        ),
        left: Vec::new(),
    };
    // What we do at the end would end every process of the machine, were we not the first of our own namespace.
    if std::process::id() != 1 {
        let why = "it is started by `meshproof` only".into();
        return Err(ClusterError {
            act: "start a fabric".into(),
            source: Some(why),
            hint: None,
            left: Vec::new(),
        });
    }
    mount::make_private().map_err(hint)?;
    mount::mount_proc(Path::new("/proc")).map_err(hint)?;
    let folder = RunFolder::create(&config.folder)?;
    for name in ["logs", "nodes", "state"] {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).map_err(failed(format!("make {}", path.display())))?;
    }
    let logs = folder.path().join("logs");
    log_to(&logs.join("fabric.log"))?;
    // Keys and the database stay in memory and out of sight of the host.
    mount::mount_tmpfs(&folder.path().join("state"), "mode=700").map_err(hint)?;
    Ok(folder)
}

/// Kills everything in our PID namespace and removes the run folder.
fn end(config: &FabricConfig, folder: RunFolder) {
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::wait;
    use nix::unistd::Pid;
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    // Logs are written to until the last one is dead.
    while !matches!(wait(), Err(nix::Error::ECHILD)) {}
    let groups = groups::remove(&config.folder);
    let _ = mount::detach(&config.folder.join("state"));
    for disk in std::fs::read_dir(config.folder.join("nodes"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let _ = mount::detach(&disk.path());
    }
    match groups {
        Ok(()) => {
            if let Err(error) = folder.remove() {
                tracing::error!(%error, "remove the run folder");
            }
        }
        // The folder says where they are, so it stays for the next sweep.
        Err(error) => tracing::error!(%error, "remove the control groups"),
    }
}

/// From the start of everything to the end of the cluster.
async fn live(
    config: &FabricConfig,
    lifeline: UnixStream,
    listener: TcpListener,
) -> Result<(), ClusterError> {
    let lifeline = super::tokio_stream(lifeline).map_err(failed("use the lifeline"))?;
    let (from_harness, mut to_harness) = lifeline.into_split();
    let gone = harness_gone(from_harness);
    tokio::pin!(gone);
    let (steps, mut told) = mpsc::unbounded_channel();
    let tell = tokio::spawn(async move {
        while let Some(step) = told.recv().await {
            let line = protocol::line(&step)?;
            to_harness.write_all(&line).await?;
        }
        Ok::<_, std::io::Error>(())
    });

    let up = tokio::select! {
        () = &mut gone => return Ok(()),
        up = tokio::time::timeout(BOUND, bring_up(config, listener, &steps)) => up,
    };
    let up = up.map_err(|_| ClusterError {
        act: "bring the cluster up".into(),
        source: Some(format!("it was not ready after {} s", BOUND.as_secs()).into()),
        hint: Some("see the logs with `--keep`; a slow machine may need less load".into()),
        left: Vec::new(),
    })??;
    tracing::info!("the cluster is ready");
    let _ = steps.send(Progress::Ready);
    drop(steps);
    // Whether the harness still listens is seen by `gone`.
    let _ = tell.await;
    tokio::select! {
        () = &mut gone => tracing::info!("the harness is gone"),
        () = control::serve(up.control, &up.network, &up.machines, &up.plan) => tracing::info!("told to go down"),
    }
    Ok(())
}

/// Returns when the harness is gone; never, once it has told us to live on without it.
async fn harness_gone(from_harness: tokio::net::unix::OwnedReadHalf) {
    let mut lines = tokio::io::BufReader::new(from_harness).lines();
    let mut keep = false;
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Order::Keep) => keep = true,
            Err(error) => tracing::warn!(%error, line, "not an order"),
        }
    }
    if keep {
        std::future::pending::<()>().await;
    }
}

/// What is needed to serve a cluster that is up.
struct Up {
    plan: Plan,
    network: Network,
    machines: Machines,
    control: tokio::net::UnixListener,
    /// Held until the end: components are started again only as long as it says true.
    _ready: watch::Sender<bool>,
}

/// Starts everything at once and waits until all of it works.
async fn bring_up(
    config: &FabricConfig,
    listener: TcpListener,
    steps: &mpsc::UnboundedSender<Progress>,
) -> Result<Up, ClusterError> {
    let step = |text: &str| {
        tracing::info!("{text}");
        let _ = steps.send(Progress::Step(text.to_owned()));
    };
    let plan = Plan::new(&config.topology);
    wiring::prepare_backbone(&plan).map_err(no_network)?;
    let folders = Folders {
        programs: config.programs.clone(),
        state: config.folder.join("state"),
        logs: config.folder.join("logs"),
    };
    let authority = Authority::new().map_err(failed("make a certificate authority"))?;
    let (components, administrator) = components::prepare(&authority, &folders)?;

    let (open, opened) = watch::channel(false);
    let (ready, is_ready) = watch::channel(false);
    let (ended, mut has_ended) = mpsc::channel(1);
    let mut supervised = BTreeMap::new();
    for component in components {
        let own = Supervised::new(&component);
        supervised.insert(component.name, own.clone());
        tokio::spawn(components::supervise(
            component,
            own,
            folders.clone(),
            is_ready.clone(),
            ended.clone(),
        ));
    }
    let mut machines = Machines::new(supervised);
    let server = SocketAddr::from((API_SERVER, API_PORT));
    gate::serve(components::SCHEDULER_GATE, server, opened.clone())
        .await
        .map_err(failed("listen for the scheduler"))?;
    let certificate = authority.api_server();
    let certificate = certificate.map_err(failed("sign a certificate"))?;
    let manager = components::MANAGER_GATE;
    health_gate::serve(manager, server, opened.clone(), &certificate)
        .await
        .map_err(failed("listen for the controller-manager"))?;
    let outer = listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
        .map_err(failed("use the host's listener"))?;
    tokio::spawn(gate::relay(outer, server, opened.clone()));
    let kubeconfig = components::kubeconfig(
        &format!("meshproof-{}", config.name),
        &format!("https://127.0.0.1:{}", config.port),
        &authority.certificate,
        &administrator,
    );
    write_file(&config.folder.join("kubeconfig"), &kubeconfig)?;
    // Who has the administrator's key above may have this one, too.
    let key = std::fs::read_to_string(folders.state.join(ACCOUNT_KEY))
        .map_err(failed("read the key for tokens of service accounts"))?;
    write_file(&config.folder.join(ACCOUNT_KEY), &key)?;
    step("starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler");

    let control_groups = groups::make(&config.folder, &config.name);
    if let Err(reason) = &control_groups {
        tracing::warn!(reason, "limits of containers are not in force");
    }
    let network = wiring::connect_zones(&plan).map_err(no_network)?;
    let images = config.folder.join("images");
    harness_images::store::Store::open(&config.image_store)
        .and_then(|store| store.view(&images))
        .map_err(failed("open the image store"))?;
    let mut routers = Vec::new();
    for zone in &plan.zones {
        let role = ZoneConfig {
            zone: zone.clone(),
            lock: config.folder.join("iptables.lock"),
        };
        let network = &network.zones[&zone.data_center];
        let log = folders.logs.join(format!("zone-{}.log", zone.data_center));
        let (_, started) = roles::start(
            "__zone",
            &zone.data_center,
            &role,
            network,
            &log,
            &is_ready,
            &ended,
        )?;
        routers.push(started);
    }
    let mut nodes = Vec::new();
    for (zone, number, node) in plan.numbered_nodes() {
        let disk = config.folder.join("nodes").join(&node.name);
        std::fs::create_dir(&disk).map_err(failed(format!("make {}", disk.display())))?;
        // Ours and not the node's: what is on a disk outlives a loss of power, but for logs, which a node begins anew.
        mount::mount_tmpfs(&disk, "mode=755")
            .map_err(failed(format!("make the disk of {}", node.name)))?;
        let log = folders.logs.join(format!("node-{}.log", node.name));
        let signed = |result: Result<_, rcgen::Error>| result.map_err(failed("sign a certificate"));
        let role = NodeRole {
            node: node.clone(),
            ca: authority.certificate.clone(),
            client: signed(authority.node_client(node))?,
            serving: signed(authority.node_serving(node))?,
            image_store: images.clone(),
            connect_socket: super::connect_socket(&config.folder, &node.name),
            disk,
            control_groups: control_groups.clone(),
            hide: folders.state.clone(),
            log,
        };
        let cable = (
            &network.zones[&zone.data_center],
            wiring::port_of_node(number),
        );
        let (machine, stream) = Machine::start(
            &zone.data_center,
            role,
            &network.nodes[&node.name],
            cable,
            &is_ready,
            &ended,
        )?;
        machines.add(machine);
        nodes.push(stream);
    }
    step("starting the routers of the zones and the nodes");

    let works = async {
        let routers = futures::future::try_join_all(routers.into_iter().map(roles::router_works));
        let client = bootstrap::client(&authority.certificate, &administrator).await?;
        bootstrap::api_server_serves(&client).await;
        let _ = open.send(true);
        bootstrap::allow_nodes(&client).await?;
        for node in &mut nodes {
            let line = protocol::line(&"go").map_err(failed("start a node"))?;
            node.write_all(&line)
                .await
                .map_err(failed("start a node"))?;
        }
        step("kube-apiserver serves");
        let (routers, objects, ready) = tokio::join!(
            routers,
            bootstrap::make_objects(&client),
            bootstrap::nodes_ready(&client, &plan)
        );
        routers?;
        objects?;
        ready?;
        step("every node is ready");
        Ok::<_, ClusterError>(())
    };
    tokio::select! {
        works = works => works?,
        Some(ended) = has_ended.recv() => return Err(ended_early(&ended)),
    }
    let description = Description {
        name: config.name.clone(),
        topology: config.topology.clone(),
        part_of: config.part_of.clone(),
        plan: plan.clone(),
        started: jiff::Timestamp::now(),
    };
    let text = serde_json::to_string(&description).map_err(failed("describe the cluster"))?;
    let control = tokio::net::UnixListener::bind(super::control_socket(&config.folder))
        .map_err(failed("listen on the control socket"))?;
    write_file(&config.folder.join("cluster.json"), &text)?;
    let _ = ready.send(true);
    Ok(Up {
        plan,
        network,
        machines,
        control,
        _ready: ready,
    })
}

fn ended_early(ended: &Ended) -> ClusterError {
    let reason = format!(
        "{} ended early ({}); the end of its log:\n{}",
        ended.name,
        ended.how,
        components::tail(&ended.log)
    );
    ClusterError::because("bring the cluster up", reason)
}

fn no_network(error: harness_kernel::KernelError) -> ClusterError {
    failed("make the cluster's network")(error)
        .hint("the kernel needs bridge, veth and network namespaces; see `meshproof doctor`")
}

fn write_file(path: &Path, text: &str) -> Result<(), ClusterError> {
    use std::os::unix::fs::OpenOptionsExt;
    // Complete or not there: others read it while we write.
    let partial = path.with_extension("partial");
    std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(failed(format!("write {}", path.display())))
}
