//! Looking for private keys below folders of nodes, as [`super`] harms what is there: by a shell in each of them.

use super::super::engine::Engine;
use super::super::zone::Worker;
use crate::exposure::{Search, on_node};
use crate::key_marks;
use futures::future::join_all;
use harness_model::causes::chain;
use std::path::{Path, PathBuf};

/// Takes a folder and what a key is known by, which may be bytes that are no text (`-a`). `grep` ends with 0 where it finds
/// one, with 1 where it finds none, and with 2 where it could not read everything; then it says what, among the files that it
/// has found.
const SEARCH: &str = r#"[ -e "$1" ] || [ -L "$1" ] || exit 0
if [ -L "$1" ] || [ ! -d "$1" ]; then
    echo "grep: $1: it is no folder"
    exit 0
fi
printf '%b' "$2" | LC_ALL=C grep -rlaF -f - -- "$1" 2>&1
[ "$?" -le 2 ]
"#;

/// How `grep` ends what it says of a file that is gone since its folder was read.
const GONE: &str = ": No such file or directory";

/// Looks through the files below these folders on each of these nodes; links are not followed.
pub(in crate::kind) async fn look(
    engine: &Engine,
    workers: &[Worker],
    folders: &[PathBuf],
) -> Search {
    let known_by = key_marks::for_printf();
    let mut looks = Vec::new();
    for worker in workers {
        for folder in folders {
            let look = search(engine, &worker.name, folder, &known_by);
            looks.push(on_node(&worker.name, folder, look));
        }
    }
    Search::sum(join_all(looks).await)
}

async fn search(
    engine: &Engine,
    node: &str,
    folder: &Path,
    known_by: &str,
) -> Result<Search, String> {
    let folder = folder.display().to_string();
    let arguments = ["sh", "-c", SEARCH, "search", folder.as_str(), known_by];
    let said = engine.in_node(node, &arguments, None).await;
    said.map(|said| read(&said)).map_err(|error| chain(&error))
}

/// Files that were found begin with `/`; what `grep` could not read begins with its name.
fn read(said: &str) -> Search {
    let mut search = Search::default();
    for line in said.lines().filter(|line| !line.ends_with(GONE)) {
        if line.starts_with('/') {
            search.found.push(line.to_owned());
        } else {
            let why = line.strip_prefix("grep: ").unwrap_or(line);
            search.not_searched.push(why.to_owned());
        }
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PublicKeyData as _};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Output};

    /// In any shell: nothing in it is of a node.
    fn shell(folder: &Path) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", SEARCH, "search"]).arg(folder);
        command.arg(key_marks::for_printf()).output().unwrap()
    }

    fn look_through(folder: &Path) -> Search {
        let ran = shell(folder);
        assert!(ran.status.success(), "{ran:?}");
        read(&String::from_utf8_lossy(&ran.stdout))
    }

    #[test]
    fn a_key_is_found_in_any_file_below_the_folder_and_in_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let agent = scratch.path().join("agent");
        fs::create_dir_all(agent.join("deep")).unwrap();
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHc\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nMHc\n";
        fs::write(agent.join("certificate"), certificate).unwrap();
        let pair = KeyPair::generate().unwrap();
        fs::write(agent.join("public"), pair.subject_public_key_info()).unwrap();
        fs::write(scratch.path().join("elsewhere"), key).unwrap();
        symlink("../elsewhere", agent.join("link")).unwrap();
        symlink("..", agent.join("out")).unwrap();
        let _socket = UnixListener::bind(agent.join("socket")).unwrap();
        for without in [agent.clone(), agent.join("nowhere")] {
            assert_eq!(look_through(&without), Search::default());
        }
        // After bytes that are no text, in base64 as a Secret has it, and in DER.
        let (raw, encoded) = (agent.join("deep/raw"), agent.join("encoded"));
        let der = agent.join("key");
        fs::write(&der, pair.serialize_der()).unwrap();
        fs::write(&raw, [&b"\0\xff\n"[..], key.as_bytes()].concat()).unwrap();
        let text = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3Cg==";
        fs::write(&encoded, text).unwrap();
        let mut search = look_through(&agent);
        search.found.sort();
        let planted = [raw, encoded, der].map(|path| path.display().to_string());
        assert_eq!(search.found, planted);
        assert!(search.not_searched.is_empty(), "{search:?}");
    }

    #[test]
    fn what_is_no_folder_is_not_searched() {
        let scratch = tempfile::tempdir().unwrap();
        let (file, link) = (scratch.path().join("file"), scratch.path().join("link"));
        fs::write(&file, "words").unwrap();
        symlink(scratch.path(), &link).unwrap();
        for no_folder in [file, link] {
            let search = look_through(&no_folder);
            let told = format!("{}: it is no folder", no_folder.display());
            assert_eq!(search.not_searched, [told]);
            assert!(search.found.is_empty());
        }
    }

    #[test]
    fn what_could_not_be_read_is_told_beside_what_was_found() {
        let search = read(
            "/run/agent/last\n\
             grep: /run/agent/new: No such file or directory\n\
             grep: /run/agent/deep: Permission denied\n",
        );
        assert_eq!(search.found, ["/run/agent/last"]);
        assert_eq!(search.not_searched, ["/run/agent/deep: Permission denied"]);
    }

    #[test]
    fn a_search_that_grep_does_not_make_is_none() {
        let tools = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SEARCH, "search", "/", "words"]);
        let ran = command.env("PATH", tools.path()).output().unwrap();
        assert!(!ran.status.success(), "{ran:?}");
    }
}
