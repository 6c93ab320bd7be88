//! What a failed run leaves for people: logs, rules, objects, pods. No keys and no tokens: see `redaction`.

use crate::api::diagnostics::Namespaces;
use crate::redaction::redact;
use crate::{ClusterError, api, failed};
use harness_model::causes::chain;
use std::io;
use std::path::Path;

/// Writes everything below `target`. What cannot be had is noted there instead.
pub(super) async fn collect(
    run_folder: &Path,
    client: kube::Client,
    rules: Result<String, ClusterError>,
    target: &Path,
) -> Result<(), ClusterError> {
    let act = || format!("write diagnostics to {}", target.display());
    let write = |name: &str, text: String| {
        std::fs::write(target.join(name), redact(&text)).map_err(failed(act()))
    };
    copy_logs(&run_folder.join("logs"), &target.join("logs")).map_err(failed(act()))?;
    write("rules.nft", rules.unwrap_or_else(|error| chain(&error)))?;
    api::diagnostics::write(&client, Namespaces::All, target).await
}

fn copy_logs(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = std::fs::read(entry.path())?;
            let text = redact(&String::from_utf8_lossy(&text));
            std::fs::write(to.join(entry.file_name()), text)?;
        }
    }
    Ok(())
}
