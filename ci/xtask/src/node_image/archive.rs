//! Writing a root file system as an archive for `docker load`, without an engine.

use anyhow::{Context as _, bail};
use harness_assets::cache::{hex, sha256};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Packs the tar of a root file system as an image of one layer.
pub(super) fn write(layer: &Path, reference: &str, key: &str, target: &Path) -> anyhow::Result<()> {
    let diff = sha256(layer).with_context(|| format!("read {}", layer.display()))?;
    let config = json!({
        "architecture": match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
            // systemd believes by this that it is in a container.
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "container=docker",
            ],
            // What makes systemd shut down.
            "StopSignal": "SIGRTMIN+3",
            "Labels": {"meshproof.node-image": key},
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff}")]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "meshproof"}],
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": [reference],
        "Layers": ["layer.tar"],
    }])
    .to_string();

    let mut zstd = Command::new("zstd")
        .args(["--threads=0", "--quiet", "--force", "-o"])
        .arg(target)
        .stdin(Stdio::piped())
        .spawn()
        .context("start zstd")?;
    let mut archive = tar::Builder::new(zstd.stdin.take().context("zstd has no input")?);
    for (name, text) in [
        (config_name.as_str(), &config),
        ("manifest.json", &manifest),
    ] {
        append(&mut archive, name, text.len() as u64, text.as_bytes())?;
    }
    let file = File::open(layer).with_context(|| format!("read {}", layer.display()))?;
    let size = file.metadata().context("read the layer")?.len();
    append(&mut archive, "layer.tar", size, file)?;
    // The end of its input is the end of the archive.
    drop(archive.into_inner().context("write the archive")?);
    let status = zstd.wait().context("wait for zstd")?;
    if !status.success() {
        bail!("zstd ended with {status}");
    }
    Ok(())
}

fn append<W: std::io::Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    size: u64,
    contents: impl Read,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    archive
        .append_data(&mut header, name, contents)
        .with_context(|| format!("write {name} into the archive"))
}
