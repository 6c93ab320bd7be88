//! Building the image archives.

use anyhow::Context as _;
use harness_assets::{AssetOptions, Assets, ForImages, Progress};
use harness_images::build::{BuildOptions, BuiltImage, build};
use std::path::PathBuf;

/// Obtains the programs of other projects: makes them where they are not there yet.
pub(crate) fn assets() -> anyhow::Result<Assets> {
    let options = AssetOptions::from_environment(None)?;
    let assets = harness_assets::obtain(&options, ForImages::Envoy, &tell);
    assets.map_err(|error| with_hint(error.hint().as_deref(), error))
}

/// Obtains Envoy alone.
pub(crate) fn envoy() -> anyhow::Result<PathBuf> {
    let options = AssetOptions::from_environment(None)?;
    let envoy = harness_assets::envoy(&options, &tell);
    envoy.map_err(|error| with_hint(error.hint().as_deref(), error))
}

/// Obtains the program `kind`. Programs that run in the network namespace of an engine of ours find it in the cache then:
/// there is no way from there to where it could be made from.
pub(crate) fn kind() -> anyhow::Result<PathBuf> {
    let options = AssetOptions::from_environment(None)?;
    let kind = harness_assets::kind(&options, &tell);
    kind.map_err(|error| with_hint(error.hint().as_deref(), error))
}

fn tell(progress: &Progress) {
    if !matches!(progress, Progress::Activity { .. }) {
        eprintln!("{progress}");
    }
}

/// Builds every image into `target/images`.
pub(crate) fn images() -> anyhow::Result<Vec<BuiltImage>> {
    let assets = assets()?;
    let build_options = BuildOptions {
        envoy: assets.envoy,
        ..BuildOptions::default()
    };
    let images = build(&build_options, &|line| eprintln!("{line}"));
    let images = images
        .map_err(|error| with_hint(error.hint(), error))
        .context("build the images")?;
    for image in &images {
        println!("{} {}", image.reference, image.archive.display());
    }
    Ok(images)
}

fn with_hint(
    hint: Option<&str>,
    error: impl std::error::Error + Send + Sync + 'static,
) -> anyhow::Error {
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    anyhow::Error::new(error)
}
