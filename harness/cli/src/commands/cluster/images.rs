//! Which images the nodes of a kept cluster have: ours, as a run would deploy them, and those that were named.

use crate::arguments::ClusterUpArguments;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::plan;
use crate::plan::candidates::{self, Problem, Source};
use harness_cluster::ImageArchive;
use harness_cluster::assets::{AssetOptions, ForImages};
use harness_cluster::kind::{self, Held, Saved};
use harness_images::build::{self, BuildOptions, NAMES};
use harness_images::store::Store;
use std::path::{Path, PathBuf};

/// What is to be loaded; every file it names is there.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Ours; none when they are not wanted.
    own: Option<BuildOptions>,
    others: Vec<ImageArchive>,
    /// Name → the image in a container engine.
    held: Vec<(String, Held)>,
}

impl Wanted {
    /// What it needs of programs of others.
    pub(super) fn need(&self) -> ForImages {
        match &self.own {
            Some(own) if own.prebuilt.is_none() => ForImages::Envoy,
            _ => ForImages::Nothing,
        }
    }
}

/// Images to be loaded.
pub(super) struct Obtained {
    pub(super) images: Vec<ImageArchive>,
    /// Archives that are there as long as this.
    _saved: Vec<Saved>,
}

/// Reads the arguments and checks every file that they name.
pub(super) fn check(arguments: &ClusterUpArguments) -> Result<Wanted, Failure> {
    plan::folders(arguments.images.as_deref(), arguments.assets.as_deref())?;
    let mut own = BuildOptions {
        prebuilt: plan::ready_images(arguments.images.as_deref()),
        ..BuildOptions::default()
    };
    // A word alone is one of ours, or a mistake.
    let is_own = |name: &str| !arguments.no_images && !name.contains(['/', ':']);
    let unknown = arguments.image.iter().filter(|(name, _)| is_own(name));
    let mut problems: Vec<Problem> = unknown
        .filter_map(|(name, text)| candidates::unknown(candidates::IMAGE, name, text))
        .collect();
    let sources =
        match candidates::sources(candidates::IMAGE, &arguments.image, arguments.cluster.kind) {
            Ok(sources) if problems.is_empty() => sources,
            Ok(_) => return Err(candidates::failure(problems)),
            Err(others) => {
                problems.extend(others);
                return Err(candidates::failure(problems));
            }
        };
    let mut others = Vec::new();
    let mut held = Vec::new();
    for (name, source) in sources {
        match source {
            Source::Archive(archive) if is_own(&name) => {
                own.replacements.insert(name, archive);
            }
            Source::Archive(archive) => others.push(ImageArchive {
                archive,
                reference: name,
            }),
            Source::Held(image) => held.push((name, image)),
            Source::Reference(reference) => {
                let bug = format!("take the image {reference} from somewhere");
                return Err(Failure::new(ExitCode::Internal, bug));
            }
        }
    }
    Ok(Wanted {
        own: (!arguments.no_images).then_some(own),
        others,
        held,
    })
}

/// Builds what is not ready, and unpacks everything into `store`, which all local clusters of this machine share.
pub(super) fn obtain(
    mut wanted: Wanted,
    envoy: Option<PathBuf>,
    options: &AssetOptions,
    store: Option<&Path>,
    progress: &dyn Fn(&str),
) -> Result<Obtained, Failure> {
    let failed = || Failure::new(ExitCode::Environment, "obtain the images");
    let mut images = Vec::new();
    let mut saved = Vec::new();
    for (name, image) in std::mem::take(&mut wanted.held) {
        progress(&format!("saving {} of {}", image.reference, image.engine));
        let archive = super::runtime()?
            .block_on(kind::save(&image, &options.cache))
            .map_err(|error| super::failure("obtain the images", &error))?;
        match &mut wanted.own {
            Some(own) if NAMES.contains(&name.as_str()) => {
                own.replacements.insert(name, archive.path());
            }
            _ => wanted.others.push(ImageArchive {
                archive: archive.path(),
                reference: name,
            }),
        }
        saved.push(archive);
    }
    if let Some(own) = wanted.own {
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
    Ok(Obtained {
        images,
        _saved: saved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoy_is_needed_only_where_ours_are_built() {
        let need = |own| {
            let wanted = Wanted {
                own,
                others: Vec::new(),
                held: Vec::new(),
            };
            wanted.need()
        };
        let ready = BuildOptions {
            prebuilt: Some("images".into()),
            ..BuildOptions::default()
        };
        assert_eq!(need(Some(BuildOptions::default())), ForImages::Envoy);
        assert_eq!(need(Some(ready)), ForImages::Nothing);
        assert_eq!(need(None), ForImages::Nothing);
    }
}
