//! The artefact folder of a run: `artifacts/<time>-<id>/`, with the link `latest` beside it.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{self, Out};
use harness_report::record::{RunRecord, quote};
use std::collections::BTreeMap;
use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

/// The folder of one run.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    /// The run's name: lower-case letters, digits and dashes.
    pub(crate) run: String,
    /// The part of the name that is drawn by lot.
    pub(crate) id: String,
    /// Where it is.
    pub(crate) folder: PathBuf,
}

/// A file of the folder by its name, and its text, or why there is none.
pub(crate) type Document = (&'static str, Result<String, Box<dyn Error>>);

impl Artifacts {
    /// Makes the folder, with what is known before the run: the command and the seed.
    pub(crate) fn create(base: &Path, seed: u64) -> Result<Self, Failure> {
        let id = format!("{:06x}", random() & 0xff_ffff);
        let run = format!(
            "{}-{id}",
            jiff::Timestamp::now().strftime("%Y-%m-%dt%H-%M-%Sz")
        );
        let folder = base.join(&run);
        let failed = |error: &std::io::Error| {
            Failure::new(
                ExitCode::Environment,
                format!("make the artefact folder {}", folder.display()),
            )
            .because(error)
            .hint("name a folder that you may write to with --artifacts DIR")
        };
        let made = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("command.txt"), command_line()))
            .and_then(|()| std::fs::write(folder.join("seed.txt"), format!("{seed}\n")))
            .and_then(|()| point_latest_at(base, &run));
        made.map_err(|error| failed(&error))?;
        Ok(Self { run, id, folder })
    }

    /// The name of the run's own cluster. Short, since it is part of the paths of sockets and of host names.
    pub(crate) fn cluster(&self) -> String {
        format!("run-{}", self.id)
    }

    /// Writes the documents of a run, as [`write_each`](Self::write_each) does.
    pub(crate) fn write_documents(
        &self,
        record: &RunRecord,
        exit: ExitCode,
        colour: bool,
    ) -> ExitCode {
        let code = exit.number();
        let documents = [
            ("report.json", harness_report::json::render(record, code)),
            ("junit.xml", harness_report::junit::render(record)),
            ("ctrf.json", harness_report::ctrf::render(record, code)),
            (
                "conformance.yaml",
                harness_report::conformance::render(record),
            ),
            ("summary.md", Ok(harness_report::markdown::render(record))),
            ("report.html", harness_report::html::render(record, code)),
        ];
        let documents = documents.map(|(name, text)| (name, text.map_err(Into::into)));
        self.write_each(documents, exit, colour)
    }

    /// Writes documents. What cannot be written is told, does not keep the others from being written, and changes the exit
    /// code: green without the evidence for it is not green.
    pub(crate) fn write_each(
        &self,
        documents: impl IntoIterator<Item = Document>,
        exit: ExitCode,
        colour: bool,
    ) -> ExitCode {
        let mut is_whole = true;
        for (name, document) in documents {
            let path = self.folder.join(name);
            let written = document.and_then(|text| Ok(write_whole(&path, &text)?));
            if let Err(error) = written {
                is_whole = false;
                let act = format!("write {}", path.display());
                let failure = Failure::new(ExitCode::Environment, act).because(&*error);
                output::say(&failure.render(colour));
            }
        }
        match exit {
            ExitCode::Success if !is_whole => ExitCode::Environment,
            exit => exit,
        }
    }

    /// The code to end with when everything is written; where stdout did not take the verdicts, it is told where else they are.
    pub(crate) fn told(&self, out: &Out, exit: ExitCode) -> Result<ExitCode, Failure> {
        let Err(error) = out.end() else {
            return Ok(exit);
        };
        let mut failure = crate::write_failed(&error).hint(format!(
            "the run came to its end; what it came to (exit code {}) is in {}",
            exit.number(),
            self.folder.display()
        ));
        failure.exit = exit.untold();
        Err(failure)
    }
}

/// A reader sees the whole file or none.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

fn point_latest_at(base: &Path, run: &str) -> std::io::Result<()> {
    let new = base.join(format!(".latest-{run}"));
    std::os::unix::fs::symlink(run, &new)?;
    std::fs::rename(&new, base.join("latest")).inspect_err(|_| {
        // The link is of no use without its name; that it cannot be removed either changes nothing.
        let _ = std::fs::remove_file(&new);
    })
}

/// The command as it was given, ready to be pasted into a shell, with our environment variables that were set.
fn command_line() -> String {
    let variables = std::env::vars_os().map(|(name, value)| {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        (text(name), text(value))
    });
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    as_command(variables, words)
}

fn as_command(
    variables: impl Iterator<Item = (String, String)>,
    words: impl Iterator<Item = String>,
) -> String {
    let ours: BTreeMap<String, String> = variables
        .filter(|(name, _)| name.starts_with("MESHPROOF_"))
        .collect();
    let set = ours
        .iter()
        .map(|(name, value)| format!("{name}={}", quote(value)));
    let words: Vec<String> = set.chain(words.map(|word| quote(&word))).collect();
    format!("{}\n", words.join(" "))
}

/// A number nobody knows beforehand.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_repeats_the_variables_that_count() {
        let variables = [
            ("PATH", "/bin"),
            ("MESHPROOF_SEED", "7"),
            ("MESHPROOF_MESH", "my mesh"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let words = ["meshproof", "run"].map(str::to_owned);
        assert_eq!(
            as_command(variables.into_iter(), words.into_iter()),
            "MESHPROOF_MESH='my mesh' MESHPROOF_SEED=7 meshproof run\n"
        );
    }

    #[test]
    fn the_folder_is_named_for_labels_and_latest_points_at_it() {
        let base = std::env::temp_dir().join(format!("meshproof-artifacts-{:x}", random()));
        let artifacts = Artifacts::create(&base, 7).expect("a temporary folder can be written");
        let again = Artifacts::create(&base, 7).expect("a second one too");
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(artifacts.run.chars().all(label), "{}", artifacts.run);
        let latest = std::fs::read_link(base.join("latest")).expect("latest is a link");
        assert_eq!(latest, PathBuf::from(&again.run));
        let record = harness_report::fixture::record();
        let exit = artifacts.write_documents(&record, ExitCode::Success, false);
        assert_eq!(exit, ExitCode::Success);
        for name in [
            "report.json",
            "junit.xml",
            "report.html",
            "ctrf.json",
            "conformance.yaml",
            "summary.md",
            "command.txt",
            "seed.txt",
        ] {
            assert!(artifacts.folder.join(name).exists(), "{name}");
        }
        std::fs::remove_dir_all(base).expect("what was made can be removed");
        // Nowhere to write to now.
        for (exit, then) in [
            (ExitCode::Success, ExitCode::Environment),
            (ExitCode::ScenarioFailed, ExitCode::ScenarioFailed),
        ] {
            assert_eq!(artifacts.write_documents(&record, exit, false), then);
        }
    }
}
