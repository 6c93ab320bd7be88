//! Which images the nodes of a kept cluster have: ours, as a run would deploy them, and those that were named.

use crate::arguments::ClusterUpArguments;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::plan;
use harness_cluster::ImageArchive;
use harness_images::build::{self, BuildOptions};
use harness_images::store::Store;
use std::path::Path;

/// What is to be loaded; every file it names is there.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Ours; none when they are not wanted.
    own: Option<BuildOptions>,
    others: Vec<ImageArchive>,
}

/// Reads the arguments and checks every file that they name.
pub(super) fn check(arguments: &ClusterUpArguments) -> Result<Wanted, Failure> {
    plan::folders(arguments.images.as_deref(), arguments.assets.as_deref())?;
    let mut own = BuildOptions {
        prebuilt: plan::ready_images(arguments.images.as_deref()),
        ..BuildOptions::default()
    };
    let mut others = Vec::new();
    for (name, path) in &arguments.image {
        let archive = plan::archive(name, path)?;
        // A word alone is one of ours, or a mistake.
        if !arguments.no_images && !name.contains(['/', ':']) {
            own.replacements
                .insert(plan::own_image(name)?.to_owned(), archive);
        } else {
            let reference = name.clone();
            others.push(ImageArchive { archive, reference });
        }
    }
    Ok(Wanted {
        own: (!arguments.no_images).then_some(own),
        others,
    })
}

/// Builds what is not ready, and unpacks everything into `store`, which all local clusters of this machine share.
pub(super) fn obtain(
    wanted: Wanted,
    envoy: &Path,
    store: Option<&Path>,
    progress: &dyn Fn(&str),
) -> Result<Vec<ImageArchive>, Failure> {
    let failed = || Failure::new(ExitCode::Environment, "obtain the images");
    let mut images = Vec::new();
    if let Some(own) = wanted.own {
        let envoy = envoy.to_owned();
        let built = build::build(&BuildOptions { envoy, ..own }, progress).map_err(|error| {
            let hint = error
                .hint()
                .unwrap_or("`--no-images` brings the cluster up without them");
            failed().because(&error).hint(hint)
        })?;
        images.extend(built.into_iter().map(|image| ImageArchive {
            archive: image.archive,
            reference: image.reference,
        }));
    }
    images.extend(wanted.others);
    if let Some(store) = store {
        let unpacked = Store::open(store).and_then(|store| {
            images
                .iter()
                .try_for_each(|image| store.load(&image.archive).map(drop))
        });
        unpacked.map_err(|error| failed().because(&error))?;
    }
    Ok(images)
}
