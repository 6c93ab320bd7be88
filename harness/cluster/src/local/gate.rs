//! TCP relays whose door opens later: connections are accepted by the kernel from the start and wait in its
//! backlog, so that clients started together with a server neither fail nor back off.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Relays connections of `listener` to `target` once `open` says so, for ever.
pub(super) async fn relay(
    listener: TcpListener,
    target: SocketAddr,
    mut open: watch::Receiver<bool>,
) {
    if open.wait_for(|open| *open).await.is_err() {
        return;
    }
    loop {
        let mut client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                // Out of descriptors, most likely: others must run and give some back.
                tokio::task::yield_now().await;
                continue;
            }
        };
        tokio::spawn(async move {
            let mut server = match TcpStream::connect(target).await {
                Ok(server) => server,
                Err(error) => {
                    tracing::debug!(%error, %target, "the relay's target does not answer");
                    return;
                }
            };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

/// Relays connections to a port of the loopback of this network namespace, as [`relay`] does, in the background.
pub(super) async fn serve(
    port: u16,
    target: SocketAddr,
    open: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    tokio::spawn(relay(listener, target, open));
    Ok(())
}
