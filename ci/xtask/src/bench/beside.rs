//! Bench programs of their own, which run beside an API server alone and print their figures as a JSON object.

use super::alone;
use crate::workspace;
use anyhow::{Context as _, bail};
use harness_assets::{AssetOptions, Assets, ForImages, Progress};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One that is built, with the programs of the mesh that it starts.
pub(super) struct Beside {
    bench: PathBuf,
    assets: Assets,
}

impl Beside {
    /// Builds them, the bench itself first.
    ///
    /// # Errors
    ///
    /// When one cannot be built, or there is no API server.
    pub(super) fn build(programs: &[&str]) -> anyhow::Result<Self> {
        let built = programs.iter().map(|name| workspace::build_program(name));
        let built: Vec<PathBuf> = built.collect::<anyhow::Result<_>>()?;
        let Some(bench) = built.into_iter().next() else {
            bail!("there is nothing to build");
        };
        let options = AssetOptions::from_environment(None)?;
        let assets = harness_assets::obtain(&options, ForImages::Nothing, &|progress| {
            if !matches!(progress, Progress::Activity { .. }) {
                eprintln!("{progress}");
            }
        })?;
        Ok(Self { bench, assets })
    }

    /// Runs it once, with its logs in this folder.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub(super) fn figures(&self, folder: &Path, count: usize) -> anyhow::Result<Value> {
        let programs = self.bench.parent().context("a program is in a folder")?;
        let then: Vec<OsString> = vec![
            self.bench.clone().into_os_string(),
            programs.into(),
            // In memory, since there are keys in it.
            folder.join("state/bench").into(),
            folder.into(),
            count.to_string().into(),
        ];
        let text = alone::with(&self.assets, folder, &then)?;
        serde_json::from_str(&text).context("read its figures")
    }
}
