//! Addresses of a node's pods.

use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard};

/// Hands out the addresses of one CIDR. Where the search begins follows from whose pod it is, so on nodes of two clusters with
/// one CIDR the first pods of a workload have the same address, in whatever order pods start. One that was in use comes only
/// when all others were, too, and then it is the one unused for longest, so that an address does not come back while
/// somebody still remembers its former owner.
#[derive(Debug)]
pub(crate) struct Addresses {
    first: u32,
    last: u32,
    given: Mutex<Given>,
}

#[derive(Debug)]
struct Given {
    /// Those in use.
    taken: BTreeSet<u32>,
    /// Those that were in use, the one that was given back first in front.
    rested: VecDeque<u32>,
}

impl Addresses {
    /// All of `cidr` but the network, `gateway` and broadcast addresses; none when `cidr` is not one.
    pub(crate) fn new(cidr: &str, gateway: Ipv4Addr) -> Option<Self> {
        let (network, length) = cidr.split_once('/')?;
        let network = u32::from(network.parse::<Ipv4Addr>().ok()?);
        let length: u32 = length
            .parse()
            .ok()
            .filter(|length| (8..=30).contains(length))?;
        let size = 1_u32 << (32 - length);
        let network = network & !(size - 1);
        let given = Given {
            taken: BTreeSet::from([u32::from(gateway)]),
            rested: VecDeque::new(),
        };
        Some(Self {
            first: network + 1,
            last: network + size - 2,
            given: Mutex::new(given),
        })
    }

    /// An unused address for a pod of that [`workload`]; none when all are in use.
    pub(crate) fn take(&self, workload: &str) -> Option<Ipv4Addr> {
        let mut given = self.lock();
        let size = self.last - self.first + 1;
        let begin = place(workload) % size;
        let fresh = (0..size)
            .map(|step| self.first + (begin + step) % size)
            .find(|address| !given.taken.contains(address) && !given.rested.contains(address));
        let address = fresh.or_else(|| given.rested.pop_front())?;
        given.taken.insert(address);
        Some(Ipv4Addr::from(address))
    }

    /// Gives an address back.
    pub(crate) fn give_back(&self, address: Ipv4Addr) {
        let mut given = self.lock();
        let address = u32::from(address);
        if given.taken.remove(&address) {
            given.rested.push_back(address);
        }
    }

    /// A pod had this address before the node lost power: unless somebody has it, it counts as given back now.
    pub(crate) fn remember(&self, address: Ipv4Addr) {
        let mut given = self.lock();
        let address = u32::from(address);
        let is_ours = (self.first..=self.last).contains(&address);
        if is_ours && !given.taken.contains(&address) && !given.rested.contains(&address) {
            given.rested.push_back(address);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given
            .lock()
            .expect("no panic while addresses are held")
    }
}

/// Whose pod it is, in words that clusters have in common: its namespace and the account that it runs as. What it is owned by
/// is none: Deployments in several data centers have several names.
pub(crate) fn workload(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let account = spec.and_then(|spec| spec.service_account_name.as_deref());
    format!("{namespace}/{}", account.unwrap_or("default"))
}

/// A number for each workload, the same in every build (FNV-1a).
fn place(workload: &str) -> u32 {
    workload.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Who may share a node: the workloads of the reference mesh and its parts.
    const WORKLOADS: [&str; 8] = [
        "mesh-workloads/frontend",
        "mesh-workloads/checkout",
        "mesh-workloads/inventory",
        "mesh-workloads/canary",
        "mesh-system/control-plane",
        "mesh-system/key-service",
        "mesh-system/certificate-authority",
        "mesh-system/node-agent",
    ];

    fn many() -> Addresses {
        Addresses::new("10.1.2.0/24", Ipv4Addr::new(10, 1, 2, 1)).unwrap()
    }

    /// Of five.
    fn few() -> Addresses {
        Addresses::new("10.1.2.0/29", Ipv4Addr::new(10, 1, 2, 1)).unwrap()
    }

    fn all(addresses: &Addresses, workload: &str) -> Vec<u8> {
        std::iter::from_fn(|| addresses.take(workload))
            .map(|address| address.octets()[3])
            .collect()
    }

    #[test]
    fn a_workload_has_the_same_addresses_whoever_starts_first() {
        let (one, other) = (many(), many());
        let three = |of: &Addresses, workload| [(); 3].map(|()| of.take(workload));
        let here = WORKLOADS.map(|workload| three(&one, workload));
        let mut backwards = WORKLOADS;
        backwards.reverse();
        let mut there = backwards.map(|workload| three(&other, workload));
        there.reverse();
        assert_eq!(here, there);
        assert_eq!(
            here.as_flattened().iter().collect::<BTreeSet<_>>().len(),
            3 * WORKLOADS.len(),
            "and nobody has that of another"
        );
    }

    #[test]
    fn the_gateway_is_left_out() {
        let mut addresses = all(&few(), "n/a");
        addresses.sort_unstable();
        assert_eq!(addresses, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_address_comes_back_after_all_others() {
        let addresses = few();
        let first = addresses.take("n/a").unwrap();
        addresses.give_back(first);
        let others: Vec<Ipv4Addr> = ["n/a", "n/a", "n/b", "n/b"]
            .map(|workload| addresses.take(workload).unwrap())
            .into();
        assert!(!others.contains(&first), "{first} of {others:?}");
        addresses.give_back(others[2]);
        addresses.give_back(others[0]);
        let expected = [first, others[2], others[0]].map(|address| address.octets()[3]);
        assert_eq!(all(&addresses, "n/c"), expected);
    }

    #[test]
    fn who_comes_back_has_another_address_than_before() {
        let before = many().take("n/a").unwrap();
        let addresses = many();
        addresses.remember(before);
        assert_ne!(addresses.take("n/a"), Some(before));

        let addresses = few();
        let taken = addresses.take("n/a").unwrap();
        // Somebody has the one already, and the other is none of this node's.
        addresses.remember(taken);
        addresses.remember(Ipv4Addr::new(10, 1, 3, 3));
        let others = all(&addresses, "n/b");
        assert_eq!(others.len(), 4, "{others:?}");
        assert!(!others.contains(&taken.octets()[3]));
    }

    #[test]
    fn pods_of_one_account_are_of_one_workload() {
        let pod = |deployment: &str, account: Option<&str>| {
            let pod = json!({
                "metadata": {"name": format!("{deployment}-5f7-x"), "namespace": "n"},
                "spec": {"serviceAccountName": account, "containers": []},
            });
            workload(&serde_json::from_value::<Pod>(pod).unwrap())
        };
        assert_eq!(pod("a-zone-1", Some("a")), pod("a-zone-2", Some("a")));
        assert_ne!(pod("a-zone-1", Some("a")), pod("a-zone-1", Some("b")));
        assert_eq!(pod("a", None), "n/default");
    }

    #[test]
    fn what_is_not_a_cidr_is_refused() {
        let gateway = Ipv4Addr::new(10, 1, 2, 1);
        assert!(Addresses::new("10.1.2.0", gateway).is_none());
        assert!(Addresses::new("10.1.2.0/33", gateway).is_none());
    }
}
