//! The builds that rollouts put in place before those under test.
//!
//! What a rollout is to show is that an upgrade loses nothing. With a build of its own before it, each part of the mesh goes
//! down to that and up again; without one it would be replaced by itself.

use super::{ReadArchiveError, named_by_contents};
use crate::environment::PrepareError;
use crate::plan::{Replacement, RunPlan};
use harness_cluster::kind::Saved;
use harness_images::another;
use harness_images::build::{BuildError, BuiltImage, NAMES, reference_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What makes our image another one. Programs do not look at it.
const VARIABLE: &str = "MESHPROOF_BUILD=before";

/// The build before one under test, on this machine.
pub(super) struct Before {
    /// The image under test, as the mesh definition names it.
    pub(super) of: String,
    /// The name by which it is brought to the nodes.
    pub(super) name: String,
    /// Its archive.
    pub(super) archive: PathBuf,
}

/// What is known of the builds before.
pub(super) struct Wanted {
    /// Image name → the archive that was given for it.
    given: BTreeMap<String, PathBuf>,
    /// Images that another build of the same programs is made of.
    made: BTreeSet<String>,
    /// A folder of ours.
    folder: PathBuf,
    to_registry: bool,
}

impl Wanted {
    /// Of these archives that were given; what nodes pull by themselves needs nothing here.
    pub(super) fn new(
        plan: &RunPlan,
        given: BTreeMap<String, PathBuf>,
        of_bugs: &BTreeSet<String>,
        to_registry: bool,
    ) -> Self {
        let choice = &plan.images;
        let has_none = |name: &&str| !choice.before.contains_key(*name) && !of_bugs.contains(*name);
        let names = NAMES.into_iter().filter(has_none);
        Self {
            made: if choice.rolled_out {
                names.map(str::to_owned).collect()
            } else {
                BTreeSet::new()
            },
            given,
            folder: plan.assets.cache.clone(),
            to_registry,
        }
    }

    /// The builds before these, and the files that hold the ones that were made.
    pub(super) fn archives(
        &self,
        images: &[BuiltImage],
    ) -> Result<(Vec<Before>, Vec<Saved>), PrepareError> {
        let mut found = Vec::new();
        let mut saved = Vec::new();
        for name in NAMES {
            let of = reference_of(name);
            let under_test = images.iter().find(|image| image.name == name);
            let archive = match (self.given.get(name), under_test) {
                (Some(given), _) => given.clone(),
                (None, Some(image)) if self.made.contains(name) => {
                    let made = self.another(image)?;
                    let archive = made.path();
                    saved.push(made);
                    archive
                }
                _ => continue,
            };
            let by_contents = |archive| named_by_contents(&of, archive).map_err(unreadable);
            let name_of_it = by_contents(&archive)?;
            if let Some(image) = under_test
                && by_contents(&image.archive)? == name_of_it
            {
                return Err(PrepareError::SameBuild(name.to_owned()));
            }
            found.push(Before {
                of,
                // A registry names what it is given by its contents itself.
                name: match self.to_registry {
                    true => format!("{name_of_it}-before"),
                    false => name_of_it,
                },
                archive,
            });
        }
        Ok((found, saved))
    }

    fn another(&self, image: &BuiltImage) -> Result<Saved, PrepareError> {
        let failed = |source| PrepareError::AnotherBuild {
            name: image.name.to_owned(),
            source,
        };
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| failed(another::AnotherError::Write { path, source })
        };
        fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
        let folder = tempfile::tempdir_in(&self.folder).map_err(io(&self.folder))?;
        let archive = folder.path().join(image.name);
        another::build(&image.archive, &image.reference, VARIABLE, &archive).map_err(failed)?;
        // Its folder goes at once, so that nothing of it outlives us.
        File::open(&archive).map(Saved::of).map_err(io(&archive))
    }
}

/// Of the builds before that nodes pull by themselves: the image under test, as the mesh definition names it → their name.
pub(super) fn pulled(plan: &RunPlan) -> impl Iterator<Item = (String, String)> {
    let given = plan.images.before.iter();
    given.filter_map(|(name, replacement)| match replacement {
        Replacement::Pulled(reference) => Some((reference_of(name), reference.clone())),
        _ => None,
    })
}

fn unreadable(error: ReadArchiveError) -> PrepareError {
    PrepareError::Images(BuildError::Archive(error))
}
