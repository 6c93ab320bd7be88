//! Seeded bugs of the sidecar launcher. Each is one small wrong decision at one of the seams of
//! [`sidecar_launcher::behaviour`]; everything else is the real thing.
//!
//! Invariant: none of this is in the `sidecar-launcher` binary.

use sidecar_launcher::behaviour::{Behaviour, Faithful};
use std::future::{Future, pending};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{interval, timeout};

/// One seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Connections that an update has made old live on.
    KeepsOldConnections,
    /// Connections that an update has made old are closed at once, whatever is under way.
    CutsOldConnections,
    /// A pod counts as ready before its sidecar has its configuration.
    ReadyTooEarly,
    /// A sidecar whose control plane is away is started anew, and has nothing then.
    Forgets,
    /// A sidecar ends as soon as its application takes nothing new, whatever is under way.
    EndsTooEarly,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::KeepsOldConnections,
        Self::CutsOldConnections,
        Self::ReadyTooEarly,
        Self::Forgets,
        Self::EndsTooEarly,
    ];

    /// As in `MESH_MUTANT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepsOldConnections => "sidecar-keeps-old-connections",
            Self::CutsOldConnections => "sidecar-cuts-old-connections",
            Self::ReadyTooEarly => "sidecar-ready-too-early",
            Self::Forgets => "sidecar-forgets",
            Self::EndsTooEarly => "sidecar-ends-too-early",
        }
    }

    /// The mutant of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mutation| mutation.name() == name)
    }
}

impl Behaviour for Mutation {
    fn old_connections_seconds(&self, seconds: u64) -> Option<u64> {
        match self {
            Self::KeepsOldConnections => None,
            Self::CutsOldConnections => Some(0),
            _ => Faithful.old_connections_seconds(seconds),
        }
    }

    fn is_ready(&self, sidecar_says_so: bool) -> bool {
        *self == Self::ReadyTooEarly || Faithful.is_ready(sidecar_says_so)
    }

    fn has_to_start_anew(
        &self,
        open: watch::Receiver<u64>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self {
            Self::Forgets => Box::pin(is_left_alone(open)),
            _ => Faithful.has_to_start_anew(open),
        }
    }

    fn has_to_end(&self, application: u16) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self {
            Self::EndsTooEarly => Box::pin(takes_nothing_new(application)),
            _ => Faithful.has_to_end(application),
        }
    }
}

/// How long a control plane may be away. The seconds that one needs to be replaced are less, and an outage is longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends when there has been no connection for [`PATIENCE`] where there was one before.
async fn is_left_alone(mut open: watch::Receiver<u64>) {
    while open.wait_for(|open| *open > 0).await.is_ok()
        && open.wait_for(|open| *open == 0).await.is_ok()
    {
        if timeout(PATIENCE, open.wait_for(|open| *open > 0))
            .await
            .is_err()
        {
            return;
        }
    }
    // Nobody counts any more: the launcher is at its end.
    pending().await
}

/// How often the port of an application is tried.
const LOOK: Duration = Duration::from_millis(50);

/// Ends when nobody listens on a port of this pod any more where somebody did before.
async fn takes_nothing_new(port: u16) {
    let mut looks = interval(LOOK);
    let mut has_listened = false;
    loop {
        looks.tick().await;
        let dialled = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        if has_listened && dialled.is_err() {
            return;
        }
        has_listened |= dialled.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_both_ways() {
        for mutation in Mutation::ALL {
            assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
        }
        assert_eq!(Mutation::from_name(""), None);
    }

    #[test]
    fn every_mutant_does_what_its_name_says() {
        let old = |behaviour: &dyn Behaviour| behaviour.old_connections_seconds(3);
        assert_eq!(
            (old(&Faithful), old(&Mutation::Forgets)),
            (Some(3), Some(3))
        );
        assert_eq!(old(&Mutation::KeepsOldConnections), None);
        assert_eq!(old(&Mutation::CutsOldConnections), Some(0));
        assert!(!Faithful.is_ready(false) && !Mutation::Forgets.is_ready(false));
        assert!(Faithful.is_ready(true) && Mutation::ReadyTooEarly.is_ready(false));
    }

    /// Whether a mutant has its sidecar started anew within a minute of what `happens` to the count of connections.
    async fn starts_anew(
        behaviour: &dyn Behaviour,
        happens: impl AsyncFnOnce(&watch::Sender<u64>),
    ) -> bool {
        let open = watch::Sender::new(0);
        let anew = behaviour.has_to_start_anew(open.subscribe());
        let anew = tokio::spawn(timeout(Duration::from_secs(60), anew));
        happens(&open).await;
        anew.await.expect("no panic").is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_forgets_starts_anew_and_only_when_it_is_left_alone() {
        let waits = |seconds| timeout(Duration::from_secs(seconds), pending::<()>());
        let is_left_alone = async |open: &watch::Sender<u64>| {
            open.send_replace(1);
            let _ = waits(1).await;
            open.send_replace(0);
        };
        assert!(starts_anew(&Mutation::Forgets, is_left_alone).await);
        assert!(!starts_anew(&Mutation::ReadyTooEarly, is_left_alone).await);
        assert!(!starts_anew(&Faithful, is_left_alone).await);
        let dials_again = async |open: &watch::Sender<u64>| {
            is_left_alone(open).await;
            let _ = waits(1).await;
            open.send_replace(1);
        };
        assert!(!starts_anew(&Mutation::Forgets, dials_again).await);
        assert!(!starts_anew(&Mutation::Forgets, async |_: &watch::Sender<u64>| {}).await);
    }
}
