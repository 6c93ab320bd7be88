//! The programs of this workspace that go into images, built by Cargo.

use super::BuildError;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds these programs and asks Cargo where they are. Cargo, which may have to wait for another one, is left alone when
/// none is needed.
pub(super) fn build(
    root: &Path,
    needed: &[&'static str],
    progress: &dyn Fn(&str),
) -> Result<BTreeMap<&'static str, PathBuf>, BuildError> {
    /// Lines of Cargo's output that an error shows: the errors stand at the end.
    const SHOWN_LINES: usize = 60;
    if needed.is_empty() {
        return Ok(BTreeMap::new());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // `--workspace` chooses the features, `--bin` what is built: so every command of this workspace shares what is
    // compiled (see ARCHITECTURE.md, "One build").
    command
        .current_dir(root)
        .args([
            "build",
            "--release",
            "--workspace",
            "--message-format=json-render-diagnostics",
        ])
        .args(needed.iter().flat_map(|program| ["--bin", program]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    forget_outer_cargo(&mut command);
    let mut child = command.spawn().map_err(BuildError::StartCargo)?;
    let messages = child.stdout.take();
    let reader = std::thread::spawn(move || {
        messages
            .map(|messages| executables(BufReader::new(messages)))
            .unwrap_or_default()
    });
    let mut output = VecDeque::new();
    let mut compiled = 0;
    if let Some(diagnostics) = child.stderr.take() {
        for line in BufReader::new(diagnostics).lines().map_while(Result::ok) {
            if let Some(package) = line.trim_start().strip_prefix("Compiling ") {
                let name = package.split(' ').next().unwrap_or_default();
                if compiled == 0 {
                    progress(&format!(
                        "compiling the programs of the images ({}), since this is the first time or their sources changed",
                        needed.join(", ")
                    ));
                }
                compiled += 1;
                progress(&format!("compiling {name} (package {compiled})"));
            } else if line.trim_start().starts_with("Blocking") {
                progress("waiting for another Cargo to finish");
            }
            output.push_back(line);
            if output.len() > SHOWN_LINES {
                output.pop_front();
            }
        }
    }
    let status = child.wait().map_err(BuildError::StartCargo)?;
    let mut found = reader.join().unwrap_or_default();
    if !status.success() {
        return Err(BuildError::Cargo {
            output: Vec::from(output).join("\n"),
        });
    }
    needed
        .iter()
        .map(|&program| {
            let executable = found
                .remove(program)
                .ok_or(BuildError::NoProgram { program })?;
            Ok((program, executable))
        })
        .collect()
}

/// The programs that Cargo's messages name.
fn executables(messages: impl io::BufRead) -> BTreeMap<String, PathBuf> {
    messages
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(&line).ok()?;
            let executable = message.get("executable")?.as_str()?;
            let name = message.get("target")?.get("name")?.as_str()?;
            Some((name.to_owned(), PathBuf::from(executable)))
        })
        .collect()
}

/// Removes from a command the variables that an outer Cargo set for this program: for a Cargo inside they are another
/// package's, build scripts that watch them (ring's does) would run again, and everything above would be compiled again.
pub fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_started_only_for_programs_that_are_needed() {
        // Nothing can be started in a folder that does not exist.
        let nowhere = Path::new("/nonexistent");
        assert!(build(nowhere, &[], &|_| {}).is_ok_and(|programs| programs.is_empty()));
        assert!(matches!(
            build(nowhere, &["probe-app"], &|_| {}),
            Err(BuildError::StartCargo(_))
        ));
    }
}
