//! Addresses of a node's pods.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;

/// Hands out the addresses of one CIDR; the next one is always the one unused for longest, so that an address does
/// not come back while somebody still remembers its former owner.
#[derive(Debug)]
pub(crate) struct Addresses {
    first: u32,
    last: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    addresses: BTreeSet<u32>,
    next: u32,
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
        let taken = Taken {
            addresses: BTreeSet::from([u32::from(gateway)]),
            next: network + 1,
        };
        Some(Self {
            first: network + 1,
            last: network + size - 2,
            taken: Mutex::new(taken),
        })
    }

    /// An unused address; none when all are in use.
    pub(crate) fn take(&self) -> Option<Ipv4Addr> {
        let mut taken = self
            .taken
            .lock()
            .expect("no panic while addresses are held");
        for _ in self.first..=self.last {
            let candidate = taken.next;
            taken.next = if candidate == self.last {
                self.first
            } else {
                candidate + 1
            };
            if taken.addresses.insert(candidate) {
                return Some(Ipv4Addr::from(candidate));
            }
        }
        None
    }

    /// Gives an address back.
    pub(crate) fn give_back(&self, address: Ipv4Addr) {
        let mut taken = self
            .taken
            .lock()
            .expect("no panic while addresses are held");
        taken.addresses.remove(&u32::from(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_the_gateway_and_does_not_reuse_at_once() {
        let addresses = Addresses::new("10.1.2.0/29", Ipv4Addr::new(10, 1, 2, 1)).unwrap();
        let first = addresses.take().unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 1, 2, 2));
        addresses.give_back(first);
        let all: Vec<u8> = (0..5)
            .map(|_| addresses.take().unwrap().octets()[3])
            .collect();
        assert_eq!(all, [3, 4, 5, 6, 2]);
        assert_eq!(addresses.take(), None);
    }

    #[test]
    fn what_is_not_a_cidr_is_refused() {
        let gateway = Ipv4Addr::new(10, 1, 2, 1);
        assert!(Addresses::new("10.1.2.0", gateway).is_none());
        assert!(Addresses::new("10.1.2.0/33", gateway).is_none());
    }
}
