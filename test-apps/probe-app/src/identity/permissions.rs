//! Reads whom a Unix socket lets dial.
//!
//! Invariant: nobody is dialed.

use probe_api::identity::IdentityAnswer;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// The permissions of the socket at this path, and of its folder. Where there is none that says nothing.
pub(super) fn read(path: &str) -> IdentityAnswer {
    match bits(Path::new(path)) {
        Ok((socket, folder)) => IdentityAnswer::Permissions { socket, folder },
        Err(error) => IdentityAnswer::Unanswered(format!("the permissions of {path}: {error}")),
    }
}

fn bits(path: &Path) -> io::Result<(u32, u32)> {
    // Links lead to where who dials comes.
    let path = fs::canonicalize(path)?;
    let socket = fs::metadata(&path)?;
    if !socket.file_type().is_socket() {
        return Err(io::Error::other("it is no socket"));
    }
    let folder = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    Ok((socket.mode() & 0o7777, folder.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_bits_are_those_of_the_socket_and_of_the_folder_that_it_is_really_in() {
        let name = format!("probe-app-permissions-{}", std::process::id());
        let home = std::env::temp_dir().join(name);
        let folder = home.join("folder");
        fs::create_dir_all(&folder).expect("made");
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
        };
        let socket = folder.join("sds.sock");
        let _listener = UnixListener::bind(&socket).expect("bound");
        let link = home.join("link.sock");
        symlink(&socket, &link).expect("made");
        let file = home.join("file");
        fs::write(&file, "").expect("written");
        set(&folder, 0o711);
        let told = [0o600, 0o666].map(|mode| {
            set(&socket, mode);
            [&socket, &link].map(|path| read(path.to_str().expect("text")))
        });
        let others = [file, home.join("nowhere")].map(|path| read(path.to_str().expect("text")));
        fs::remove_dir_all(&home).expect("ours");

        for (answers, socket) in told.into_iter().zip([0o600, 0o666]) {
            let folder = 0o711;
            let expected = IdentityAnswer::Permissions { socket, folder };
            assert_eq!(answers, [expected.clone(), expected]);
        }
        for other in others {
            assert!(matches!(other, IdentityAnswer::Unanswered(_)), "{other:?}");
        }
    }
}
