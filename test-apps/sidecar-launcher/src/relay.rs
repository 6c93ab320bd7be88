//! The byte relay between the sidecar and the control plane, and the count of connections through it.
//!
//! The sidecar dials this relay instead of the control plane, so that a reconnect can be asked for, its target
//! chosen, and two readings of one connection told from readings of two. TLS passes through untouched.

use crate::activity::Activity;
use probe_api::launcher::{LauncherState, Rejection};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is shorter than this changes no configuration, in bytes: the type URL of a response alone is longer. Such are pings
/// and window updates, once a second and more, and each would have the probe look closely. TLS 1.3 makes 39 bytes of a ping
/// (RFC 9113, section 6.7; RFC 8446, section 5.2).
const SHORTEST_RESPONSE: usize = 64;

/// Relays connections to the current target.
#[derive(Debug)]
pub(crate) struct Relay {
    state: Mutex<State>,
    /// Grows with each reconnect: connections of an older generation end.
    generation: watch::Sender<u64>,
    /// Connections that are open now.
    open: watch::Sender<u64>,
    service: String,
    activity: Activity,
}

#[derive(Debug)]
struct State {
    target: String,
    epoch: u64,
}

impl Relay {
    /// A relay to `service` (`host:port`), with no connection yet.
    pub(crate) fn new(service: &str, activity: Activity) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                target: service.to_owned(),
                epoch: 0,
            }),
            generation: watch::Sender::new(0),
            open: watch::Sender::new(0),
            service: service.to_owned(),
            activity,
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the sidecar's connections for ever.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((sidecar, _)) => {
                    tokio::spawn(Arc::clone(&self).relay(sidecar));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection of the sidecar");
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Follows how many connections are open.
    pub(crate) fn open(&self) -> watch::Receiver<u64> {
        self.open.subscribe()
    }

    /// Where connections stand. `starts` and `rejections` are told by others.
    pub(crate) fn describe(
        &self,
        starts: u64,
        rejections: BTreeMap<String, Rejection>,
    ) -> LauncherState {
        let state = self.state();
        LauncherState {
            epoch: state.epoch,
            target: state.target.clone(),
            open: *self.open.borrow(),
            starts,
            activity: self.activity.count(),
            rejections,
        }
    }

    /// Ends every connection and dials `to` (or the service) from now on. The epoch of the next connection.
    pub(crate) fn reconnect(&self, to: Option<String>) -> u64 {
        let mut state = self.state();
        state.target = to.unwrap_or_else(|| self.service.clone());
        // Under the lock: a connection that is being made either counted before, and ends now, or finds
        // itself outdated when it wants to be counted.
        self.generation.send_modify(|generation| *generation += 1);
        tracing::info!(target = state.target, "the sidecar is made to reconnect");
        state.epoch + 1
    }

    async fn relay(self: Arc<Self>, mut sidecar: TcpStream) {
        let mut generation = self.generation.subscribe();
        let (target, own) = {
            let state = self.state();
            (state.target.clone(), *generation.borrow_and_update())
        };
        let passed = async {
            // The name is resolved at every dial, so a service with a new address is found.
            let mut control_plane = match TcpStream::connect(&target).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%target, %error, "could not dial the control plane");
                    return;
                }
            };
            let counted = {
                let mut state = self.state();
                let current = *self.generation.borrow() == own;
                if current {
                    state.epoch += 1;
                    self.open.send_modify(|open| *open += 1);
                }
                current
            };
            if !counted {
                return;
            }
            let _open = OpenGuard(&self);
            self.activity.note();
            for stream in [&sidecar, &control_plane] {
                // Small messages in both directions: waiting for more would only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "could not switch delayed sending off");
                }
            }
            if let Err(error) = self.pass(&mut sidecar, &mut control_plane).await {
                tracing::debug!(%target, %error, "a control-plane connection broke");
            }
        };
        tokio::select! {
            () = passed => {}
            _ = generation.changed() => {}
        }
    }
}

impl Relay {
    /// Passes bytes in both directions until one side ends, and notes every piece that reached the sidecar and may be of
    /// a response.
    async fn pass(
        &self,
        sidecar: &mut TcpStream,
        control_plane: &mut TcpStream,
    ) -> std::io::Result<()> {
        let (mut from_sidecar, mut to_sidecar) = sidecar.split();
        let (mut from_control_plane, mut to_control_plane) = control_plane.split();
        let down = async {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = from_control_plane.read(&mut buffer).await?;
                if read == 0 {
                    return Ok(());
                }
                to_sidecar.write_all(&buffer[..read]).await?;
                if read >= SHORTEST_RESPONSE {
                    self.activity.note();
                }
            }
        };
        let up = async {
            copy(&mut from_sidecar, &mut to_control_plane)
                .await
                .map(drop)
        };
        // gRPC has no use for half a connection.
        tokio::select! {
            result = down => result,
            result = up => result,
        }
    }
}

/// Counts an open connection down when it ends, however it ends.
struct OpenGuard<'a>(&'a Relay);

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
        self.0.activity.note();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn describe(relay: &Relay) -> LauncherState {
        relay.describe(1, BTreeMap::new())
    }

    async fn control_plane(name: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(name).await.unwrap();
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_reconnect_ends_the_old_connection_and_the_next_goes_to_the_new_target() {
        let (a, b) = (control_plane(b"a").await, control_plane(b"b").await);
        let relay = Relay::new(&a, Activity::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Arc::clone(&relay).serve(listener));

        let mut first = TcpStream::connect(address).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'a');
        assert_eq!((describe(&relay).epoch, describe(&relay).open), (1, 1));
        assert_eq!(*relay.open().borrow(), 1);

        assert_eq!(relay.reconnect(Some(b.clone())), 2);
        let mut rest = Vec::new();
        let _ = first.read_to_end(&mut rest).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read_u8().await.unwrap(), b'b');
        assert_eq!(describe(&relay).epoch, 2);
        assert_eq!(describe(&relay).target, b);

        assert_eq!(relay.reconnect(None), 3);
        assert_eq!(describe(&relay).target, a);
    }

    #[tokio::test]
    async fn a_ping_is_no_activity_and_a_response_is() {
        let (ping, response) = ([0; 39], [1; 120]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let activity = Activity::default();
        let relay = Relay::new(
            &listener.local_addr().unwrap().to_string(),
            activity.clone(),
        );
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = own.local_addr().unwrap();
        tokio::spawn(Arc::clone(&relay).serve(own));

        let mut sidecar = TcpStream::connect(address).await.unwrap();
        let (mut control_plane, _) = listener.accept().await.unwrap();
        // When the second has come, all that the first brings about has happened.
        for _ in 0..2 {
            control_plane.write_all(&ping).await.unwrap();
            sidecar.read_exact(&mut ping.clone()).await.unwrap();
        }
        // Only the connection itself.
        assert_eq!(activity.count(), 1);
        control_plane.write_all(&response).await.unwrap();
        sidecar.read_exact(&mut response.clone()).await.unwrap();
        activity.differs_from(1, Duration::from_secs(10)).await;
        assert_eq!(activity.count(), 2);
    }

    #[tokio::test]
    async fn a_dial_that_fails_is_no_connection() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap().to_string();
        drop(closed);
        let relay = Relay::new(&address, Activity::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        tokio::spawn(Arc::clone(&relay).serve(listener));
        let mut stream = TcpStream::connect(own).await.unwrap();
        assert!(stream.read_u8().await.is_err());
        assert_eq!(describe(&relay).epoch, 0);
    }
}
