//! Building the image archives.

use anyhow::Context as _;
use harness_assets::{AssetOptions, Assets, Progress};
use harness_images::build::{BuildOptions, BuiltImage, build};

/// Obtains the programs of other projects: makes them where they are not there yet.
pub(crate) fn assets() -> anyhow::Result<Assets> {
    let options = AssetOptions::from_environment(None)?;
    let assets = harness_assets::obtain(&options, &|progress| {
        if !matches!(progress, Progress::Activity { .. }) {
            eprintln!("{progress}");
        }
    });
    assets.map_err(|error| with_hint(error.hint().as_deref(), error))
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
