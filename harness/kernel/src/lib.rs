//! What we ask of the Linux kernel: processes in new namespaces, network namespaces and the links, routes and
//! rules in them, mounts, file descriptors passed between processes, packets delayed, processes that end with us.
//!
//! Invariant: the only crate where `unsafe` is allowed, and it knows nothing of Kubernetes, a cluster or a mesh.
//! Everything here is blocking and short (microseconds to a few milliseconds), unless its name says otherwise.

pub mod beneath;
pub mod container;
pub mod control_group;
pub mod fd_passing;
pub mod full_disk;
pub mod late_port;
pub mod link;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod nfqueue;
pub mod nft;
pub mod parent;
pub mod tap;
pub mod terminal;

use std::io;

/// The kernel refused something.
#[derive(Debug, thiserror::Error)]
#[error("{act}")]
pub struct KernelError {
    /// What was tried, as a fragment: `mount tmpfs on /run/x`.
    pub act: String,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl KernelError {
    /// Says what was tried when `source` happened.
    pub fn new(act: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            act: act.into(),
            source: source.into(),
        }
    }
}

/// Where programs are looked for: the user's path and the directories of system tools, which ordinary users
/// often lack.
#[must_use]
pub fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path
}

/// Where the program with this name is on the [`search_path`]; the name alone where it is nowhere, so that starting it says so.
///
/// A path, since what is looked for on a path of ours is started by `fork`, which copies the page tables of a node with all its
/// pods. What is named by a path is started by `posix_spawn`, which does not.
fn program(name: &str) -> std::path::PathBuf {
    which::which_in(name, Some(search_path()), "/").unwrap_or_else(|_| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_its_path_where_it_is_and_by_its_name_where_it_is_nowhere() {
        assert!(program("sh").is_absolute());
        let nowhere = "a program that nobody has";
        assert_eq!(program(nowhere), std::path::Path::new(nowhere));
    }
}
