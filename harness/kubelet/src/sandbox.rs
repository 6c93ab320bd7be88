//! The network of a pod: a namespace, one link to the node's bridge, an address.
//!
//! A pod's address is a /32 and everything, pods of the same node included, is reached through the node. So every
//! packet passes the node's connection tracking in both directions, without which answers to a service address
//! would come back from an address nobody asked.

use crate::node::Node;
use harness_kernel::KernelError;
use harness_kernel::link::{Links, VethEnd, Via};
use harness_kernel::netns::{NetNs, write_sysctl};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

/// How long a pod may take to accept a connection on its own loopback.
const PATIENCE: Duration = Duration::from_secs(3);

/// The bridge that pods are ports of.
const BRIDGE: &str = "pods0";

/// A pod's network.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) address: Ipv4Addr,
    /// None when the pod shares the node's.
    namespace: Option<(NetNs, String)>,
}

/// A pod's network could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// All addresses are in use, or the node has none.
    #[error("find a free address in {0}")]
    NoAddress(String),
    /// The kernel refused something.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The task that made it did not finish.
    #[error("make the pod's network")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Makes bridged packets pass the packet filter once, where they are routed, and not already in the bridge: there a
/// service address would be rewritten too early, and a pod could not reach itself through a service.
pub(crate) fn prepare_node() {
    if let Err(error) = write_sysctl("bridge/bridge-nf-call-iptables", "0") {
        // A kernel without it behaves that way anyway.
        tracing::debug!(%error, "bridges do not call the packet filter");
    }
    remove_former_links();
}

/// A node that lost power begins without links to pods. The kernel keeps those of before as long as a connection in one of
/// their namespaces waits to be closed, which takes minutes; their addresses are given to others now.
fn remove_former_links() {
    let interfaces = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let former = interfaces
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .filter(|name| is_link_name(name));
    for link in former {
        let removed = Links::open().and_then(|links| links.delete(link));
        if let Err(error) = removed {
            tracing::warn!(%error, link, "a link of before is not removed");
        }
    }
}

impl Sandbox {
    /// The network of a pod with `hostNetwork`.
    pub(crate) fn of_the_node(node: &Node) -> Self {
        Self {
            address: node.config.internal_ip,
            namespace: None,
        }
    }

    /// Makes a network for the pod with that UID, which is of that [`workload`](crate::addresses::workload).
    pub(crate) async fn create(
        node: &Node,
        uid: &str,
        workload: &str,
    ) -> Result<Self, SandboxError> {
        let no_address = || SandboxError::NoAddress(node.config.pod_cidr.clone());
        let addresses = node.addresses.as_ref().ok_or_else(no_address)?;
        let address = addresses.take(workload).ok_or_else(no_address)?;
        let link = link_name(uid);
        let gateway = node.config.pod_gateway;
        let made = tokio::task::spawn_blocking(move || {
            make(address, gateway, &link).map(|namespace| (namespace, link))
        });
        match made
            .await
            .map_err(SandboxError::Interrupted)
            .and_then(|made| Ok(made?))
        {
            Ok(namespace) => Ok(Self {
                address,
                namespace: Some(namespace),
            }),
            Err(error) => {
                addresses.give_back(address);
                Err(error)
            }
        }
    }

    /// The file that stands for the namespace, as a child of this process sees it.
    pub(crate) fn path(&self) -> PathBuf {
        let own = std::process::id();
        match &self.namespace {
            Some((namespace, _)) => {
                PathBuf::from(format!("/proc/{own}/fd/{}", namespace.as_raw_fd()))
            }
            None => PathBuf::from(format!("/proc/{own}/ns/net")),
        }
    }

    /// Its namespace; none when the pod shares the node's.
    pub(crate) fn namespace(&self) -> Option<&NetNs> {
        self.namespace.as_ref().map(|(namespace, _)| namespace)
    }

    /// Connects to a port that somebody in the pod listens on, by its loopback as kubelets do. Blocks.
    pub(crate) fn dial(&self, port: u16) -> io::Result<TcpStream> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = || TcpStream::connect_timeout(&address, PATIENCE);
        match &self.namespace {
            Some((namespace, _)) => namespace.run_in(connect).map_err(io::Error::other)?,
            None => connect(),
        }
    }

    /// Takes the link away; the namespace ends with its last user.
    pub(crate) async fn remove(&self, node: &Node) {
        let Some((_, link)) = &self.namespace else {
            return;
        };
        let name = link.clone();
        let removed = tokio::task::spawn_blocking(move || {
            Links::open().and_then(|links| links.delete(&name))
        });
        if let Ok(Err(error)) = removed.await {
            tracing::debug!(%error, link, "link not removed");
        }
        if let Some(addresses) = &node.addresses {
            addresses.give_back(self.address);
        }
    }
}

/// A link name holds 15 bytes; twelve digits of the random UID make it unique on a node.
fn link_name(uid: &str) -> String {
    let digits: String = uid
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(12)
        .collect();
    format!("pod{digits}")
}

fn is_link_name(name: &str) -> bool {
    name.strip_prefix("pod").is_some_and(|digits| {
        digits.len() == 12 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

fn make(address: Ipv4Addr, gateway: Ipv4Addr, link: &str) -> Result<NetNs, KernelError> {
    let namespace = NetNs::create()?;
    let outside = Links::open()?;
    outside.add_veth(
        &VethEnd {
            name: link,
            namespace: None,
        },
        &VethEnd {
            name: "eth0",
            namespace: Some(&namespace),
        },
    )?;
    outside.set_bridge(link, BRIDGE)?;
    outside.set_up(link)?;
    let inside = Links::open_in(&namespace)?;
    inside.set_up("lo")?;
    inside.add_address("eth0", address, 32)?;
    inside.set_up("eth0")?;
    inside.add_route(gateway, 32, Via::Link("eth0"))?;
    inside.add_route(Ipv4Addr::UNSPECIFIED, 0, Via::Gateway(gateway))?;
    Ok(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit() {
        assert_eq!(
            link_name("0f3c1d2e-4b5a-6978-8a9b-acbdcedfe0f1"),
            "pod0f3c1d2e4b5a"
        );
        assert_eq!(link_name("0f3c1d2e-4b5a-6978-8a9b-acbdcedfe0f1").len(), 15);
        assert!(is_link_name("pod0f3c1d2e4b5a"));
        assert!(!is_link_name(BRIDGE) && !is_link_name("eth0"));
    }
}
