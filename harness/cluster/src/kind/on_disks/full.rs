//! The file system of a folder, as [`super`] has it filled: the shells. Its size is made what is used of it.

/// Takes the folder, the time in seconds and the shell that gives the room back, and says what was measured. The shell that
/// undoes it is there first. A size of nothing would be no limit, so one block is left, which is written.
pub(super) const FILL: &str = r#"set -eu
folder=$1 seconds=$2 mend=$3
[ -d "$folder" ] || { echo "$folder is no folder" >&2; exit 1; }
[ "$(stat -f -c %T "$folder")" = tmpfs ] || { echo "$folder is not in memory" >&2; exit 1; }
mount=$(stat -c %m "$folder") note=$mount/.meshproof-note
[ ! -e "$note" ] || { echo "$mount is full already" >&2; exit 1; }
block=$(stat -f -c %S "$folder") blocks=$(stat -f -c %b "$folder")
[ "$blocks" != 0 ] || { echo "$mount has no size that could be changed" >&2; exit 1; }
try() { head -c "$block" /dev/zero 2>&1 > "$folder/.meshproof-room" && rm "$folder/.meshproof-room"; }
try || { rm -f "$folder/.meshproof-room"; echo "$mount has no room" >&2; exit 1; }
echo "$((blocks * block)) $$" > "$note"
was=$(cat "$note")
setsid sh -c "$mend" mend "$folder" "$seconds" "$was" > /dev/null 2>&1 < /dev/null &
free=$(stat -f -c %f "$folder")
mount -o "remount,size=$(((blocks - free + 1) * block))" "$mount"
head -c $((64 * block)) /dev/zero > "$mount/.meshproof-full" 2> /dev/null || true
if said=$(LC_ALL=C try); then
  sh -c "$mend" mend "$folder" 0 "$was"
  echo "$folder can be written to though it is full" >&2; exit 1
fi
rm -f "$folder/.meshproof-room"
echo "$block bytes could be written, and then: $said"
"#;

/// Takes the folder, the seconds to wait, and, where one fault alone is to be undone, its note.
pub(super) const EMPTY: &str = r#"mount=$(stat -c %m "$1") && note=$mount/.meshproof-note
sleep "$2"
[ -e "$note" ] || exit 0
was=$(cat "$note")
[ -z "${3:-}" ] || [ "$was" = "$3" ] || exit 0
mount -o "remount,size=${was% *}" "$mount" && rm -f "$mount/.meshproof-full" "$note"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Output};

    /// In namespaces of its own, where `disk` is a file system in memory: nothing of the machine is mounted anew, and no
    /// shell outlives the test.
    fn shell(steps: &str) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            r#"set -eu
cd "$3"
mkdir disk && mount -t tmpfs -o size=1m,mode=755,nosuid tmpfs disk
mkdir disk/agent
fill() {{ sh -c "$1" fill "$PWD/$2" "$3" "$EMPTY"; }}
FILL=$1 EMPTY=$2
{steps}"#
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork"]);
        command.args(["--mount-proc", "sh", "-c", &script, "test", FILL, EMPTY]);
        command.arg(folder.path());
        command.output().unwrap()
    }

    #[test]
    fn a_full_file_system_has_its_room_again_when_it_is_asked_for() {
        let ran = shell(
            r#"
for present in 0 300000; do
  head -c "$present" /dev/zero > disk/agent/present
  fill "$FILL" disk/agent 3600 >&2
  if echo something > disk/agent/new; then echo "it is not full"; exit 1; fi
  if fill "$FILL" disk/agent 3600; then echo "it is filled twice"; exit 1; fi
  sh -c "$EMPTY" empty "$PWD/disk/agent" 0
  head -c 600000 /dev/zero > disk/agent/new
  if head -c 600000 /dev/zero > disk/agent/newer; then echo "it has no size"; exit 1; fi
  rm disk/agent/new disk/agent/newer
done
grep " $PWD/disk " /proc/self/mounts | grep -q nosuid
[ "$(ls -A disk disk/agent | tr '\n' ' ')" = "disk: agent  disk/agent: present " ]
"#,
        );
        assert!(ran.status.success(), "{ran:?}");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(
            said.contains("bytes could be written, and then: head: "),
            "{said}"
        );
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("is full already"), "{said}");
    }

    #[test]
    fn a_full_file_system_has_its_room_again_after_its_time() {
        let ran = shell(
            r#"
fill "$FILL" disk/agent 0.1
note=disk/.meshproof-note
while [ -e "$note" ]; do sleep 0.05; done
head -c 600000 /dev/zero > disk/agent/new
"#,
        );
        assert!(ran.status.success(), "{ran:?}");
    }

    #[test]
    fn what_is_no_folder_or_not_in_memory_is_refused() {
        for (path, reason) in [("nowhere", "is no folder"), ("/proc", "is not in memory")] {
            let ran = shell(&format!(r#"sh -c "$FILL" fill {path} 0 "$EMPTY""#));
            assert!(!ran.status.success());
            let said = String::from_utf8_lossy(&ran.stderr);
            assert!(said.contains(reason), "{said}");
        }
    }
}
