//! A node for tests of what its parts do with what is on its disk.

use super::Node;
use crate::images::Images;
use crate::{NodeConfig, events, service_table};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A node that does nothing, on that disk.
pub(crate) fn node(disk: &Path, client: &kube::Client) -> Arc<Node> {
    let config = NodeConfig {
        name: "node".to_owned(),
        internal_ip: Ipv4Addr::LOCALHOST,
        pod_cidr: "10.1.0.0/24".to_owned(),
        pod_gateway: Ipv4Addr::new(10, 1, 0, 1),
        labels: BTreeMap::new(),
        api_server: String::new(),
        ca_pem: String::new(),
        client_cert_pem: String::new(),
        client_key_pem: String::new(),
        serving_cert_pem: String::new(),
        serving_key_pem: String::new(),
        image_store: disk.join("images"),
        state_dir: disk.to_owned(),
        connect_socket: PathBuf::new(),
        executable: PathBuf::new(),
        cluster_domain: "cluster.local".to_owned(),
        log: PathBuf::new(),
        control_groups: Err("there are none".to_owned()),
        holds_key: |_| false,
        lease_duration: Duration::from_secs(4),
        restart_backoff: Duration::from_secs(1),
    };
    let images = Images::open(&config.image_store).expect("an image store");
    let (events, _) = events::recorder(client.clone(), config.name.clone());
    let (_, recoveries) = watch::channel(0);
    let (services, _) = service_table::watch(client.clone(), recoveries);
    let node = Node::new(config, client.clone(), images, events, services);
    Arc::new(node)
}
