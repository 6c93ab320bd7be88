//! Bringing up kind clusters side by side, as `meshproof cluster up` does it.

use super::kind::finish;
use super::program::{Program, millis};
use crate::engine::Engine;
use anyhow::Context as _;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// The name of what is brought up; what a killed bench has left is replaced.
const NAME: &str = "bench-clusters";

/// Brings clusters of one zone up and takes them down.
pub(super) struct Clusters<'a> {
    engine: &'a Engine,
    program: PathBuf,
    image: String,
    folder: PathBuf,
}

impl<'a> Clusters<'a> {
    /// With this node image.
    pub(super) fn new(engine: &'a Engine, program: &Program, image: &str) -> anyhow::Result<Self> {
        let folder = program.folder().join("clusters");
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self {
            engine,
            program: program.path().to_owned(),
            image: image.to_owned(),
            folder,
        })
    }

    /// Seconds until `count` clusters are ready, without images of ours.
    pub(super) fn measure(&self, count: usize) -> anyhow::Result<f64> {
        let mut topology = "name: side-by-side\nclusters:\n".to_owned();
        for number in 1..=count {
            // Writing to a text cannot fail.
            let _ = write!(
                topology,
                "  - name: c{number}\n    dataCenters: [{{name: zone-{number}, region: region-1}}]\n"
            );
        }
        let file = self.folder.join(format!("{count}.yaml"));
        std::fs::write(&file, topology).with_context(|| format!("write {}", file.display()))?;
        let log = self.folder.join(format!("{count}.txt"));
        // Nothing to take down is what is hoped for.
        let _ = finish(&mut self.command(&["cluster", "down", NAME]), &log);
        let started = Instant::now();
        let mut up = self.command(&["cluster", "up", NAME, "--cluster", "kind", "--no-images"]);
        let made = finish(up.arg("--topology").arg(&file), &log);
        let took = millis(started.elapsed()) / 1000.0;
        made?;
        finish(&mut self.command(&["cluster", "down", NAME]), &log)?;
        Ok(took)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.command(&self.program);
        command
            .args(arguments)
            .env("MESHPROOF_NODE_IMAGE", &self.image);
        command
    }
}
