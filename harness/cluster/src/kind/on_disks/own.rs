//! Folders with file systems of their own, so that one can be filled without the node: containerd keeps the state of its
//! pods in `/run`, and a node whose `/run` is full starts none.

use super::super::engine::Engine;
use crate::{ClusterError, failed};
use futures::future::try_join_all;
use std::path::PathBuf;

/// Takes folders. Each becomes a mount unit, which is there again before the kubelet when the node has lost its power. What
/// has something in it already is left as it is: nothing must be hidden from who has it open.
const MOUNT: &str = r#"set -eu
units=
for folder; do
  if mountpoint -q "$folder" || [ -n "$(ls -A "$folder" 2> /dev/null)" ]; then continue; fi
  unit=$(systemd-escape --path --suffix=mount "$folder")
  cat > "/etc/systemd/system/$unit" << END
[Unit]
Description=A file system that meshproof may fill
Before=kubelet.service
[Mount]
What=tmpfs
Where=$folder
Type=tmpfs
Options=size=16m,mode=755,nosuid,nodev
[Install]
WantedBy=kubelet.service
END
  units="$units $unit"
done
[ -n "$units" ] || exit 0
# The node may be starting.
for attempt in $(seq 600); do
  systemctl show --property=Version > /dev/null 2>&1 && break
  sleep 0.1
done
systemctl enable --now $units
"#;

/// Gives each of these folders a file system on each of these nodes.
pub(in crate::kind) async fn prepare(
    engine: &Engine,
    nodes: &[String],
    folders: &[PathBuf],
) -> Result<(), ClusterError> {
    if folders.is_empty() {
        return Ok(());
    }
    let folders: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    let mut arguments = vec!["sh", "-c", MOUNT, "mount"];
    arguments.extend(folders.iter().map(String::as_str));
    let (arguments, folders) = (&arguments, folders.join(", "));
    let prepared = nodes.iter().map(|node| {
        let act = format!("mount {folders} on node {node}");
        async move {
            let mounted = engine.in_node(node, arguments, None).await;
            mounted.map(drop).map_err(failed(act))
        }
    });
    try_join_all(prepared).await.map(drop)
}
