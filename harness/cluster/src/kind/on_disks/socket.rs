//! A Unix socket, as [`super`] has it broken: the shells.

/// Takes the path, the harm and the time in seconds, and says what was measured. The shell that undoes it is there first.
pub(super) const BREAK: &str = r#"set -eu
path=$1 harm=$2 seconds=$3 kept=$1.meshproof note=$1.meshproof-note
[ -S "$path" ] || { echo "$path is no socket" >&2; exit 1; }
[ ! -e "$note" ] || { echo "$path is broken already" >&2; exit 1; }
stat -c '%i %a' "$path" > "$note"
was=$(cat "$note")
setsid sh -c "$4" mend "$path" "$seconds" "$was" > /dev/null 2>&1 < /dev/null &
if [ "$harm" = unlinked ]; then mv "$path" "$kept"; else chmod 0 "$path"; fi
if [ ! -e "$path" ]; then echo "it was a socket, and is not there"
elif [ "$(stat -c %a "$path")" = 0 ]; then echo "it was a socket of mode ${was#* }, and has mode 0000"
elif [ "$(stat -c %i "$path")" != "${was% *}" ]; then echo "it was a socket, and was made again at once"
else echo "$path is as it was" >&2; exit 1; fi
"#;

/// Takes the path, the seconds to wait, and, where one fault alone is to be undone, its note.
pub(super) const MEND: &str = r#"path=$1 kept=$1.meshproof note=$1.meshproof-note
sleep "$2"
[ -e "$note" ] || exit 0
was=$(cat "$note")
[ -z "${3:-}" ] || [ "$was" = "$3" ] || exit 0
rm -f "$note"
if [ -e "$kept" ]; then
  if [ -e "$path" ]; then rm -f "$kept"; else mv "$kept" "$path"; fi
elif [ -e "$path" ] && [ "$(stat -c '%i %a' "$path")" = "${was% *} 0" ]; then chmod "${was#* }" "$path"; fi
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::fakes::shell;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_broken_socket_is_put_back_and_one_that_was_made_again_is_left_alone() {
        for harm in ["unlinked", "forbidden"] {
            for is_made_again in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("agent.sock");
                let text = path.to_str().unwrap();
                let _first = UnixListener::bind(&path).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
                // The shell that would undo it finds no note any more when its time has come.
                let broken = shell(BREAK, &[text, harm, "0.2", ""]);
                assert!(broken.status.success(), "{broken:?}");
                match harm {
                    "unlinked" => assert!(!path.exists()),
                    _ => assert_eq!(mode(&path), 0),
                }
                if is_made_again {
                    let _ = fs::remove_file(&path);
                    let _second = UnixListener::bind(&path).unwrap();
                    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
                }
                assert!(shell(MEND, &[text, "0"]).status.success());
                assert_eq!(mode(&path), if is_made_again { 0o640 } else { 0o600 });
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            }
        }
    }

    #[test]
    fn what_is_no_socket_or_broken_already_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let text = path.to_str().unwrap();
        assert!(!shell(BREAK, &[text, "unlinked", "0", ""]).status.success());
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(shell(BREAK, &[text, "forbidden", "0", ""]).status.success());
        let again = shell(BREAK, &[text, "forbidden", "0", ""]);
        assert!(String::from_utf8_lossy(&again.stderr).contains("broken already"));
    }
}
