//! Reading a mesh definition file and everything it names, with every defect listed and not only the first.

mod check;

use crate::definition::{
    CertificateRequest, Component, ConfigurationForm, ControlPlane, Evidence, HandshakeForm,
    IdentityForm, ManifestGroup, MeshDefinition, RotationForm, State, Workloads,
};
use crate::error::{Defect, LoadMeshError};
use crate::variables::NumberForm;
use harness_model::capability::Capability;
use harness_model::document::in_words;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the file format that this harness reads.
const VERSION: u32 = 1;

impl MeshDefinition {
    /// Loads a shipped mesh by its name, or a mesh definition file by its path (a folder stands for the
    /// `mesh.yaml` in it).
    ///
    /// # Errors
    ///
    /// When there is no such mesh or file, or when the definition has defects: all of them, with their lines.
    pub fn load(name_or_path: &str) -> Result<Self, LoadMeshError> {
        if let Some(mesh) = fixtures::meshes::ALL
            .iter()
            .find(|mesh| mesh.name == name_or_path)
        {
            let read = |file: &str| {
                mesh.files
                    .iter()
                    .find(|(name, _)| *name == file)
                    .map(|(_, text)| (*text).to_owned())
                    .ok_or_else(|| "the shipped mesh has no such file".to_owned())
            };
            let source = PathBuf::from(format!("fixtures/meshes/{}/mesh.yaml", mesh.name));
            return parse(&source, mesh.definition, &read);
        }
        let mut path = PathBuf::from(name_or_path);
        if path.is_dir() {
            path.push("mesh.yaml");
        }
        if !path.exists() {
            return Err(unknown(name_or_path));
        }
        let text = std::fs::read_to_string(&path).map_err(|source| LoadMeshError::Read {
            path: path.clone(),
            source,
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let read = |file: &str| {
            std::fs::read_to_string(folder.join(file)).map_err(|error| error.to_string())
        };
        parse(&path, &text, &read)
    }
}

fn unknown(name: &str) -> LoadMeshError {
    let shipped: Vec<String> = fixtures::meshes::ALL
        .iter()
        .map(|mesh| mesh.name.to_owned())
        .collect();
    let suggestion = shipped
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, candidate)| candidate.clone());
    LoadMeshError::Unknown {
        name: name.to_owned(),
        shipped,
        suggestion,
    }
}

/// The sections of the file, each of which may be missing or wrong by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Sections {
    version: Option<u32>,
    name: Option<String>,
    description: Option<String>,
    images: Option<BTreeMap<String, String>>,
    variables: Option<BTreeMap<String, String>>,
    choices: Option<BTreeMap<String, Vec<String>>>,
    numbers: Option<BTreeMap<String, NumberForm>>,
    certificates: Option<BTreeMap<String, CertificateRequest>>,
    manifests: Option<Vec<ManifestGroup>>,
    control_plane: Option<ControlPlane>,
    components: Option<Vec<Component>>,
    workloads: Option<Workloads>,
    state: Option<State>,
    evidence: Option<Evidence>,
    configuration: Option<ConfigurationForm>,
    rotation: Option<RotationForm>,
    identity: Option<IdentityForm>,
    handshake: Option<HandshakeForm>,
    capabilities: Option<Vec<Capability>>,
    assumed_order: Option<Vec<String>>,
}

/// One top-level key with the lines below it, all other lines of the file blanked so that places stay true.
struct Section {
    key: String,
    text: String,
}

fn sections(text: &str) -> Vec<Section> {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |line: &str| {
        !line.is_empty() && !line.starts_with([' ', '\t', '#', '-', ']', '}']) && line.contains(':')
    };
    let starts: Vec<usize> = (0..lines.len())
        .filter(|&line| begins(lines[line]))
        .collect();
    starts
        .iter()
        .enumerate()
        .map(|(position, &start)| {
            let end = starts.get(position + 1).copied().unwrap_or(lines.len());
            let mut own = "\n".repeat(start);
            own.push_str(&lines[start..end].join("\n"));
            own.push('\n');
            Section {
                key: lines[start]
                    .split(':')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                text: own,
            }
        })
        .collect()
}

fn parse(
    source: &Path,
    text: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<MeshDefinition, LoadMeshError> {
    let mut defects = Vec::new();
    let mut all = Sections::default();
    let mut present = Vec::new();
    for section in sections(text) {
        if present.contains(&section.key) {
            defects.push(Defect {
                message: "stands twice in the file".to_owned(),
                hint: Some("keep one of them".to_owned()),
                ..check::at(source, text, &[&section.key])
            });
            continue;
        }
        match serde_saphyr::from_str::<Sections>(&section.text) {
            Ok(read) => all.take(read),
            Err(error) => defects.push(defect_of(source, &section.key, &error)),
        }
        present.push(section.key);
    }
    if present.is_empty() {
        // No top-level key at all: let the parser say what it thinks of the file.
        if let Err(error) = serde_saphyr::from_str::<Sections>(text) {
            defects.push(defect_of(source, "", &error));
        }
    }
    for required in REQUIRED {
        if !present.iter().any(|key| key == required) {
            defects.push(Defect {
                file: source.to_path_buf(),
                line: 0,
                column: 0,
                field: (*required).to_owned(),
                message: "is missing".to_owned(),
                hint: None,
            });
        }
    }
    let files = all.read_files(source, text, read, &mut defects);
    check::all(&all, source, text, &files, &mut defects);
    if !defects.is_empty() {
        defects.sort_by(|a, b| (a.line, &a.field).cmp(&(b.line, &b.field)));
        return Err(LoadMeshError::Invalid(defects));
    }
    all.into_definition(source, files)
        .ok_or_else(|| LoadMeshError::Invalid(Vec::new()))
}

/// The sections without which nothing can be deployed or read.
const REQUIRED: &[&str] = &[
    "version",
    "name",
    "images",
    "manifests",
    "workloads",
    "state",
    "configuration",
    "assumedOrder",
];

fn defect_of(source: &Path, key: &str, error: &serde_saphyr::Error) -> Defect {
    let location = error.location();
    let words = error.without_snippet().to_string();
    // The location stands at the front of the line already.
    let said = words.split(" at line ").next().unwrap_or(&words);
    let (message, hint) = in_words(said.trim());
    Defect {
        file: source.to_path_buf(),
        line: location.map_or(0, |location| location.line()),
        column: location.map_or(0, |location| location.column()),
        field: key.to_owned(),
        message,
        hint,
    }
}

impl Sections {
    /// Takes over the one section that `other` has.
    fn take(&mut self, other: Self) {
        macro_rules! take {
            ($($field:ident),+ $(,)?) => {
                $(if other.$field.is_some() { self.$field = other.$field; })+
            };
        }
        take!(
            version,
            name,
            description,
            images,
            variables,
            choices,
            numbers,
            certificates,
            manifests,
            control_plane,
            workloads,
            state,
            evidence,
            configuration,
            rotation,
            identity,
            handshake,
            capabilities,
            components,
            assumed_order,
        );
    }

    /// Every file the definition names, in the order of the sections.
    fn named_files(&self) -> Vec<&str> {
        let manifests = self.manifests.iter().flatten();
        let mut names: Vec<&str> = manifests
            .flat_map(|group| &group.files)
            .map(String::as_str)
            .collect();
        if let Some(control_plane) = &self.control_plane {
            names.extend(control_plane.files.iter().map(String::as_str));
        }
        if let Some(configuration) = &self.configuration {
            names.extend(configuration.objects.iter().map(|form| form.file.as_str()));
        }
        if let Some(form) = &self.rotation {
            names.push(form.patch.as_str());
            names.extend(form.partner.as_deref());
        }
        names
    }

    fn read_files(
        &self,
        source: &Path,
        text: &str,
        read: &dyn Fn(&str) -> Result<String, String>,
        defects: &mut Vec<Defect>,
    ) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for name in self.named_files() {
            if files.contains_key(name) {
                continue;
            }
            match read(name) {
                Ok(content) => {
                    files.insert(name.to_owned(), content);
                }
                Err(reason) => defects.push(Defect {
                    message: format!("`{name}` cannot be read: {reason}"),
                    hint: Some("paths are relative to the mesh definition file".to_owned()),
                    ..check::at(source, text, &[name])
                }),
            }
        }
        files
    }

    fn into_definition(
        self,
        source: &Path,
        files: BTreeMap<String, String>,
    ) -> Option<MeshDefinition> {
        Some(MeshDefinition {
            name: self.name?,
            description: self.description.unwrap_or_default(),
            source: source.to_path_buf(),
            images: self.images?,
            variables: self.variables.unwrap_or_default(),
            choices: self.choices.unwrap_or_default(),
            numbers: self.numbers.unwrap_or_default(),
            certificates: self.certificates.unwrap_or_default(),
            manifests: self.manifests?,
            control_plane: self.control_plane,
            workloads: self.workloads?,
            state: self.state?,
            evidence: self.evidence.unwrap_or_default(),
            configuration: self.configuration?,
            rotation: self.rotation,
            identity: self.identity,
            handshake: self.handshake,
            components: self.components.unwrap_or_default(),
            capabilities: self.capabilities.unwrap_or_default(),
            assumed_order: self.assumed_order?,
            files,
        })
    }
}

#[cfg(test)]
mod tests;
