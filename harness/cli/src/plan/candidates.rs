//! What `--image` puts in the place of our images, and `--upgrade-from` before them: archives, and images by their names.

use crate::arguments::ClusterKind;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use harness_cluster::kind::{self, Held};
use harness_cluster::registry::check_reference;
use harness_images::archive::Archive;
use harness_model::causes::chain;
use harness_model::document;
use harness_runner::Replacement;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The option that puts a candidate in the place of one of our images.
pub(crate) const IMAGE: &str = "--image";
/// The option that names the build that an upgrade goes from.
const UPGRADE_FROM: &str = "--upgrade-from";
/// What the file names of archives end with.
const ENDINGS: [&str; 3] = [".tar", ".tar.gz", ".tgz"];
/// What paths begin with that cannot be names of images.
const PATHS: [&str; 3] = ["/", "./", "../"];

/// Where a candidate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In an archive, which can be read.
    Archive(PathBuf),
    /// In a container engine of this machine.
    Held(Held),
    /// Somewhere else, by this name.
    Reference(String),
}

/// One `--image` or `--upgrade-from` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// As it was given.
    argument: String,
    name: String,
    reason: String,
    hint: String,
}

/// Whether the text can only mean an archive.
pub(super) fn is_archive(text: &str) -> bool {
    ENDINGS.iter().any(|ending| text.ends_with(ending))
        || PATHS.iter().any(|start| text.starts_with(start))
        || Path::new(text).exists()
}

/// What a text means; nothing is asked but the file system.
fn meant(text: &str) -> Result<Source, (String, String)> {
    if is_archive(text) {
        let path = Path::new(text);
        let reason = match Archive::open(path) {
            Ok(_) => return Ok(Source::Archive(super::absolute(path))),
            Err(_) if path.is_dir() => format!("{text} is a folder"),
            Err(_) if !path.is_file() => format!("there is no file {text}"),
            Err(error) => chain(&error),
        };
        let hint =
            "name an OCI archive, as `cargo xtask images` makes them, or what `docker save` writes";
        return Err((reason, hint.to_owned()));
    }
    match check_reference(text) {
        Ok(()) => Ok(Source::Reference(text.to_owned())),
        Err(reason) => Err((
            format!("`{text}` is neither a file that is there nor the name of an image: {reason}"),
            "name an archive (candidate.tar), or an image with its tag or digest (registry.example/team/control-plane:tag, team/control-plane@sha256:...)".to_owned(),
        )),
    }
}

/// Where the candidates are that the arguments name; what nodes of ours get has to be on this machine.
///
/// # Errors
///
/// All that cannot be used or are given twice, each with the reason.
pub(crate) fn sources(
    option: &str,
    images: &[(String, String)],
    cluster: ClusterKind,
) -> Result<Vec<(String, Source)>, Vec<Problem>> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, text) in images {
        if let Some(other) = seen.insert(name, text) {
            problems.push(Problem {
                argument: format!("{option} {name}={text}"),
                name: name.clone(),
                reason: format!("it is given twice, as {other} before"),
                hint: "leave one of them out".to_owned(),
            });
        }
        let source = match meant(text) {
            Ok(Source::Reference(reference)) if cluster != ClusterKind::Kubeconfig => {
                held(&reference)
            }
            other => other,
        };
        match source.and_then(|source| with_a_name(source, cluster)) {
            Ok(source) => found.push((name.clone(), source)),
            Err((reason, hint)) => problems.push(Problem {
                argument: format!("{option} {name}={text}"),
                name: name.clone(),
                reason,
                hint,
            }),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

/// Nodes of kind take no image without a name.
fn with_a_name(source: Source, cluster: ClusterKind) -> Result<Source, (String, String)> {
    let nameless = match &source {
        Source::Archive(path) => {
            let has_none = |archive: &Archive| archive.references.is_empty();
            Archive::open(path).is_ok_and(|archive| has_none(&archive))
        }
        Source::Held(held) => held.reference.contains('@'),
        Source::Reference(_) => false,
    };
    if nameless && cluster == ClusterKind::Kind {
        let reason = "it has no tag, and nodes of kind take no image without one";
        let hint = "give it one (docker tag IMAGE NAME:TAG), and name or save it by that";
        return Err((reason.to_owned(), hint.to_owned()));
    }
    Ok(source)
}

fn held(reference: &str) -> Result<Source, (String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (chain(&error), "try again".to_owned()))?;
    runtime
        .block_on(kind::held(reference))
        .map(Source::Held)
        .map_err(|tried| {
            let tried: String = tried.iter().map(|tried| format!("\n{tried}")).collect();
            (
                format!(
                    "no container engine of this machine holds the image {reference}, and nodes of this cluster have no registry to pull it from{tried}"
                ),
                format!(
                    "pull it (docker pull {reference}), name an archive of it (docker save --output candidate.tar {reference}), or use a cluster that pulls it: --cluster kubeconfig"
                ),
            )
        })
}

/// Image name → what is put in its place, or comes before it.
pub(super) type Choice = BTreeMap<String, Replacement>;

/// What replaces our images, of which `ready` is the folder if they are made already, and what comes before those under test.
pub(super) fn choices(
    images: &[(String, String)],
    upgrade_from: &[(String, String)],
    ready: Option<&Path>,
    cluster: ClusterKind,
) -> Result<(Choice, Choice), Failure> {
    let chosen = (
        chosen(IMAGE, images, cluster),
        chosen(UPGRADE_FROM, upgrade_from, cluster),
    );
    let (images, before) = match chosen {
        (Ok(images), Ok(before)) => (images, before),
        (images, before) => {
            let problems = [images.err(), before.err()].into_iter().flatten();
            return Err(failure(problems.flatten().collect()));
        }
    };
    let under_test = |name: &String| {
        let ours = || Some(Replacement::Archive(ready?.join(format!("{name}.tar"))));
        images.get(name).cloned().or_else(ours)
    };
    let same: Vec<Problem> = upgrade_from
        .iter()
        .filter(|(name, _)| is_same(under_test(name).as_ref(), before.get(name)))
        .map(|(name, text)| Problem {
            argument: format!("{UPGRADE_FROM} {name}={text}"),
            name: name.clone(),
            reason: "it is the very build under test".to_owned(),
            hint: "name the build that is in use".to_owned(),
        })
        .collect();
    if same.is_empty() {
        Ok((images, before))
    } else {
        Err(failure(same))
    }
}

/// Whether both are the same image, as far as can be told without asking anybody.
fn is_same(one: Option<&Replacement>, other: Option<&Replacement>) -> bool {
    match (one, other) {
        (Some(Replacement::Archive(one)), Some(Replacement::Archive(other))) => {
            let digest = |archive: &Path| Archive::open(archive).map(|archive| archive.digest);
            matches!((digest(one), digest(other)), (Ok(one), Ok(other)) if one == other)
        }
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn chosen(
    option: &str,
    images: &[(String, String)],
    cluster: ClusterKind,
) -> Result<Choice, Vec<Problem>> {
    let mut problems: Vec<Problem> = images
        .iter()
        .filter_map(|(name, text)| unknown(option, name, text))
        .collect();
    let known: Vec<(String, String)> = images
        .iter()
        .filter(|(name, _)| harness_images::build::NAMES.contains(&name.as_str()))
        .cloned()
        .collect();
    match sources(option, &known, cluster) {
        Ok(sources) if problems.is_empty() => {
            let replacements = sources.into_iter().map(|(name, source)| {
                let replacement = match source {
                    Source::Archive(archive) => Replacement::Archive(archive),
                    Source::Held(held) => Replacement::Held(held),
                    Source::Reference(reference) => Replacement::Pulled(reference),
                };
                (name, replacement)
            });
            return Ok(replacements.collect());
        }
        Ok(_) => {}
        Err(others) => problems.extend(others),
    }
    Err(problems)
}

/// The problem that no image of ours has this name.
pub(crate) fn unknown(option: &str, name: &str, text: &str) -> Option<Problem> {
    let known = harness_images::build::NAMES;
    (!known.contains(&name)).then(|| Problem {
        argument: format!("{option} {name}={text}"),
        name: name.to_owned(),
        reason: format!("there is no image `{name}`"),
        hint: match document::suggestion(name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the images are {}", known.join(", ")),
        },
    })
}

/// All of them at once.
pub(crate) fn failure(problems: Vec<Problem>) -> Failure {
    if let [problem] = problems.as_slice() {
        let attempt = format!("replace the image `{}`", problem.name);
        return Failure::new(ExitCode::Usage, attempt)
            .reason(format!("{}: {}", problem.argument, problem.reason))
            .hint(problem.hint.clone());
    }
    let mut hints: Vec<String> = Vec::new();
    let mut failure = Failure::new(ExitCode::Usage, "replace images");
    for Problem {
        argument,
        reason,
        hint,
        ..
    } in problems
    {
        failure = failure.item(format!("{argument}: {}", reason.replace('\n', "; ")));
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.into_iter().fold(failure, Failure::hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(words: &[&str]) -> Vec<(String, String)> {
        words
            .iter()
            .map(|word| word.split_once('=').expect("NAME=VALUE"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn an_archive_is_told_from_the_name_of_an_image() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("image:1");
        std::fs::write(&file, "").expect("a fresh folder can be written");
        for archive in ["a.tar", "a.tar.gz", "a.tgz", "./image:1", "../b", "/c:1"] {
            assert!(is_archive(archive), "{archive}");
        }
        assert!(is_archive(&file.display().to_string()), "it is there");
        for name in ["a", "team/app:1", "registry.example:5000/team/app:1.tar2"] {
            assert!(!is_archive(name), "{name}");
        }
    }

    #[test]
    fn a_folder_is_told_to_be_one() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let text = folder.path().display().to_string();
        let (reason, _) = meant(&text).expect_err("it is no archive");
        assert_eq!(reason, format!("{text} is a folder"));
    }

    #[test]
    fn what_nodes_of_others_pull_is_taken_as_it_is_named() {
        let digest = format!("localhost:5000/team/app@sha256:{}", "0".repeat(64));
        for reference in ["registry.example/team/app:1", "app:1", &digest] {
            let images = pairs(&[&format!("control-plane={reference}")]);
            let in_use = pairs(&["control-plane=registry.example/team/app:0"]);
            let (found, before) =
                choices(&images, &in_use, None, ClusterKind::Kubeconfig).expect("it is a name");
            assert_ne!(found, before);
            let same =
                choices(&images, &images, None, ClusterKind::Kubeconfig).expect_err("the same");
            assert!(
                same.render(false)
                    .contains("it is the very build under test")
            );
            let expected = Replacement::Pulled(reference.to_owned());
            assert_eq!(found["control-plane"], expected);
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let images = pairs(&[
            "controlplane=a:1",
            "sidecar=candidate",
            "identity=missing.tar",
            "probe-app=Team/App:1",
            "capture-init=a:1",
            "capture-init=a:2",
        ]);
        let before = pairs(&["sidecar=in-use.tar"]);
        let failure =
            choices(&images, &before, None, ClusterKind::Kubeconfig).expect_err("all are wrong");
        assert_eq!(failure.exit, ExitCode::Usage);
        let told = failure.render(false);
        for part in [
            "--image controlplane=a:1: there is no image `controlplane`",
            "did you mean `control-plane`?",
            "--image sidecar=candidate: `candidate` is neither a file that is there nor the name of an image: it has neither a tag",
            "--image identity=missing.tar: there is no file missing.tar",
            "--image probe-app=Team/App:1: `Team/App:1` is neither",
            "--image capture-init=a:2: it is given twice, as a:1 before",
            "--upgrade-from sidecar=in-use.tar: there is no file in-use.tar",
            "hint: name an archive (candidate.tar), or an image with its tag or digest",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
    }

    #[test]
    fn nodes_of_kind_take_no_image_without_a_name() {
        let held = |reference: &str| {
            Source::Held(Held {
                engine: "docker".to_owned(),
                reference: reference.to_owned(),
            })
        };
        assert!(with_a_name(held("a@sha256:00"), ClusterKind::Kind).is_err());
        assert!(with_a_name(held("a@sha256:00"), ClusterKind::Local).is_ok());
        assert!(with_a_name(held("a:1"), ClusterKind::Kind).is_ok());
    }
}
