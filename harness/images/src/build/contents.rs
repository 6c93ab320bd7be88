//! What is in each image.

use super::{BuildError, reference_of};
use crate::closure::closure;
use crate::pack::{FileSpec, ImageSpec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The programs of this workspace that are in an image, and what they are called there; none where all of it comes from
/// elsewhere.
pub(super) fn programs_of(name: &'static str) -> Vec<(&'static str, &'static str)> {
    let same = |program| (program, program);
    match name {
        "sidecar" => vec![same("sidecar-launcher")],
        "sidecar-mutants" => vec![same("sidecar-launcher-mutants")],
        "capture-init" => vec![],
        // What hands out identities shares one image: each part is small beside what they have in common.
        "identity" => vec![
            same("key-service"),
            same("certificate-authority"),
            same("node-agent"),
        ],
        "identity-mutants" => vec![
            same("key-service"),
            same("certificate-authority"),
            same("node-agent"),
            same("key-service-mutants"),
            same("certificate-authority-mutants"),
            same("node-agent-mutants"),
        ],
        program => vec![same(program)],
    }
}

/// What is in an image.
pub(super) fn spec_of(
    name: &'static str,
    programs: &BTreeMap<&'static str, PathBuf>,
    envoy: Option<&Path>,
) -> Result<ImageSpec, BuildError> {
    let own = programs_of(name);
    let mut files = own
        .iter()
        .copied()
        .map(|(program, called)| {
            let source = programs
                .get(program)
                .cloned()
                .ok_or(BuildError::NoProgram { program })?;
            Ok(executable(Path::new(&format!("/{called}")), source))
        })
        .collect::<Result<Vec<_>, BuildError>>()?;
    let mut entrypoint = own.first().map(|(_, called)| format!("/{called}"));
    match name {
        "sidecar" | "sidecar-mutants" => {
            let envoy = envoy.ok_or(BuildError::NoEnvoy { name })?;
            files.extend(with_libraries("/usr/bin/envoy", envoy)?);
        }
        "capture-init" => {
            let nft = find_nft().ok_or(BuildError::NoNft)?;
            files.extend(with_libraries("/usr/sbin/nft", &nft)?);
            entrypoint = Some("/usr/sbin/nft".to_owned());
        }
        _ => {}
    }
    Ok(ImageSpec {
        reference: reference_of(name),
        files,
        folders: ["/dev", "/etc", "/proc", "/run", "/sys", "/var"]
            .map(|path| (PathBuf::from(path), 0o755))
            .into_iter()
            .chain([(PathBuf::from("/tmp"), 0o1777)])
            .collect(),
        entrypoint: entrypoint.into_iter().collect(),
        cmd: Vec::new(),
        env: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin:/".to_owned()],
    })
}

fn executable(target: &Path, source: PathBuf) -> FileSpec {
    FileSpec {
        target: target.to_owned(),
        source,
        mode: 0o755,
    }
}

fn with_libraries(target: &str, program: &Path) -> Result<Vec<FileSpec>, BuildError> {
    let mut files = closure(program).map_err(|source| BuildError::Closure {
        program: program.display().to_string(),
        source,
    })?;
    files.push(executable(Path::new(target), program.to_owned()));
    Ok(files)
}

/// `nft` is in a folder that is not on an ordinary user's path.
fn find_nft() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join("nft"))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::NAMES;

    #[test]
    fn every_program_of_an_image_is_in_it_and_the_first_is_started() {
        let programs: BTreeMap<&'static str, PathBuf> = NAMES
            .into_iter()
            .flat_map(programs_of)
            .map(|(program, _)| (program, PathBuf::from("/built").join(program)))
            .collect();
        for (name, entrypoint) in [
            ("control-plane", "/control-plane"),
            ("identity", "/key-service"),
            ("identity-mutants", "/key-service"),
            ("probe-app", "/probe-app"),
        ] {
            let spec = spec_of(name, &programs, None).unwrap();
            assert_eq!(spec.entrypoint, [entrypoint]);
            let files: Vec<_> = spec.files.iter().map(|file| file.target.clone()).collect();
            let expected: Vec<_> = programs_of(name)
                .into_iter()
                .map(|(_, called)| Path::new("/").join(called))
                .collect();
            assert_eq!(files, expected);
        }
    }

    #[test]
    fn a_program_that_was_not_built_is_told() {
        let built = BTreeMap::from([("key-service", PathBuf::from("/built/key-service"))]);
        assert!(matches!(
            spec_of("identity", &built, None),
            Err(BuildError::NoProgram {
                program: "certificate-authority"
            })
        ));
    }

    #[test]
    fn no_image_of_a_sidecar_is_without_envoy() {
        for name in ["sidecar", "sidecar-mutants"] {
            let built: BTreeMap<_, _> = programs_of(name)
                .into_iter()
                .map(|(program, _)| (program, PathBuf::from("/built").join(program)))
                .collect();
            let made = spec_of(name, &built, None);
            assert!(matches!(made, Err(BuildError::NoEnvoy { name: told }) if told == name));
        }
    }
}
