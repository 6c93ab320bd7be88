//! This very program, in the nodes that were brought it.

use super::engine::Engine;
use crate::ClusterError;
use std::path::Path;

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
        // Not by its name, which may be another program's by now.
        let own = Path::new("/proc/self/exe");
        engine.copy_into(node, own, PROGRAM).await?;
        there.push(node.to_owned());
        Ok(())
    }
}
