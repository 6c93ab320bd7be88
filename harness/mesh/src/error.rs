//! What can go wrong with a mesh: one enum for each act.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A mesh definition cannot be used. Every defect that was found is listed.
#[derive(Debug, thiserror::Error)]
pub enum LoadMeshError {
    /// Neither a shipped mesh nor a file.
    #[error("find the mesh `{name}`: there is no shipped mesh of this name and no such file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The shipped meshes.
        shipped: Vec<String>,
        /// The shipped mesh that was probably meant.
        suggestion: Option<String>,
    },
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The definition has defects.
    #[error("{} in the mesh definition:\n{}", count(.0.len()), list(.0))]
    Invalid(Vec<Defect>),
}

fn count(defects: usize) -> String {
    if defects == 1 {
        "a defect".to_owned()
    } else {
        format!("{defects} defects")
    }
}

fn list(defects: &[Defect]) -> String {
    defects
        .iter()
        .map(Defect::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// One defect of a mesh definition, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The file it is in.
    pub file: PathBuf,
    /// Line, from 1; 0 where the defect is of the whole file.
    pub line: u64,
    /// Column, from 1; 0 where the line is not known.
    pub column: u64,
    /// The field, as a dotted path.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "  {}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column.max(1))?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n    hint: {hint}")?;
        }
        Ok(())
    }
}

impl LoadMeshError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown {
                shipped,
                suggestion,
                ..
            } => Some(match suggestion {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!(
                    "use one of {} or the path of a mesh.yaml",
                    shipped.join(", ")
                ),
            }),
            Self::Read { .. } | Self::Invalid(_) => None,
        }
    }
}

/// A mesh could not be deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployMeshError {
    /// Somebody else's objects have names of ours. Nothing was applied.
    #[error("apply what has the names of objects that are there and not ours: {}", objects.join(", "))]
    Foreign {
        /// Kind, namespace and name of each.
        objects: Vec<String>,
    },
    /// In a cluster of somebody else these would stay for good.
    #[error("apply what could not be removed again: {}", objects.join(", "))]
    Unremovable {
        /// Kind, namespace and name of each.
        objects: Vec<String>,
    },
    /// A node did not give a folder of the mesh a file system of its own.
    #[error("prepare the folders of the mesh on the nodes")]
    Folders(#[source] harness_cluster::ClusterError),
    /// A template of the definition does not render.
    #[error("render {file}")]
    Render {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: minijinja::Error,
    },
    /// A rendered manifest is not what Kubernetes understands.
    #[error("read the manifest {file}: {message}")]
    Manifest {
        /// Which file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A certificate could not be made.
    #[error("make the certificate `{name}`")]
    Certificate {
        /// Its name in the definition.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The API server refused an object or could not be reached.
    #[error("apply {object}")]
    Apply {
        /// Kind, namespace and name.
        object: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object of an earlier deployment could not be read.
    #[error("read {object}")]
    Read {
        /// Kind, namespace and name.
        object: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something did not get ready in time.
    #[error("wait for {what} for {seconds} s; last seen: {last}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// How far it got.
        last: String,
    },
    /// The API server could not be read while waiting for what was applied.
    #[error("{act}")]
    Api {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// The mesh definition or the mesh does not have what is needed.
    #[error("{0}")]
    Missing(String),
    /// The mesh definition has no mutants.
    #[error("use the mutant `{0}`: the mesh definition names no image with mutants")]
    NoMutants(String),
}

impl DeployMeshError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Foreign { .. } => Some(
                "delete or rename those objects, or use a cluster or a namespace that has no such mesh",
            ),
            Self::Unremovable { .. } => Some(
                "in a cluster of somebody else the definition must bring along the namespaces it uses, and outside of them only kinds that meshproof knows; or use --cluster local or kind",
            ),
            Self::Render { .. } | Self::Manifest { .. } | Self::Certificate { .. } => {
                Some("correct the mesh definition and its templates")
            }
            Self::NotReady { .. } => Some(
                "logs and events are in the folder `diagnostics` of the artefacts, unless collecting is switched off",
            ),
            Self::Apply { source, .. } | Self::Read { source, .. } | Self::Api { source, .. } => {
                of_the_api_server(source)
            }
            Self::NoMutants(_) => Some("leave the mutant out, or use a mesh that has mutants"),
            Self::Folders(_) | Self::Missing(_) => None,
        }
    }
}

/// What the user can do about an answer of the API server.
fn of_the_api_server(error: &kube::Error) -> Option<&'static str> {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            Some("the user of the kubeconfig lacks rights; use one that may do this")
        }
        kube::Error::Api(_) => None,
        _ => Some("the API server did not answer; look whether the cluster is up"),
    }
}

/// Reading from or acting on a deployed mesh failed.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The API server could not be read or written.
    #[error("{act}")]
    Api {
        /// What was tried.
        act: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something did not happen in time.
    #[error("wait for {what} for {seconds} s; last seen: {last}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// How far it got.
        last: String,
    },
    /// The mesh definition or the mesh does not have what was asked for.
    #[error("{0}")]
    Missing(String),
}

/// A configuration could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{act} {object}")]
pub struct WriteError {
    /// `apply` or `delete`.
    pub act: &'static str,
    /// Kind and name of the object that failed.
    pub object: String,
    /// Kind → resource version of the objects that were written before it.
    pub written: BTreeMap<String, String>,
    /// Why.
    #[source]
    pub source: WriteFailure,
}

/// Why a configuration could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteFailure {
    /// The API server refused it: it is certain that this object was not written.
    #[error("the API server refused it: {0}")]
    Refused(String),
    /// No answer, so the fate of the write is unknown.
    #[error("the fate of the write is unknown")]
    Unknown(#[source] Box<kube::Error>),
    /// The template does not render to an object, so nothing was sent.
    #[error("render it from the mesh definition: {0}")]
    Render(String),
}

impl WriteError {
    /// It is certain that nothing was written.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.written.is_empty() && !matches!(self.source, WriteFailure::Unknown(_))
    }
}

impl MeshError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Api { source, .. } => of_the_api_server(source),
            Self::NotReady { .. } | Self::Missing(_) => None,
        }
    }

    /// The API server could not be read or written while doing `act`.
    pub(crate) fn api(act: impl Into<String>, source: kube::Error) -> Self {
        Self::Api {
            act: act.into(),
            source: Box::new(source),
        }
    }
}
