//! Source ports for connections that the sidecar must know by their source.
//!
//! The capture of outbound connections rewrites their destination, and the kernel then rewrites the source port, too, where a
//! connection to somewhere else had the same one a short time ago: conntrack remembers it for 120 seconds after its end
//! (`nf_conntrack_tcp_timeout_time_wait`). The system's own choice repeats ports much sooner. Here they are taken in turn from
//! a range below that of the system, `ip_local_port_range`, and above the ports that anybody listens on.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::{TcpSocket, TcpStream};

const FIRST: u16 = 16_384;
/// At a hundred connections a second this is more than two minutes.
const COUNT: u16 = 16_384;

/// Not always the same one at first: the probe may have been restarted a moment ago.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map(|now| now.subsec_nanos()).unwrap_or_default();
    AtomicU16::new(u16::try_from(nanos % u32::from(COUNT)).unwrap_or_default())
});

/// Connects to the first of `addresses` that can be connected to, with a source port that was not used lately.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream> {
    let mut failed = Error::new(ErrorKind::AddrNotAvailable, "no address");
    for address in addresses {
        match connect_to(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream> {
    let anywhere = match address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let mut taken = Error::from(ErrorKind::AddrInUse);
    // Ports may be taken nevertheless, and where one is, those after it often are, too: one process took them in turn. The
    // end of its connections leaves them taken for a minute.
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        match socket.bind(SocketAddr::new(anywhere, port)) {
            Ok(()) => return socket.connect(address).await,
            Err(error) if error.kind() == ErrorKind::AddrInUse => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_port_comes_again_only_after_all_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addresses = [listener.local_addr().expect("an address")];
        let mut seen = BTreeSet::new();
        for _ in 0..64 {
            let connected = connect(&addresses).await.expect("connected");
            let port = connected.local_addr().expect("one").port();
            let (_, caller) = listener.accept().await.expect("accepted");
            assert_eq!(caller.port(), port);
            assert!((FIRST..FIRST + COUNT).contains(&port), "{port}");
            assert!(seen.insert(port), "{port}");
        }
    }

    #[tokio::test]
    async fn ports_that_others_took_in_turn_are_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addresses = [listener.local_addr().expect("an address")];
        let next = NEXT.load(Ordering::Relaxed);
        let others: Vec<_> = (0..100)
            .map(|after| {
                let socket = TcpSocket::new_v4().expect("a socket");
                let port = FIRST + next.wrapping_add(after) % COUNT;
                // Where it cannot be taken, somebody else has it.
                let _ = socket.bind((Ipv4Addr::UNSPECIFIED, port).into());
                socket
            })
            .collect();
        connect(&addresses).await.expect("connected");
        drop(others);
    }

    #[tokio::test]
    async fn the_next_address_is_tried_and_the_last_error_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let open = listener.local_addr().expect("an address");
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            listener.local_addr().expect("an address")
        };
        assert!(connect(&[closed, open]).await.is_ok());
        let refused = connect(&[closed]).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}
