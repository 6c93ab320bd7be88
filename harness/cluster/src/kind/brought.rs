//! This very program, in the nodes that were brought it.

use super::engine::Engine;
use crate::ClusterError;

/// Where the program is in a node: not on a file system that its container mounts, so that every engine can write it. Not
/// the one that makes packets between data centers late, which may be of another run.
pub(super) const PROGRAM: &str = "/usr/local/bin/meshproof-brought";

/// The nodes that have the program.
#[derive(Default)]
pub(super) struct Brought(tokio::sync::Mutex<Vec<String>>);

impl Brought {
    /// Copies the program into a node that has not got it from us.
    pub(super) async fn bring(&self, engine: &Engine, node: &str) -> Result<(), ClusterError> {
        let mut there = self.0.lock().await;
        if there.iter().any(|known| known == node) {
            return Ok(());
        }
        engine.copy_self_into(node, PROGRAM).await?;
        there.push(node.to_owned());
        Ok(())
    }
}
