//! Stopping the processes of a pod and letting them go on, and killing them, by a shell in the pod's node.
//!
//! Invariant: a shell in the node lets those go on that were stopped, after the time, whatever becomes of us.

use super::engine::Engine;
use crate::{ClusterError, PodAddress, failed};
use std::time::Duration;

/// A pod in a node, as the kubelet named it to the container runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodOn<'a> {
    pub(super) node: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> From<&'a PodAddress> for PodOn<'a> {
    fn from(pod: &'a PodAddress) -> Self {
        Self {
            node: &pod.node,
            namespace: &pod.namespace,
            name: &pod.name,
        }
    }
}

/// Takes a namespace and the name of a pod, and prints the first process of each container that runs.
const FIRST: &str = r#"set -eu
label=io.kubernetes.pod
containers=$(crictl ps --quiet --label "$label.namespace=$1" --label "$label.name=$2")
[ -n "$containers" ] || { echo "no container of the pod $2 runs here" >&2; exit 1; }
for container in $containers; do
  crictl inspect --output go-template --template '{{.info.pid}}' "$container"
done
"#;

/// Prints the processes of the PID namespaces that these first processes have made. None are those of the node.
const BESIDE: &str = r#"beside() {
  own=$(stat -Lc %i /proc/self/ns/pid) spaces=' '
  for first in "$@"; do
    space=$(stat -Lc %i "/proc/$first/ns/pid" 2> /dev/null) || continue
    [ "$space" = "$own" ] || spaces="$spaces$space "
  done
  # Who ends meanwhile is not there.
  { stat -Lc '%i %n' /proc/[0-9]*/ns/pid 2> /dev/null || :; } | while read -r space path; do
    path=${path#/proc/}
    case $spaces in *" $space "*) echo "${path%/ns/pid}" ;; esac
  done
}
"#;

/// Takes the path of a note, the time in seconds, the shell that ends it, and first processes; prints how many it stopped.
/// The shell that ends it is there first. Each round finds those that were started while the last one stopped others.
const FREEZE: &str = r#"set -eu
note=$1 seconds=$2 thaw=$3; shift 3
mkdir -p "${note%/*}"
token=$$.$(date +%s%N)
echo "$token" > "$note"
setsid sh -c "$thaw" thaw "$note" "$seconds" "$token" > /dev/null 2>&1 < /dev/null &
stopped=' ' count=0 round=0 why=
while [ -z "$why" ]; do
  before=$count
  for process in $(beside "$@"); do
    case $stopped in *" $process "*) continue ;; esac
    stopped="$stopped$process " count=$((count + 1))
    echo "$process" >> "$note"
    kill -STOP "$process" 2> /dev/null || :
  done
  [ "$count" -gt "$before" ] || break
  round=$((round + 1))
  [ "$round" -lt 20 ] || why='its processes start others faster than they can be stopped'
done
[ "$count" -gt 0 ] || why='it has no processes of its own'
first=$(head -n 1 "$note" 2> /dev/null) || :
[ -n "$why" ] || [ "$first" = "$token" ] || why='its time was over before all of its processes were stopped'
[ -n "$why" ] || { echo "$count"; exit; }
rm -f "$note"
for process in $stopped; do kill -CONT "$process" 2> /dev/null || :; done
echo "$why" >&2
exit 1
"#;

/// Takes the path of the note, the seconds to wait, and, where one freeze alone is to be ended, its token.
const THAW: &str = r#"note=$1 only=${3:-}
sleep "$2"
[ -e "$note" ] || exit 0
set -- $(cat "$note")
[ -z "$only" ] || [ "$1" = "$only" ] || exit 0
rm -f "$note"
shift
for process in "$@"; do kill -CONT "$process" 2> /dev/null || :; done
"#;

/// Stops every process of the pod's containers for this time; what was done, in words.
pub(super) async fn freeze(
    engine: &Engine,
    pod: PodOn<'_>,
    duration: Duration,
) -> Result<String, ClusterError> {
    let act = || format!("freeze the pod {}", pod.name);
    let first = first_processes(engine, pod).await.map_err(failed(act()))?;
    let (note, script) = (note(pod), format!("{BESIDE}{FREEZE}"));
    let seconds = format!("{:.3}", duration.as_secs_f64());
    let mut arguments = vec!["sh", "-c", &script, "freeze", &note, &seconds, THAW];
    arguments.extend(first.split_whitespace());
    let count = engine.in_node(pod.node, &arguments, None).await;
    let count = count.map_err(failed(act()))?;
    let (count, name) = (count.trim(), pod.name);
    Ok(format!("{count} processes of {name} are stopped"))
}

/// Lets them go on; fine when they do.
pub(super) async fn thaw(engine: &Engine, pod: PodOn<'_>) -> Result<(), ClusterError> {
    let note = note(pod);
    let arguments = ["sh", "-c", THAW, "thaw", &note, "0"];
    let thawed = engine.in_node(pod.node, &arguments, None).await;
    let act = format!("let the pod {} go on", pod.name);
    thawed.map(drop).map_err(failed(act))
}

/// The first processes of its containers, as numbers of the node.
pub(super) async fn first_processes(
    engine: &Engine,
    pod: PodOn<'_>,
) -> Result<String, ClusterError> {
    let arguments = ["sh", "-c", FIRST, "first", pod.namespace, pod.name];
    engine.in_node(pod.node, &arguments, None).await
}

/// Where a node notes who is stopped. It is gone when the node has lost its power.
fn note(pod: PodOn<'_>) -> String {
    format!("/run/meshproof/frozen/{}.{}", pod.namespace, pod.name)
}

#[cfg(test)]
mod tests {
    use super::super::fakes::shell;
    use super::*;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::path::Path;
    use std::process::{Child, Command, Output};

    /// In a test the pod is these processes alone.
    const ALONE: &str = "beside() { echo \"$@\"; }\n";

    struct Process(Child);

    impl Process {
        fn start() -> Self {
            Self(Command::new("sleep").arg("1000").spawn().unwrap())
        }

        fn number(&self) -> String {
            self.0.id().to_string()
        }

        /// Waits until it is stopped, or goes on: a signal takes effect when its receiver is scheduled.
        fn wait(&self, flag: WaitPidFlag) -> WaitStatus {
            let pid = Pid::from_raw(self.0.id().try_into().unwrap());
            waitpid(pid, Some(flag)).unwrap()
        }

        fn has_changed(&self) -> bool {
            let any = WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED | WaitPidFlag::WNOHANG;
            self.wait(any) != WaitStatus::StillAlive
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn freeze_for(note: &Path, seconds: &str, processes: &[&Process]) -> Output {
        let numbers: Vec<String> = processes.iter().map(|process| process.number()).collect();
        let mut arguments = vec![note.to_str().unwrap(), seconds, THAW];
        arguments.extend(numbers.iter().map(String::as_str));
        shell(&format!("{ALONE}{FREEZE}"), &arguments)
    }

    #[test]
    fn who_is_stopped_goes_on_when_asked_and_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("frozen/a.b");
        let (one, two, other) = (Process::start(), Process::start(), Process::start());
        // The shell that ends it waits for longer than the test, and finds no note any more.
        let frozen = freeze_for(&note, "5", &[&one, &two]);
        assert!(frozen.status.success(), "{frozen:?}");
        assert_eq!(String::from_utf8_lossy(&frozen.stdout), "2\n");
        for process in [&one, &two] {
            let stopped = process.wait(WaitPidFlag::WUNTRACED);
            assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
        }
        let text = note.to_str().unwrap();
        assert!(shell(THAW, &[text, "0", "another"]).status.success());
        assert!(note.exists(), "it is the end of another freeze");
        assert!(shell(THAW, &[text, "0"]).status.success());
        for process in [&one, &two] {
            let goes_on = process.wait(WaitPidFlag::WCONTINUED);
            assert!(matches!(goes_on, WaitStatus::Continued(_)), "{goes_on:?}");
        }
        assert!(!other.has_changed() && !note.exists());
    }

    #[test]
    fn a_pod_of_the_nodes_own_processes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("a.b");
        let process = Process::start();
        let script = format!("{BESIDE}{FREEZE}");
        let text = note.to_str().unwrap();
        let refused = shell(&script, &[text, "5", THAW, &process.number()]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("no processes of its own"), "{said}");
        assert!(!process.has_changed() && !note.exists());
    }
}
