//! A small, real kubelet: registers its node, runs its pods' containers, serves their logs, gives services their
//! addresses and names.
//!
//! It runs in a node process of the local cluster, which is the init of a PID, network and mount namespace; what
//! it starts dies with it. Files by job: [`node`](mod@node) (registration), `pods` (which pods are ours),
//! `pod_worker` (one pod's life), `supervisor` (one container's life), `runtime` (processes), then what they need.
//!
//! Invariant: nothing here knows zones, a mesh or a test; it reads the Kubernetes API and its [`NodeConfig`].

mod addresses;
mod backoff;
mod channels;
mod client;
mod configuration;
mod connect;
mod container_end;
mod container_order;
mod disk_fault;
mod dns;
mod environment;
mod events;
mod exec;
mod files;
mod follow;
mod freeze;
mod host_disk;
mod host_path;
mod images;
mod kept_logs;
mod key_search;
mod late_answers;
mod leases;
mod limits;
mod logs;
mod mounts;
mod node;
mod pod_context;
mod pod_worker;
mod pods;
mod port_forward;
mod probe;
mod processes;
mod reaper;
mod resource_fields;
mod runtime;
mod sandbox;
mod security;
mod server;
mod service_proxy;
mod service_table;
mod socket_fault;
mod spdy;
mod stats;
mod status;
mod status_writer;
mod supervisor;
mod tokens;
mod volume_refresh;
mod volumes;

pub use configuration::NodeConfig;
pub use host_disk::HOST_FOLDER;
pub use key_search::look_through;
pub use node::KUBELET_PORT;

use std::sync::Arc;

/// The node cannot work; what follows a successful start is retried instead.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The credentials make no client.
    #[error("make a client for the API server")]
    Client(#[source] client::ClientError),
    /// The serving certificate cannot be used.
    #[error("prepare TLS for the kubelet's own server")]
    Tls(#[source] server::TlsError),
    /// An address or file is taken or may not be used.
    #[error("listen on {address}")]
    Listen {
        /// What we wanted to listen on.
        address: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A folder of the node cannot be made.
    #[error("prepare {path}")]
    Folder {
        /// The folder.
        path: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The image store cannot be used.
    #[error("open the image store")]
    Images(#[source] images::ImageError),
    /// One of the parts that never end has ended.
    #[error("a part of the kubelet ended: {0}")]
    Ended(&'static str),
}

/// Runs the kubelet until something makes it impossible. It never returns `Ok`.
///
/// # Errors
///
/// When the node cannot be started at all; an unreachable API server is waited for.
pub async fn run(config: NodeConfig) -> Result<(), RunError> {
    let listen_error = |address: String| move |source| RunError::Listen { address, source };
    for folder in ["pods", HOST_FOLDER] {
        let path = config.state_dir.join(folder);
        std::fs::create_dir_all(&path).map_err(|source| RunError::Folder {
            path: path.display().to_string(),
            source,
        })?;
    }
    sandbox::prepare_node();
    let clients = client::connect(&config).await.map_err(RunError::Client)?;
    let images = images::Images::open(&config.image_store).map_err(RunError::Images)?;
    let tls = server::tls(&config).map_err(RunError::Tls)?;
    let connections = connect::bind(&config.connect_socket)
        .map_err(listen_error(config.connect_socket.display().to_string()))?;
    let kubelet_address = format!("{}:{}", config.internal_ip, node::KUBELET_PORT);
    let kubelet = tokio::net::TcpListener::bind(&kubelet_address)
        .await
        .map_err(listen_error(kubelet_address))?;
    let dns_address = format!("{}:53", config.pod_gateway);
    let names = dns::bind(config.pod_gateway)
        .await
        .map_err(listen_error(dns_address))?;

    let (recovered, recoveries) = tokio::sync::watch::channel(0);
    let (events, event_writer) = events::recorder(clients.requests.clone(), config.name.clone());
    let (services, service_watch) =
        service_table::watch(clients.watches.clone(), recoveries.clone());
    let node = Arc::new(node::Node::new(
        config,
        clients.requests,
        images,
        events,
        services.clone(),
    ));
    tracing::info!(node = node.config.name, "kubelet starts");

    let ended = tokio::select! {
        () = node::register_and_renew(node.clone(), recovered) => "registration",
        () = pods::watch(node.clone(), clients.watches, recoveries) => "pod watch",
        () = event_writer => "event writer",
        () = service_watch => "service watch",
        () = service_proxy::keep_applied(services.clone()) => "service proxy",
        () = dns::serve(names, node.config.cluster_domain.clone(), services) => "name server",
        () = server::serve(kubelet, tls, node.clone()) => "server",
        () = connect::serve(connections, node.clone()) => "connect socket",
        () = reaper::reap_orphans() => "reaper",
    };
    Err(RunError::Ended(ended))
}
