//! The JSON documents in an image archive, as far as they are read: OCI image specification 1.1 and `docker save`.

use super::Config;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
pub(super) struct Index {
    pub(super) manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Names this descriptor gives its image.
    pub(super) fn names(&self) -> Vec<String> {
        self.annotations
            .get("io.containerd.image.name")
            .cloned()
            .into_iter()
            .collect()
    }
}

#[derive(Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(rename = "RepoTags")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) layers: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct ImageConfig {
    #[serde(default)]
    pub(super) config: ConfigFields,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ConfigFields {
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) working_dir: Option<String>,
    pub(super) user: Option<String>,
}

impl From<ConfigFields> for Config {
    fn from(fields: ConfigFields) -> Self {
        let env = fields.env.unwrap_or_default();
        Self {
            entrypoint: fields.entrypoint.unwrap_or_default(),
            cmd: fields.cmd.unwrap_or_default(),
            env: env
                .iter()
                .map(|line| {
                    let (name, value) = line.split_once('=').unwrap_or((line, ""));
                    (name.to_owned(), value.to_owned())
                })
                .collect(),
            working_dir: fields.working_dir.unwrap_or_default(),
            user: fields.user.unwrap_or_default(),
        }
    }
}
