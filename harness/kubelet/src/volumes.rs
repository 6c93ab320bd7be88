//! Volumes: folders of the pod on the node, filled before its containers start.
//!
//! The node's disk is a file system in memory, so an `emptyDir` of medium `Memory` is like any other. A `hostPath`
//! is a path on that disk (below `host/`, where `/run` may be a file system of its own), never one of the machine that the
//! cluster runs on.
//!
//! What configMap, secret, downwardAPI and projected volumes hold is kept fresh: see `volume_refresh`.

use crate::environment::{self, EnvironmentError, Sources};
use crate::files::{self, File, Files};
use crate::host_disk::HOST_FOLDER;
use crate::host_path;
use crate::pod_context::PodContext;
use crate::resource_fields;
use crate::tokens::Tokens;
use crate::volume_refresh::{self, Filled};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Secret, Volume,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Permission bits where the pod names none.
const DEFAULT_MODE: i32 = 0o644;

/// What Kubernetes says of a key that is not there.
const CONFIG_MAP_KEY: &str = "configmap references non-existent config key";
const SECRET_KEY: &str = "references non-existent secret key";

/// A volume cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// Something it is filled from.
    #[error(transparent)]
    Source(#[from] EnvironmentError),
    /// A token for it.
    #[error("request a token")]
    Token(#[source] Box<kube::Error>),
    /// The disk.
    #[error("{path}")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
    /// A key that the pod names is not there.
    #[error("{refers}: {key}")]
    Key { refers: &'static str, key: String },
    /// A host path is not what the pod says it is.
    #[error("{0}")]
    HostPath(String),
    /// A path that leads out of the volume.
    #[error("path `{0}` leads out of the volume")]
    Escapes(String),
}

/// Where a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The volume's own folder, or the node's disk.
    pub(crate) folder: PathBuf,
    /// What of the node's disk, for a host path.
    pub(crate) inside: PathBuf,
    /// Whether nobody but the kubelet may write to it.
    pub(crate) is_read_only: bool,
}

/// Makes all volumes ready, and tells where they are by their names; otherwise why not, of each that is not. Tasks that keep
/// them fresh end when the pod has settled.
pub(crate) async fn prepare(
    context: &Arc<PodContext>,
) -> Result<BTreeMap<String, Place>, BTreeMap<String, VolumeError>> {
    let pod = context.pod();
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    let ready =
        futures::future::join_all(volumes.iter().map(|volume| async move {
            (volume.name.clone(), prepare_one(context, volume).await)
        }));
    // All of them, or this is tried again from the start.
    let (mut places, mut refreshed) = (BTreeMap::new(), Vec::new());
    let mut failed = BTreeMap::new();
    for (name, ready) in ready.await {
        match ready {
            Ok((place, filled)) => {
                places.insert(name, place);
                refreshed.extend(filled);
            }
            Err(error) => {
                failed.insert(name, error);
            }
        }
    }
    if !failed.is_empty() {
        return Err(failed);
    }
    for filled in refreshed {
        tokio::spawn(volume_refresh::keep_fresh(context.clone(), filled));
    }
    Ok(places)
}

/// The volume's place, and what there is to keep fresh in it.
async fn prepare_one(
    context: &PodContext,
    volume: &Volume,
) -> Result<(Place, Option<Filled>), VolumeError> {
    if let Some(source) = &volume.host_path {
        let disk = context.node.config.state_dir.join(HOST_FOLDER);
        return Ok((host_path::prepare(&disk, source)?, None));
    }
    let folder = context.folder.join("volumes").join(&volume.name);
    let mut place = Place {
        folder: folder.clone(),
        inside: PathBuf::new(),
        is_read_only: false,
    };
    let write_error = |source| VolumeError::Write {
        path: folder.display().to_string(),
        source,
    };
    if volume.empty_dir.is_some() {
        std::fs::create_dir_all(&folder).map_err(write_error)?;
        return Ok((place, None));
    }
    let mut tokens = Tokens::default();
    let held = contents(context, volume, &mut tokens).await?;
    files::replace(&folder, &held).map_err(write_error)?;
    let filled = Filled {
        volume: volume.clone(),
        folder,
        held,
        tokens,
    };
    // Whoever could write there could have the kubelet write, and remove, what links lead to.
    place.is_read_only = true;
    Ok((place, Some(filled)))
}

/// What a volume must hold now.
pub(crate) async fn contents(
    context: &PodContext,
    volume: &Volume,
    tokens: &mut Tokens,
) -> Result<Files, VolumeError> {
    let mut contents = Files::new();
    if let Some(source) = &volume.config_map {
        let map =
            environment::read_config_map(context, &source.name, source.optional == Some(true));
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let items = source.items.as_deref();
        select(
            &mut contents,
            config_map_data(map.await?),
            items,
            mode,
            source.optional,
            CONFIG_MAP_KEY,
        )?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap_or_default();
        let secret = environment::read_secret(context, &name, source.optional == Some(true));
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let items = source.items.as_deref();
        select(
            &mut contents,
            secret_data(secret.await?),
            items,
            mode,
            source.optional,
            SECRET_KEY,
        )?;
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        downward(
            context,
            &mut contents,
            source.items.as_deref().unwrap_or_default(),
            mode,
        )?;
    } else if let Some(source) = &volume.projected {
        projected(context, &mut contents, source, tokens).await?;
    } else {
        let kind = format!("the kind of volume `{}`", volume.name);
        return Err(EnvironmentError::Unsupported(kind).into());
    }
    Ok(contents)
}

/// Collects what a projected volume holds.
async fn projected(
    context: &PodContext,
    contents: &mut Files,
    volume: &ProjectedVolumeSource,
    tokens: &mut Tokens,
) -> Result<(), VolumeError> {
    let mode = volume.default_mode.unwrap_or(DEFAULT_MODE);
    for source in volume.sources.iter().flatten() {
        if let Some(token) = &source.service_account_token {
            let text = tokens
                .get(context, token)
                .await
                .map_err(|error| VolumeError::Token(Box::new(error)))?;
            add(contents, &token.path, text.into_bytes(), mode)?;
        }
        if let Some(from) = &source.config_map {
            let map =
                environment::read_config_map(context, &from.name, from.optional == Some(true));
            let items = from.items.as_deref();
            select(
                contents,
                config_map_data(map.await?),
                items,
                mode,
                from.optional,
                CONFIG_MAP_KEY,
            )?;
        }
        if let Some(from) = &source.secret {
            let secret = environment::read_secret(context, &from.name, from.optional == Some(true));
            let items = from.items.as_deref();
            select(
                contents,
                secret_data(secret.await?),
                items,
                mode,
                from.optional,
                SECRET_KEY,
            )?;
        }
        if let Some(from) = &source.downward_api {
            downward(
                context,
                contents,
                from.items.as_deref().unwrap_or_default(),
                mode,
            )?;
        }
    }
    Ok(())
}

fn config_map_data(map: Option<ConfigMap>) -> BTreeMap<String, Vec<u8>> {
    let map = map.unwrap_or_default();
    let text = map
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, text)| (key, text.into_bytes()));
    let binary = map.binary_data.unwrap_or_default().into_iter();
    text.chain(binary.map(|(key, ByteString(bytes))| (key, bytes)))
        .collect()
}

fn secret_data(secret: Option<Secret>) -> BTreeMap<String, Vec<u8>> {
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    data.into_iter()
        .map(|(key, ByteString(bytes))| (key, bytes))
        .collect()
}

/// Adds the chosen keys, or all of them when none are chosen.
fn select(
    contents: &mut Files,
    mut data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
    refers: &'static str,
) -> Result<(), VolumeError> {
    let Some(items) = items else {
        return data
            .into_iter()
            .try_for_each(|(key, bytes)| add(contents, &key, bytes, mode));
    };
    for item in items {
        match data.remove(&item.key) {
            Some(bytes) => add(contents, &item.path, bytes, item.mode.unwrap_or(mode))?,
            None if optional == Some(true) => {}
            None => {
                let key = item.key.clone();
                return Err(VolumeError::Key { refers, key });
            }
        }
    }
    Ok(())
}

fn downward(
    context: &PodContext,
    contents: &mut Files,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
) -> Result<(), VolumeError> {
    let pod = context.pod();
    let sources = Sources {
        pod_address: context.facts.borrow().address,
        node_address: Some(context.node.config.internal_ip),
        ..Sources::default()
    };
    for item in items {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => environment::field_value(&pod, field, &sources)?,
            (None, Some(field)) => resource_fields::value(&pod, None, field)?,
            (None, None) => String::new(),
        };
        add(
            contents,
            &item.path,
            value.into_bytes(),
            item.mode.unwrap_or(mode),
        )?;
    }
    Ok(())
}

fn add(contents: &mut Files, path: &str, bytes: Vec<u8>, mode: i32) -> Result<(), VolumeError> {
    if !is_inside(Path::new(path)) {
        return Err(VolumeError::Escapes(path.to_owned()));
    }
    let mode = u32::try_from(mode).unwrap_or(0o644);
    contents.insert(
        path.to_owned(),
        File {
            contents: bytes,
            mode,
        },
    );
    Ok(())
}

/// Whether a relative path stays below where it starts.
pub(crate) fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_must_stay_inside() {
        assert!(is_inside(Path::new("a/b")));
        assert!(!is_inside(Path::new("a/../../b")));
        assert!(!is_inside(Path::new("/etc")));
    }

    #[test]
    fn keys_are_chosen_and_renamed() {
        let data = || {
            BTreeMap::from([
                ("a".to_owned(), b"1".to_vec()),
                ("b".to_owned(), b"2".to_vec()),
            ])
        };
        let mut all = Files::new();
        select(&mut all, data(), None, 0o600, None, CONFIG_MAP_KEY).unwrap();
        assert_eq!(all.len(), 2);
        let item = KeyToPath {
            key: "a".to_owned(),
            path: "x/y".to_owned(),
            mode: None,
        };
        let mut one = Files::new();
        select(&mut one, data(), Some(&[item]), 0o600, None, CONFIG_MAP_KEY).unwrap();
        assert_eq!(one.keys().collect::<Vec<_>>(), ["x/y"]);
        let missing = KeyToPath {
            key: "c".to_owned(),
            path: "c".to_owned(),
            mode: None,
        };
        let error = select(
            &mut one,
            data(),
            Some(&[missing]),
            0o600,
            None,
            CONFIG_MAP_KEY,
        );
        let told = error.unwrap_err().to_string();
        assert_eq!(told, "configmap references non-existent config key: c");
    }
}
