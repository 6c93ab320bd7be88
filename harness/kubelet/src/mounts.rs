//! What is mounted into a container: files of the pod's own, and volumes or parts of them.
//!
//! Invariant: a `subPath` is inside its volume. Whoever can write to the volume can put links there, at any time, so it is looked at
//! here, where the refusal can be told as Kubernetes tells it, and once more by the kernel when it is mounted.

use crate::container_order::termination_log;
use crate::environment::expand;
use crate::pod_context::PodContext;
use crate::volumes::Place;
use harness_kernel::beneath::{self, Links};
use harness_kernel::container::BindMount;
use k8s_openapi::api::core::v1::{Container, VolumeMount};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A mount cannot be worked out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// A file of the pod's own.
    #[error("make {path}")]
    Own {
        path: String,
        #[source]
        source: io::Error,
    },
    /// There is no volume of that name.
    #[error("volume `{0}` is not in the pod")]
    Volume(String),
    /// A `subPathExpr` names variables that are not there or empty.
    #[error("missing value for {0}")]
    Variables(String),
    /// A `subPath` that begins at the root.
    #[error("error SubPath `{0}` must not be an absolute path")]
    Absolute(String),
    /// A `subPath` that goes up.
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    Upwards(String),
    /// A `subPath` that is missing and cannot be made. Why is in the log only: it could tell about the node's disk.
    #[error(
        "failed to create subPath directory for volumeMount {mount:?} of container {container:?}"
    )]
    Create { mount: String, container: String },
    /// A `subPath` that is not in its volume, or cannot be looked at. Why is in the log only.
    #[error("failed to prepare subPath for volumeMount {mount:?} of container {container:?}")]
    Prepare { mount: String, container: String },
}

/// The container's mounts in the order in which they are made. `own` is its folder on the node.
pub(crate) fn of(
    context: &PodContext,
    container: &Container,
    own: &Path,
    variables: &[(String, String)],
) -> Result<Vec<BindMount>, MountError> {
    let whole = |source: PathBuf, target: PathBuf| BindMount {
        source,
        inside: PathBuf::new(),
        part: PathBuf::new(),
        target,
        read_only: false,
    };
    let mut mounts = Vec::new();
    for file in ["hosts", "resolv.conf", "hostname"] {
        let source = context.folder.join("etc").join(file);
        mounts.push(whole(source, Path::new("/etc").join(file)));
    }
    let last_words = termination_log(context, container);
    std::fs::create_dir_all(own)
        .and_then(|()| std::fs::write(&last_words, ""))
        .map_err(|source| MountError::Own {
            path: last_words.display().to_string(),
            source,
        })?;
    let path = container
        .termination_message_path
        .as_deref()
        .unwrap_or("/dev/termination-log");
    mounts.push(whole(last_words, PathBuf::from(path)));
    let none = BTreeMap::new();
    let volumes = context.volumes.get().unwrap_or(&none);
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push(volume(&container.name, mount, volumes, variables)?);
    }
    // A mount below another must come after it.
    mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(mounts)
}

/// One volume, or the part of it that the container asks for. A part that is missing is made, as a folder.
fn volume(
    container: &str,
    mount: &VolumeMount,
    volumes: &BTreeMap<String, Place>,
    variables: &[(String, String)],
) -> Result<BindMount, MountError> {
    let place = volumes
        .get(&mount.name)
        .ok_or_else(|| MountError::Volume(mount.name.clone()))?;
    let part = sub_path(mount, variables)?;
    if part.starts_with('/') {
        return Err(MountError::Absolute(part));
    }
    if part.split('/').any(|name| name == "..") {
        return Err(MountError::Upwards(part));
    }
    let part = PathBuf::from(part);
    if !part.as_os_str().is_empty() {
        prepare_part(container, mount, place, &part)?;
    }
    Ok(BindMount {
        source: place.folder.clone(),
        inside: place.inside.clone(),
        part,
        target: PathBuf::from(&mount.mount_path),
        read_only: place.is_read_only || mount.read_only == Some(true),
    })
}

fn sub_path(mount: &VolumeMount, variables: &[(String, String)]) -> Result<String, MountError> {
    let Some(expression) = mount
        .sub_path_expr
        .as_deref()
        .filter(|text| !text.is_empty())
    else {
        return Ok(mount.sub_path.clone().unwrap_or_default());
    };
    let missing = RefCell::new(BTreeSet::new());
    let expanded = expand(expression, |name| {
        let known = variables.iter().find(|(known, _)| known == name);
        let value = known.map(|(_, value)| value.as_str());
        if value.is_none_or(str::is_empty) {
            missing.borrow_mut().insert(name.to_owned());
        }
        value
    });
    let missing = Vec::from_iter(missing.into_inner());
    match missing.is_empty() {
        true => Ok(expanded),
        false => Err(MountError::Variables(missing.join(", "))),
    }
}

/// Makes the part if it is missing, and sees to it that it is in the volume.
fn prepare_part(
    container: &str,
    mount: &VolumeMount,
    place: &Place,
    part: &Path,
) -> Result<(), MountError> {
    let names = || (mount.name.clone(), container.to_owned());
    let prepare = |error: io::Error| {
        let (mount, container) = names();
        tracing::warn!(container, mount, ?part, %error, "subPath is not mounted");
        MountError::Prepare { mount, container }
    };
    let create = |error: io::Error| {
        let (mount, container) = names();
        tracing::warn!(container, mount, ?part, %error, "subPath is not made");
        MountError::Create { mount, container }
    };
    let volume = beneath::open(&place.folder)
        .and_then(|whole| beneath::find(whole, &place.inside, Links::FromRoot))
        .map_err(prepare)?;
    match beneath::find(&volume, part, Links::Stay) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(prepare(error)),
    }
    let folder = File::from(volume);
    let mode = folder.metadata().map_err(create)?.mode() & 0o7777;
    beneath::make_folders(&folder, part, Links::Stay, mode).map_err(create)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    /// A volume `data` beside what must not be reached, and what `mount` of it becomes.
    struct Stage(tempfile::TempDir);

    impl Stage {
        fn new() -> Self {
            let top = tempfile::tempdir().unwrap();
            fs::create_dir_all(top.path().join("data/folder/below")).unwrap();
            fs::create_dir(top.path().join("outside")).unwrap();
            fs::write(top.path().join("data/file"), "").unwrap();
            fs::write(top.path().join("outside/secret"), "").unwrap();
            Self(top)
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn link(&self, name: &str, target: impl AsRef<Path>) {
            symlink(target, self.at("data").join(name)).unwrap();
        }

        fn mount(&self, fields: serde_json::Value) -> Result<BindMount, String> {
            let mut mount = json!({"name": "data", "mountPath": "/data"});
            let fields = fields.as_object().unwrap().clone();
            mount.as_object_mut().unwrap().extend(fields);
            let place = Place {
                folder: self.at("data"),
                inside: PathBuf::new(),
                is_read_only: false,
            };
            let volumes = BTreeMap::from([("data".to_owned(), place)]);
            let variables = [("POD", "web-1"), ("UP", "../outside"), ("ROOT", "/etc")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            let empty = [("EMPTY".to_owned(), String::new())];
            let variables = [&variables[..], &empty].concat();
            let mount = serde_json::from_value(mount).unwrap();
            volume("main", &mount, &volumes, &variables).map_err(|error| error.to_string())
        }

        fn part(&self, path: &str) -> Result<PathBuf, String> {
            self.mount(json!({"subPath": path})).map(|bind| bind.part)
        }
    }

    const NOT_PREPARED: &str =
        "failed to prepare subPath for volumeMount \"data\" of container \"main\"";
    const NOT_CREATED: &str =
        "failed to create subPath directory for volumeMount \"data\" of container \"main\"";

    #[test]
    fn links_inside_the_volume_are_followed() {
        let stage = Stage::new();
        stage.link("to-file", "file");
        stage.link("folder/up", "../file");
        stage.link("first", "second/below");
        stage.link("second", "folder");
        for part in ["file", "to-file", "folder/up", "first", "second/up"] {
            assert_eq!(stage.part(part).unwrap(), Path::new(part));
        }
    }

    #[test]
    fn links_that_lead_out_are_refused_in_the_words_of_kubernetes() {
        let stage = Stage::new();
        stage.link("absolute", stage.at("outside"));
        stage.link("absolute-file", stage.at("outside/secret"));
        stage.link("relative", "../outside");
        stage.link("folder/below/far", "../../../outside");
        stage.link("first", "second");
        stage.link("second", "folder/below/far");
        stage.link("above", "..");
        for part in [
            "absolute",
            "absolute/secret",
            "absolute-file",
            "relative",
            "relative/secret",
            "folder/below/far",
            "first/secret",
            "above",
            "above/outside/secret",
            // Nothing is made there either.
            "relative/new",
            "above/new",
        ] {
            assert_eq!(stage.part(part).unwrap_err(), NOT_PREPARED, "{part}");
        }
        assert_eq!(fs::read_dir(stage.at("outside")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(stage.at("")).unwrap().count(), 2);
    }

    #[test]
    fn a_part_that_is_missing_is_made_with_the_mode_of_the_volume() {
        let stage = Stage::new();
        fs::set_permissions(stage.at("data"), fs::Permissions::from_mode(0o1777)).unwrap();
        stage.part("folder/new/part").unwrap();
        let made = fs::metadata(stage.at("data/folder/new/part")).unwrap();
        assert!(made.is_dir());
        assert_eq!(made.permissions().mode() & 0o7777, 0o1777);
        stage.link("nowhere", "missing");
        for part in ["nowhere", "nowhere/below"] {
            assert_eq!(stage.part(part).unwrap_err(), NOT_CREATED, "{part}");
        }
        assert_eq!(stage.part("file/below").unwrap_err(), NOT_PREPARED);
    }

    #[test]
    fn expressions_are_expanded_and_checked_after_that() {
        let stage = Stage::new();
        let part = |expression: &str| {
            let bind = stage.mount(json!({"subPathExpr": expression}));
            bind.map(|bind| bind.part)
        };
        assert_eq!(part("logs/$(POD)").unwrap(), Path::new("logs/web-1"));
        assert!(stage.at("data/logs/web-1").is_dir());
        let told = part("$(NONE)/$(EMPTY)/$(POD)").unwrap_err();
        assert_eq!(told, "missing value for EMPTY, NONE");
        let told = part("$(UP)").unwrap_err();
        assert_eq!(
            told,
            "unable to provision SubPath `../outside`: must not contain '..'"
        );
        let told = part("$(ROOT)").unwrap_err();
        assert_eq!(told, "error SubPath `/etc` must not be an absolute path");
        let told = stage.mount(json!({"name": "other"})).unwrap_err();
        assert_eq!(told, "volume `other` is not in the pod");
    }
}
