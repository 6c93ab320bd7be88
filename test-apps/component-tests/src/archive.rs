//! Image archives under another name. An engine that is not ours may have an image by the name that ours has in its
//! archive, and loading would take the name away from it.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;
use tar::{Archive, Builder, EntryType, Header};

/// What `docker save` calls the file with the names; without the files of an OCI layout an engine reads only this one.
const NAMES: &str = "manifest.json";
const OCI_LAYOUT: [&str; 2] = ["index.json", "oci-layout"];

/// Copies an archive of ours to `target` and names its image `reference` there, and nothing else.
///
/// # Errors
///
/// When a file cannot be read or written, or the archive has no list of names.
pub fn copy_as(archive: &Path, reference: &str, target: &Path) -> io::Result<()> {
    let mut source = Archive::new(BufReader::new(File::open(archive)?));
    let mut copy = Builder::new(BufWriter::new(File::create(target)?));
    let mut is_named = false;
    for entry in source.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if OCI_LAYOUT.iter().any(|name| path == Path::new(name)) {
            continue;
        }
        if path == Path::new(NAMES) {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            let text = renamed(&text, reference)?;
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            copy.append_data(&mut header, &path, text.as_slice())?;
            is_named = true;
        } else {
            let header = entry.header().clone();
            copy.append(&header, &mut entry)?;
        }
    }
    if !is_named {
        return Err(io::Error::other(format!(
            "no {NAMES} in {}",
            archive.display()
        )));
    }
    copy.into_inner()?.flush()
}

fn renamed(names: &[u8], reference: &str) -> io::Result<Vec<u8>> {
    let mut images: Vec<serde_json::Value> = serde_json::from_slice(names)?;
    for image in &mut images {
        image["RepoTags"] = serde_json::json!([reference]);
    }
    Ok(serde_json::to_vec(&images)?)
}
