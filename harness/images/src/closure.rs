//! The libraries a dynamic program needs, found as the dynamic linker would, without running the program.

use crate::elf::{self, Elf};
use crate::pack::FileSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where glibc looks without being told, in the layouts that distributions use.
const DEFAULT_FOLDERS: [&str; 10] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
];

/// A program's libraries could not be found.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// The program or one of its libraries is unreadable or not an ELF file.
    #[error("read the libraries that `{}` is linked with", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A library is nowhere on this machine.
    #[error("`{needed}`, which `{}` is linked with, is not on this machine", by.display())]
    Missing {
        /// The library's name.
        needed: String,
        /// What needs it.
        by: PathBuf,
    },
}

/// The files that must be in an image beside `program`: its dynamic linker and its libraries. Empty for a static
/// program.
///
/// In the image all libraries stand in the folder of the C library, which its dynamic linker searches without a
/// cache file.
///
/// # Errors
///
/// When a file cannot be read or a library is missing.
pub fn closure(program: &Path) -> Result<Vec<FileSpec>, ClosureError> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let top = read(program)?;
    let configured = configured_folders(Path::new("/etc/ld.so.conf"), 0);
    let machine = top.machine;
    let mut waiting = vec![(program.to_owned(), top)];
    let mut files = BTreeSet::new();
    while let Some((path, elf)) = waiting.pop() {
        if let Some(interpreter) = &elf.interpreter {
            files.insert(FileSpec {
                target: PathBuf::from(interpreter),
                source: PathBuf::from(interpreter),
                mode: 0o755,
            });
        }
        for needed in &elf.needed {
            if found.contains_key(needed) {
                continue;
            }
            let (library, library_elf) = find(needed, &path, &elf, &configured, machine)?;
            found.insert(needed.clone(), library.clone());
            waiting.push((library, library_elf));
        }
    }
    let interpreters: BTreeSet<String> = files
        .iter()
        .filter_map(|file| file.target.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let home = found
        .iter()
        .find(|(name, _)| name.starts_with("libc.so"))
        .and_then(|(_, path)| path.parent())
        .unwrap_or(Path::new("/lib"))
        .to_owned();
    files.extend(
        found
            .into_iter()
            // Libraries name the dynamic linker too; it is there already.
            .filter(|(name, _)| !interpreters.contains(name))
            .map(|(name, source)| FileSpec {
                target: home.join(name),
                source,
                mode: 0o755,
            }),
    );
    Ok(files.into_iter().collect())
}

fn read(path: &Path) -> Result<Elf, ClosureError> {
    elf::read(path).map_err(|source| ClosureError::Read {
        path: path.to_owned(),
        source,
    })
}

fn find(
    needed: &str,
    by: &Path,
    elf: &Elf,
    configured: &[PathBuf],
    machine: u16,
) -> Result<(PathBuf, Elf), ClosureError> {
    let origin = by
        .parent()
        .unwrap_or(Path::new("/"))
        .to_string_lossy()
        .into_owned();
    let own = elf.search.iter().map(|folder| {
        PathBuf::from(
            folder
                .replace("$ORIGIN", &origin)
                .replace("${ORIGIN}", &origin),
        )
    });
    let folders = own
        .chain(configured.iter().cloned())
        .chain(DEFAULT_FOLDERS.iter().map(PathBuf::from));
    for folder in folders {
        let candidate = folder.join(needed);
        // A library for another machine (32-bit beside 64-bit) is passed over, as the dynamic linker does.
        if let Ok(library) = elf::read(&candidate)
            && library.machine == machine
        {
            return Ok((candidate, library));
        }
    }
    Err(ClosureError::Missing {
        needed: needed.to_owned(),
        by: by.to_owned(),
    })
}

/// Folders listed in `ld.so.conf` and the files it includes. What cannot be read is left out, as `ldconfig` does.
fn configured_folders(file: &Path, depth: u32) -> Vec<PathBuf> {
    const DEEPEST: u32 = 8;
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut folders = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(pattern) = line.strip_prefix("include") {
            if depth < DEEPEST {
                for included in matching(Path::new("/etc"), pattern.trim()) {
                    folders.extend(configured_folders(&included, depth + 1));
                }
            }
        } else if line.starts_with('/') {
            folders.push(PathBuf::from(line));
        }
    }
    folders
}

/// Files for an `include` line: a path, or a folder and `*SUFFIX`.
fn matching(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = base.join(pattern);
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some((prefix, suffix)) = name.split_once('*') else {
        return vec![path];
    };
    let folder = path.parent().unwrap_or(base);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| {
            file.file_name()
                .map(|name| name.to_string_lossy())
                .is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::closure;
    use std::path::Path;

    #[test]
    fn a_static_program_needs_nothing() {
        // Test programs of this workspace are static themselves.
        let own = std::env::current_exe().unwrap();
        assert!(closure(&own).unwrap().is_empty());
    }

    #[test]
    fn a_dynamic_program_needs_its_linker_and_the_c_library_once() {
        let files = closure(Path::new("/bin/sh")).unwrap();
        let named = |part: &str| {
            files
                .iter()
                .filter(|file| file.target.to_string_lossy().contains(part))
                .count()
        };
        assert_eq!(named("/ld-linux"), 1, "{files:?}");
        assert_eq!(named("/libc.so.6"), 1, "{files:?}");
        assert!(files.iter().all(|file| file.source.exists()), "{files:?}");
    }

    #[test]
    fn what_is_no_program_is_refused_by_name() {
        let error = closure(Path::new("/etc/passwd")).unwrap_err();
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
    }
}
