//! Rules of the packet filter in nft's own words, one atomic transaction a call.

use crate::netns::NetNs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// `nft` did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Enter(#[from] crate::KernelError),
    /// The program could not be run.
    #[error("run `nft`")]
    Run(#[source] io::Error),
    /// The rules were refused, all of them.
    #[error("`nft` refused the rules: {stderr}\n{rules}")]
    Refused {
        /// What `nft` said.
        stderr: String,
        /// The rules as given.
        rules: String,
    },
}

/// Applies `rules` in the calling thread's network namespace: all of them or none.
///
/// # Errors
///
/// When `nft` is missing or refuses the rules.
pub fn apply(rules: &str) -> Result<(), NftError> {
    run(&["-f", "-"], rules).map(drop)
}

/// Applies `rules` in `namespace`: all of them or none.
///
/// # Errors
///
/// As [`apply`], or when the namespace cannot be entered.
pub fn apply_in(namespace: &NetNs, rules: &str) -> Result<(), NftError> {
    namespace.run_in(|| apply(rules))?
}

/// The whole ruleset of the calling thread's network namespace, in nft's words.
///
/// # Errors
///
/// When `nft` is missing or fails.
pub fn list() -> Result<String, NftError> {
    run(&["list", "ruleset"], "")
}

/// The whole ruleset of `namespace`, in nft's words.
///
/// # Errors
///
/// As [`list`], or when the namespace cannot be entered.
pub fn list_in(namespace: &NetNs) -> Result<String, NftError> {
    namespace.run_in(list)?
}

fn run(arguments: &[&str], rules: &str) -> Result<String, NftError> {
    let mut child = Command::new(crate::program("nft"))
        .args(arguments)
        // Ordinary users often lack the directories of system tools.
        .env("PATH", crate::search_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A refusal closes the pipe early; the exit status tells more than this error would.
        match stdin.write_all(rules.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(NftError::Run(error));
            }
            _ => {}
        }
    }
    let output = child.wait_with_output().map_err(NftError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(NftError::Refused {
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        rules: rules.to_owned(),
    })
}
