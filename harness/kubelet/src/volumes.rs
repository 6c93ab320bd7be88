//! Volumes: folders of the pod on the node, filled before its containers start.
//!
//! The node's disk is a file system in memory, so an `emptyDir` of medium `Memory` is like any other. A `hostPath`
//! is a path on that disk (below `host/`), never one of the machine that the cluster runs on.
//!
//! configMap, secret and downwardAPI volumes keep what they held when the pod started; tokens are refreshed.

use crate::environment::{self, EnvironmentError, Sources};
use crate::files::{self, File, Files};
use crate::pod_context::PodContext;
use crate::tokens;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, ProjectedVolumeSource,
    Secret, Volume,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Permission bits where the pod names none.
const DEFAULT_MODE: i32 = 0o644;

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
    #[error("write {path}")]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
    /// A host path is not what the pod says it is.
    #[error("hostPath {0} is not there, or not of the type the pod asks for")]
    HostPath(String),
    /// A path that leads out of the volume.
    #[error("path `{0}` leads out of the volume")]
    Escapes(String),
}

/// Makes all volumes ready: folders (or files, for a host path) by the volumes' names. Tasks that keep them fresh end
/// when the pod has settled.
pub(crate) async fn prepare(
    context: &Arc<PodContext>,
) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
    let pod = context.pod();
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    let ready = futures::future::try_join_all(volumes.iter().map(|volume| async move {
        Ok::<_, VolumeError>((volume.name.clone(), prepare_one(context, volume).await?))
    }));
    Ok(ready.await?.into_iter().collect())
}

async fn prepare_one(context: &Arc<PodContext>, volume: &Volume) -> Result<PathBuf, VolumeError> {
    let folder = context.folder.join("volumes").join(&volume.name);
    if let Some(source) = &volume.host_path {
        return host_path(&context.node.config.state_dir.join("host"), source);
    }
    let mut contents = Files::new();
    let mut refresh = None;
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
            &source.name,
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
            &name,
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
        refresh = projected(context, &mut contents, source).await?;
    } else if volume.empty_dir.is_none() {
        let kind = format!("the kind of volume `{}`", volume.name);
        return Err(EnvironmentError::Unsupported(kind).into());
    }
    let write_error = |source| VolumeError::Write {
        path: folder.display().to_string(),
        source,
    };
    if volume.empty_dir.is_some() {
        std::fs::create_dir_all(&folder).map_err(write_error)?;
    } else {
        files::replace(&folder, &contents).map_err(write_error)?;
    }
    if let (Some(after), Some(source)) = (refresh, volume.projected.clone()) {
        tokio::spawn(keep_fresh(context.clone(), source, folder.clone(), after));
    }
    Ok(folder)
}

/// Writes a projected volume anew when its tokens need it, until the pod has settled.
async fn keep_fresh(
    context: Arc<PodContext>,
    source: ProjectedVolumeSource,
    folder: PathBuf,
    mut after: Duration,
) {
    let mut facts = context.facts.subscribe();
    loop {
        tokio::select! {
            _ = facts.wait_for(|facts| facts.settled) => return,
            _ = tokio::time::timeout(after, std::future::pending::<()>()) => {}
        }
        let mut contents = Files::new();
        let renewed = projected(&context, &mut contents, &source).await;
        match renewed.map(|next| (next, files::replace(&folder, &contents))) {
            Ok((next, Ok(()))) => after = next.unwrap_or(Duration::from_secs(3600)),
            Ok((_, Err(error))) => tracing::warn!(%error, pod = context.name, "token not written"),
            Err(error) => {
                tracing::warn!(%error, pod = context.name, "token not refreshed");
                after = Duration::from_secs(10);
            }
        }
    }
}

/// Collects what a projected volume holds; the value is when its tokens should be asked for again.
async fn projected(
    context: &PodContext,
    contents: &mut Files,
    volume: &ProjectedVolumeSource,
) -> Result<Option<Duration>, VolumeError> {
    let mode = volume.default_mode.unwrap_or(DEFAULT_MODE);
    let mut refresh: Option<Duration> = None;
    for source in volume.sources.iter().flatten() {
        if let Some(token) = &source.service_account_token {
            let issued = tokens::request(context, token)
                .await
                .map_err(|error| VolumeError::Token(Box::new(error)))?;
            refresh = Some(refresh.map_or(issued.refresh_after, |known| {
                known.min(issued.refresh_after)
            }));
            add(contents, &token.path, issued.text.into_bytes(), mode)?;
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
                &from.name,
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
                &from.name,
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
    Ok(refresh)
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
    name: &str,
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
                let (name, key) = (name.to_owned(), item.key.clone());
                return Err(EnvironmentError::Key {
                    kind: "volume source",
                    name,
                    key,
                }
                .into());
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
        let Some(field) = &item.field_ref else {
            let what = format!("resourceFieldRef of `{}`", item.path);
            return Err(EnvironmentError::Unsupported(what).into());
        };
        let value = environment::field_value(&pod, field, &sources)?;
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

fn host_path(disk: &Path, source: &HostPathVolumeSource) -> Result<PathBuf, VolumeError> {
    let relative = source.path.trim_start_matches('/');
    if !is_inside(Path::new(relative)) {
        return Err(VolumeError::Escapes(source.path.clone()));
    }
    let path = disk.join(relative);
    let write_error = |source| VolumeError::Write {
        path: path.display().to_string(),
        source,
    };
    let good = match source.type_.as_deref().unwrap_or_default() {
        // Container runtimes make what is missing when no type is given.
        "" | "DirectoryOrCreate" => {
            if !path.exists() {
                std::fs::create_dir_all(&path).map_err(write_error)?;
            }
            true
        }
        "FileOrCreate" => {
            if !path.exists() {
                std::fs::write(&path, "").map_err(write_error)?;
            }
            path.is_file()
        }
        "Directory" => path.is_dir(),
        "File" => path.is_file(),
        _ => path.exists(),
    };
    if good {
        Ok(path)
    } else {
        Err(VolumeError::HostPath(source.path.clone()))
    }
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
        select(&mut all, data(), None, 0o600, None, "map").unwrap();
        assert_eq!(all.len(), 2);
        let item = KeyToPath {
            key: "a".to_owned(),
            path: "x/y".to_owned(),
            mode: None,
        };
        let mut one = Files::new();
        select(&mut one, data(), Some(&[item]), 0o600, None, "map").unwrap();
        assert_eq!(one.keys().collect::<Vec<_>>(), ["x/y"]);
        let missing = KeyToPath {
            key: "c".to_owned(),
            path: "c".to_owned(),
            mode: None,
        };
        assert!(select(&mut one, data(), Some(&[missing]), 0o600, None, "map").is_err());
    }
}
