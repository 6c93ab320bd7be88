//! What the sidecar beside this probe says of one connection.

use crate::local_client::LocalClient;
use probe_api::launcher::{ConnectionTold, paths};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How long the sidecar has for it.
const PATIENCE_MS: u64 = 1000;

/// Asks the launcher of the sidecar, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    launcher: Option<String>,
}

impl Told {
    /// By way of the launcher at this address.
    pub(crate) fn by(launcher: Option<&str>) -> Self {
        Self {
            launcher: launcher.map(str::to_owned),
        }
    }

    /// What is said of the connection with this end, which is open; nothing where nobody says something. With `ended` it is
    /// not open any more, and is waited for the sidecar's last word.
    pub(crate) async fn of(&self, end: SocketAddr, ended: bool) -> BTreeMap<String, String> {
        let Some(launcher) = &self.launcher else {
            return BTreeMap::new();
        };
        let path = format!(
            "{}?application={end}&ended={ended}&wait_ms={PATIENCE_MS}",
            paths::CONNECTION
        );
        // Connections are asked for side by side, and one client asks one thing after another.
        let told = LocalClient::new(launcher);
        match told.get_json::<Option<ConnectionTold>>(&path).await {
            Ok(told) => told.map(|told| told.says).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the launcher does not tell of a connection");
                BTreeMap::new()
            }
        }
    }
}
