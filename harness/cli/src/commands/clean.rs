//! `meshproof clean`: removes what killed runs left behind, and says what.
//!
//! Only what belongs to nobody is touched: the folder of a cluster whose lock is free, kind clusters whose maker died,
//! and half-made assets while nobody makes them.

use crate::arguments::{CleanArguments, Common, OutputForm};
use crate::commands::write_json;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::plan;
use harness_cluster::assets::{self, AssetOptions};
use harness_cluster::kind::{self, State};
use harness_cluster::{User, local};
use harness_model::causes::chain;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file of a run in the folder of its artefacts by which that is found.
const HISTORY: &str = "history.jsonl";

/// What was (or would be) done, for programs.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cleaned {
    dry_run: bool,
    removed: Vec<String>,
    running: Vec<String>,
    /// Those of them that a run, or another command, uses.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    in_use: BTreeSet<String>,
    /// By whom, where that is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    used_by: BTreeMap<String, UsedBy>,
    /// What could not be removed, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
    /// What the user can do about that.
    #[serde(skip)]
    hints: BTreeSet<String>,
}

/// A process that uses a cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UsedBy {
    process: u32,
    command: String,
    /// Where it writes its artefacts.
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<PathBuf>,
}

/// A cluster that is not dead.
struct Living {
    name: String,
    in_use: bool,
    user: Option<User>,
}

/// Cleans. What cannot be removed holds up nothing else.
pub(crate) fn clean(
    arguments: &CleanArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let (running, dead): (Vec<_>, Vec<_>) =
        local::list().into_iter().partition(|listed| listed.running);
    let options = plan::assets(None, true)?;
    let (kind_dead, kind_running): (Vec<_>, Vec<_>) = kind::list(&options.cache)
        .into_iter()
        .partition(|listed| listed.state == State::Dead);
    let on_kind = kind_running.into_iter().map(|listed| Living {
        user: listed.user(),
        in_use: listed.in_use,
        name: listed.name,
    });
    let running = running.into_iter().map(|listed| Living {
        user: listed.user(),
        in_use: listed.in_use,
        name: listed.name,
    });
    let mut cleaned = Cleaned {
        dry_run: arguments.dry_run,
        ..Cleaned::default()
    };
    for living in running.chain(on_kind) {
        cleaned.leave(living);
    }
    let kind_dead = kind_dead.into_iter().map(|listed| listed.name);
    if arguments.dry_run {
        cleaned.folders(dead.into_iter().map(|listed| listed.folder));
        cleaned.kind_clusters(kind_dead);
    } else {
        cleaned.folders(local::sweep());
        cleaned.sweep_cache(&options.cache);
        cleaned.sweep_kind(&options, kind_dead.collect());
    }
    match common.output {
        OutputForm::Text => text(&cleaned, out).map_err(|error| crate::write_failed(&error))?,
        OutputForm::Json | OutputForm::Jsonl => write_json(out, &cleaned)?,
    }
    cleaned.outcome()
}

impl From<User> for UsedBy {
    fn from(user: User) -> Self {
        // A run keeps its history open until its end.
        let is_history = |file: &&PathBuf| file.file_name().is_some_and(|name| name == HISTORY);
        let history = user.files.iter().find(is_history);
        Self {
            artifacts: history.and_then(|file| file.parent()).map(Path::to_owned),
            process: user.process,
            command: user.command,
        }
    }
}

impl std::fmt::Display for UsedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} (`{}`)", self.process, self.command)?;
        match &self.artifacts {
            Some(folder) => write!(f, ", whose artefacts are in {}", folder.display()),
            None => Ok(()),
        }
    }
}

impl Cleaned {
    fn leave(&mut self, living: Living) {
        if living.in_use {
            self.in_use.insert(living.name.clone());
        }
        if let Some(user) = living.user {
            self.used_by.insert(living.name.clone(), user.into());
        }
        self.running.push(living.name);
    }

    fn folders(&mut self, removed: impl IntoIterator<Item = PathBuf>) {
        let removed = removed.into_iter().map(|path| path.display().to_string());
        self.removed.extend(removed);
    }

    fn kind_clusters(&mut self, removed: impl IntoIterator<Item = String>) {
        let removed = removed
            .into_iter()
            .map(|name| format!("kind cluster {name}"));
        self.removed.extend(removed);
    }

    fn not_removed(&mut self, what: String, error: &dyn Error, hint: Option<String>) {
        self.left.push(format!("{what}: {}", chain(error)));
        self.hints.extend(hint);
    }

    fn sweep_cache(&mut self, cache: &Path) {
        match assets::clean(cache) {
            Ok(removed) => self.folders(removed),
            Err(error) => {
                let hint = error.hint().map(|hint| hint.to_string());
                self.not_removed("half-made programs in the cache".to_owned(), &error, hint);
            }
        }
    }

    fn sweep_kind(&mut self, options: &AssetOptions, dead: Vec<String>) {
        let program = match dead.is_empty() {
            // It is not asked for anything then, but folders of removals that were broken off go.
            true => Ok(PathBuf::from("kind")),
            false => assets::kind(options, &|_| ()),
        };
        let program = match program {
            Ok(program) => program,
            Err(error) => {
                let hint = error.hint().map(|hint| hint.to_string());
                for name in dead {
                    self.not_removed(format!("kind cluster {name}"), &error, hint.clone());
                }
                return;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let swept = match runtime {
            Ok(runtime) => runtime.block_on(kind::sweep(&options.cache, &program)),
            Err(error) => return self.not_removed("kind clusters".to_owned(), &error, None),
        };
        self.kind_clusters(swept.removed);
        for (name, error) in swept.failed {
            self.not_removed(format!("kind cluster {name}"), &error, error.hint.clone());
        }
    }

    fn outcome(self) -> Result<ExitCode, Failure> {
        if self.left.is_empty() {
            return Ok(ExitCode::Success);
        }
        let mut failure =
            Failure::new(ExitCode::LeftBehind, "remove all that is left of dead runs");
        for left in self.left {
            failure = failure.item(left);
        }
        for hint in self.hints {
            failure = failure.hint(hint);
        }
        Err(failure)
    }
}

fn text(cleaned: &Cleaned, out: &mut impl Write) -> std::io::Result<()> {
    let (removed, left) = if cleaned.dry_run {
        ("would remove", "would leave")
    } else {
        ("removed", "left")
    };
    for one in &cleaned.removed {
        writeln!(out, "{removed} {one}")?;
    }
    for name in &cleaned.running {
        if let Some(user) = cleaned.used_by.get(name) {
            writeln!(out, "{left} the cluster {name}, which is in use by {user}")?;
        } else if cleaned.in_use.contains(name) {
            writeln!(out, "{left} the cluster {name}, which is in use")?;
        } else {
            writeln!(
                out,
                "{left} the running cluster {name} (`meshproof cluster down {name}`)"
            )?;
        }
    }
    if cleaned.removed.is_empty() && cleaned.left.is_empty() {
        writeln!(out, "nothing to remove")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_a_cluster_is_told_with_where_it_writes() {
        let user = |files: &[&str]| User {
            process: 4711,
            command: "meshproof run routing".to_owned(),
            files: files.iter().map(PathBuf::from).collect(),
        };
        let of_run = UsedBy::from(user(&["/dev/null", "/home/me/artifacts/a/history.jsonl"]));
        assert_eq!(
            of_run.to_string(),
            "process 4711 (`meshproof run routing`), whose artefacts are in /home/me/artifacts/a"
        );
        let other = UsedBy::from(user(&["/dev/null"]));
        assert_eq!(other.to_string(), "process 4711 (`meshproof run routing`)");
    }

    #[test]
    fn a_cluster_that_stays_is_left_with_or_without_a_user() {
        let mut cleaned = Cleaned::default();
        for (name, in_use) in [("kept", false), ("used", true)] {
            cleaned.leave(Living {
                name: name.to_owned(),
                in_use,
                user: None,
            });
        }
        assert_eq!(cleaned.running, ["kept", "used"]);
        assert_eq!(cleaned.in_use, BTreeSet::from(["used".to_owned()]));
        assert!(cleaned.used_by.is_empty());
    }

    #[test]
    fn a_dry_run_says_what_would_stay_and_why() {
        let told = |dry_run: bool| {
            let mut cleaned = Cleaned {
                dry_run,
                removed: vec!["/tmp/old".to_owned()],
                ..Cleaned::default()
            };
            let user = User {
                process: 4711,
                command: "meshproof run".to_owned(),
                files: Vec::new(),
            };
            for (name, in_use, user) in [
                ("kept", false, None),
                ("used", true, None),
                ("run", true, Some(user)),
            ] {
                cleaned.leave(Living {
                    name: name.to_owned(),
                    in_use,
                    user,
                });
            }
            let mut said = Vec::new();
            text(&cleaned, &mut said).expect("memory takes it");
            String::from_utf8(said).expect("it is text")
        };
        let would = "would remove /tmp/old
would leave the running cluster kept (`meshproof cluster down kept`)
would leave the cluster used, which is in use
would leave the cluster run, which is in use by process 4711 (`meshproof run`)
";
        assert_eq!(told(true), would);
        let done = would
            .replace("would remove", "removed")
            .replace("would leave", "left");
        assert_eq!(told(false), done);
    }
}
