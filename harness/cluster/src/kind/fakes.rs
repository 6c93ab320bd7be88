//! For tests of what is done with kind and an engine: scripts in their place, which remember what they were asked. What
//! they say is what kind v0.33.0 says. And a shell in the place of a node's.

use super::engine::Engine;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// It knows clusters by the lines of the file `clusters`; of those in the file `hidden` it knows only when it is to make
/// one. With a file `stuck` it removes none. Whatever it makes does not become ready.
const KIND: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
echo "$KIND_EXPERIMENTAL_PROVIDER: $*" >> calls
case "$1 $2" in
"get clusters") cat clusters ;;
"delete cluster")
    if [ -e stuck ]; then echo "ERROR: failed to delete cluster" >&2; exit 1; fi
    grep -vx "$4" clusters > rest
    mv rest clusters ;;
"create cluster")
    if grep -qx "$7" hidden; then
        cat hidden >> clusters
        echo "ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"$7\"" >&2
        exit 1
    fi
    echo "$7" >> clusters
    echo "ERROR: failed to create cluster: a node did not start" >&2
    exit 1 ;;
*) exit 1 ;;
esac
"#;

/// An engine that only tells its ID.
const ENGINE: &str = r#"#!/bin/sh
cat "${0%/*}/id"
"#;

/// Programs in the place of kind and an engine, and a cache.
pub(super) struct Fakes {
    folder: tempfile::TempDir,
    cache: PathBuf,
}

impl Fakes {
    /// With clusters of these names, as kind has them.
    pub(super) fn knowing(clusters: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let fakes = Self { folder, cache };
        for (name, script) in [("kind", KIND), ("engine", ENGINE)] {
            let path = fakes.path(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let lines: String = clusters.iter().map(|name| format!("{name}\n")).collect();
        fakes.write("clusters", &lines);
        fakes.write("hidden", "");
        fakes.write("calls", "");
        fakes.write("id", "one\n");
        fakes
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that the programs read.
    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The program `kind`.
    pub(super) fn kind(&self) -> PathBuf {
        self.path("kind")
    }

    /// The engine.
    pub(super) fn engine(&self) -> Engine {
        Engine::of(self.path("engine").display().to_string())
    }

    /// The cache folder.
    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Names of the clusters that are there.
    pub(super) fn clusters(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("clusters")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// What kind was asked, each with the engine that it was to use.
    pub(super) fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap()
    }
}

/// Runs here what a shell of a node is given, with its arguments: nothing in it is of a node.
pub(super) fn shell(script: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script, "test"]).args(arguments);
    command.output().unwrap()
}
