//! The images of a run: obtained, and named so that nodes cannot take one for another.
//!
//! Invariant: where we bring images to nodes, manifests name each by its contents. A mesh that is there already runs what
//! this run brings, whatever an earlier run brought by the same word; an unchanged image disturbs nobody.

mod before;

use crate::bring_up::{blocking, store};
use crate::environment::PrepareError;
use crate::phases::Phases;
use crate::plan::{ClusterChoice, ImageSource, Replacement, RunPlan};
use harness_cluster::kind::{self, Saved};
use harness_cluster::{ImageArchive, ImageNames};
use harness_images::archive::{Archive, ReadArchiveError};
use harness_images::build::{self, BuildError, BuildOptions, reference_of};
use harness_images::reference::normalize;
use harness_images::store::Store;
use harness_mesh::MeshDefinition;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// So many digits of a digest tell the images of a machine apart.
const DIGITS: usize = 16;

/// The images that pods of the mesh get.
#[derive(Clone, Debug, Default)]
pub(crate) struct Images {
    /// The name in the mesh definition → the one by which nodes know the image, where it is another.
    pub(crate) names: ImageNames,
    /// What was put in the place of ours.
    pub(crate) candidates: Vec<Candidate>,
    /// The builds before, each with the image that it comes before, as the mesh definition names it.
    before: Vec<(String, String)>,
}

impl Images {
    /// Image under test → the build before it, both as nodes know them.
    pub(crate) fn before(&self) -> BTreeMap<String, String> {
        let known = |name: &String| self.names.get(name).unwrap_or(name).clone();
        let pairs = self.before.iter();
        pairs.map(|(of, name)| (known(of), known(name))).collect()
    }

    /// Of the builds before those that were named: image → the build, as nodes know it.
    pub(crate) fn named_before(
        &self,
        named: &BTreeMap<String, Replacement>,
    ) -> BTreeMap<String, String> {
        let pairs = self.before.iter();
        let told = pairs.filter_map(|(of, name)| {
            let image = named.keys().find(|image| reference_of(image) == *of)?;
            let known = self.names.get(name).unwrap_or(name);
            Some((image.clone(), known.clone()))
        });
        told.collect()
    }
}

/// An image that was put in the place of one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The image that it replaces, `control-plane`.
    pub(crate) replaces: String,
    /// How manifests name it.
    pub(crate) name: String,
    /// What a node may call it: the digest of its configuration, or that of its manifest. Empty where nobody knows before
    /// a node has it.
    pub(crate) digests: BTreeSet<String>,
}

/// Images on this machine.
#[derive(Default)]
pub(crate) struct Made {
    /// To be brought to the nodes.
    pub(crate) archives: Vec<ImageArchive>,
    images: Images,
    /// Archives that are there as long as this.
    _saved: Vec<Saved>,
}

impl Made {
    /// They are on the nodes, some of them by other names.
    pub(crate) fn known_as(self, names: ImageNames) -> Images {
        let mut images = self.images;
        for candidate in &mut images.candidates {
            if let Some(name) = names.get(&candidate.name) {
                // The registry's name for it ends with the digest of its manifest.
                candidate.name.clone_from(name);
            }
        }
        images.names.extend(names);
        images
    }
}

/// Obtains the images. For local clusters they are unpacked into the store that all of this machine share.
pub(crate) async fn make(
    plan: &RunPlan,
    envoy: Option<PathBuf>,
    phases: &Phases,
) -> Result<Made, PrepareError> {
    let mut made = Made {
        images: pulled(plan),
        ..Made::default()
    };
    if !plan.cluster.takes_images() {
        return Ok(made);
    }
    let line = phases.lines("images");
    let given = &plan.images.replacements;
    let replacements = archives(plan, given, &mut made._saved, &line).await?;
    let given = archives(plan, &plan.images.before, &mut made._saved, &line).await?;
    let replaced: BTreeSet<String> = replacements.keys().cloned().collect();
    let options = BuildOptions {
        prebuilt: match &plan.images.source {
            ImageSource::Built => None,
            ImageSource::Folder(folder) => Some(folder.clone()),
        },
        replacements,
        without: without(plan),
        envoy,
    };
    let store = plan.cluster.is_local().then(|| store(plan));
    let on_kind = plan.cluster.is_kind();
    let to_registry = matches!(plan.cluster, ClusterChoice::Existing { .. });
    let of_bugs = mutant_images(&plan.mesh.definition);
    let wanted = before::Wanted::new(plan, given, &of_bugs, to_registry);
    let obtained = blocking("obtaining the images", move || {
        let images = build::build(&options, &|text: &str| line(text.to_owned()))
            .map_err(PrepareError::Images)?;
        let (before, saved) = wanted.archives(&images)?;
        if let Some(store) = store {
            let store = Store::open(&store).map_err(PrepareError::Store)?;
            let archives = images.iter().map(|image| &image.archive);
            for archive in archives.chain(before.iter().map(|before| &before.archive)) {
                store.load(archive).map_err(PrepareError::Store)?;
            }
        }
        let named = images.into_iter().map(|image| {
            let name = match to_registry {
                true => Ok(image.reference.clone()),
                false => named_by_contents(&image.reference, &image.archive),
            };
            let digests = replaced
                .contains(image.name)
                .then(|| digests(&image.archive, on_kind))
                .transpose();
            Ok((image, name?, digests?))
        });
        let named = named.collect::<Result<Vec<_>, ReadArchiveError>>();
        let named = named.map_err(|error| PrepareError::Images(BuildError::Archive(error)))?;
        Ok((named, before, saved))
    });
    let (named, before, saved) = obtained.await?;
    made._saved.extend(saved);
    for before in before {
        made.images.before.push((before.of, before.name.clone()));
        made.archives.push(ImageArchive {
            archive: before.archive,
            reference: before.name,
        });
    }
    for (image, name, digests) in named {
        if let Some(digests) = digests {
            made.images.candidates.push(Candidate {
                replaces: image.name.to_owned(),
                name: name.clone(),
                digests,
            });
        }
        if name != image.reference {
            made.images.names.insert(image.reference, name.clone());
        }
        made.archives.push(ImageArchive {
            archive: image.archive,
            reference: name,
        });
    }
    Ok(made)
}

/// The archives of these; what an engine holds is saved for as long as `saved` lives.
async fn archives(
    plan: &RunPlan,
    images: &BTreeMap<String, Replacement>,
    saved: &mut Vec<Saved>,
    line: &(dyn Fn(String) + Send + Sync),
) -> Result<BTreeMap<String, PathBuf>, PrepareError> {
    let mut archives = BTreeMap::new();
    for (name, replacement) in images {
        let archive = match replacement {
            Replacement::Pulled(_) => continue,
            Replacement::Archive(archive) => archive.clone(),
            Replacement::Held(held) => {
                line(format!("saving {} of {}", held.reference, held.engine));
                let one = kind::save(held, &plan.assets.cache).await;
                let one = one.map_err(PrepareError::Load)?;
                let path = one.path();
                saved.push(one);
                path
            }
        };
        archives.insert(name.clone(), archive);
    }
    Ok(archives)
}

/// What nodes pull by themselves.
pub(crate) fn pulled(plan: &RunPlan) -> Images {
    let mut images = Images {
        before: before::pulled(plan).collect(),
        ..Images::default()
    };
    for (replaces, replacement) in &plan.images.replacements {
        if let Replacement::Pulled(name) = replacement {
            images.names.insert(reference_of(replaces), name.clone());
            images.candidates.push(Candidate {
                replaces: replaces.clone(),
                name: name.clone(),
                digests: BTreeSet::new(),
            });
        }
    }
    images
}

/// The images that nobody needs here.
fn without(plan: &RunPlan) -> BTreeSet<String> {
    let of_bugs = if plan.images.seeded_bugs {
        BTreeSet::new()
    } else {
        mutant_images(&plan.mesh.definition)
    };
    let is_pulled = |replacement: &Replacement| matches!(replacement, Replacement::Pulled(_));
    let pulled = plan.images.replacements.iter();
    let pulled = pulled.filter(|(_, replacement)| is_pulled(replacement));
    pulled
        .map(|(name, _)| name.clone())
        .chain(of_bugs)
        .collect()
}

/// The name of an image of ours with its contents in the place of its tag.
fn named_by_contents(reference: &str, archive: &Path) -> Result<String, ReadArchiveError> {
    let digest = Archive::open(archive)?.digest;
    let digest = digest.strip_prefix("sha256:").unwrap_or(&digest);
    let digits: String = digest.chars().take(DIGITS).collect();
    let name = reference
        .rsplit_once(':')
        .map_or(reference, |(name, _)| name);
    Ok(format!("{name}:sha256-{digits}"))
}

/// What nodes may call an image. Nodes of kind make a manifest of their own where the archive has none.
fn digests(archive: &Path, on_kind: bool) -> Result<BTreeSet<String>, ReadArchiveError> {
    let archive = Archive::open(archive)?;
    if on_kind && !archive.has_manifest() {
        return Ok(BTreeSet::new());
    }
    let manifest = archive.content()?.digest;
    Ok(BTreeSet::from([archive.digest, manifest]))
}

/// The images of a mesh that are needed for seeded bugs only, by name.
#[must_use]
pub fn mutant_images(definition: &MeshDefinition) -> BTreeSet<String> {
    let mutants = definition
        .control_plane
        .iter()
        .flat_map(|control_plane| &control_plane.mutants)
        .filter_map(|mutants| definition.images.get(&mutants.component))
        .map(|reference| normalize(reference));
    let references: BTreeSet<String> = mutants.collect();
    build::NAMES
        .into_iter()
        .filter(|name| references.contains(&normalize(&reference_of(name))))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_builds_before_those_that_were_named_are_told_as_nodes_know_them() {
        let pair = |of: &str, before: &str| (reference_of(of), before.to_owned());
        let images = Images {
            names: ImageNames::from([("given".to_owned(), "registry/given@sha256:00".to_owned())]),
            before: vec![pair("control-plane", "given"), pair("probe-app", "made")],
            ..Images::default()
        };
        let named = BTreeMap::from([(
            "control-plane".to_owned(),
            Replacement::Archive("in-use.tar".into()),
        )]);
        assert_eq!(
            images.named_before(&named),
            BTreeMap::from([(
                "control-plane".to_owned(),
                "registry/given@sha256:00".to_owned()
            )])
        );
        let pulled = Images {
            names: ImageNames::new(),
            ..images
        };
        assert_eq!(pulled.named_before(&named)["control-plane"], "given");
        assert!(pulled.named_before(&BTreeMap::new()).is_empty());
    }
}
