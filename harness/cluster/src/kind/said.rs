//! What kind and container engines say, and what it means to people.

use super::engine::CHOICE;
use crate::ClusterError;

/// How much of what a program said goes into an error.
const LINES: usize = 12;

/// One of kind's progress lines (` • Preparing nodes 📦  ...`) without its ornaments; none for the others.
pub(super) fn step(line: &str) -> Option<String> {
    let text = line.trim().strip_prefix('•')?;
    let plain: String = text.chars().filter(char::is_ascii).collect();
    let plain = plain.trim().trim_end_matches('.').trim();
    (!plain.is_empty()).then(|| format!("kind: {plain}"))
}

/// The node in kind's last word, `ERROR: ... command "docker exec --privileged NODE kubeadm join ...`.
pub(super) fn failed_node(lines: &[String]) -> Option<String> {
    let error = lines.iter().find(|line| line.starts_with("ERROR:"))?;
    let (_, command) = error.split_once("command \"")?;
    let (before, _) = command.split_once(" kubeadm ")?;
    before.split_whitespace().last().map(str::to_owned)
}

/// Kind's last word is that a cluster of this name is there already. It looks before it makes anything.
pub(super) fn is_taken(lines: &[String]) -> bool {
    lines.iter().any(|line| {
        line.starts_with("ERROR:") && line.contains("already exist for a cluster with the name")
    })
}

/// Lines that say something: not kind's progress, not which engine we have chosen for it, not kubeadm's log, no stack traces.
pub(super) fn telling<'a>(lines: impl Iterator<Item = &'a String>) -> Vec<String> {
    let is_log = |line: &str| {
        let mut first = line.chars();
        first.next().is_some_and(|level| "IWE".contains(level))
            && first.next().is_some_and(|digit| digit.is_ascii_digit())
    };
    let lines: Vec<&String> = lines.filter(|line| !line.trim().is_empty()).collect();
    let is_trace = |number: usize, line: &str| {
        let place =
            |line: &str| line.starts_with('\t') && (line.contains(".go:") || line.contains(".s:"));
        let next = lines.get(number + 1);
        place(line) || !line.contains(' ') && next.is_some_and(|next| place(next))
    };
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.ends_with(CHOICE))
        .filter(|(number, line)| !is_log(line) && !is_trace(*number, line) && !is_step(line))
        .map(|(_, line)| (*line).clone())
        .collect()
}

/// Whether kind says with this line how far it is.
fn is_step(line: &str) -> bool {
    line.trim().starts_with(['•', '✓', '✗'])
}

pub(super) fn last_of(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Adds what the user can do about it, where the text tells.
pub(super) fn explained(error: ClusterError) -> ClusterError {
    match hint_for(&reason(&error)) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Why something failed, without what was tried.
pub(super) fn reason(error: &ClusterError) -> String {
    let reason = error.source.as_ref().map(ToString::to_string);
    reason.unwrap_or_default()
}

/// What can be done about something that kind or an engine said.
pub(super) fn hint_for(text: &str) -> Option<&'static str> {
    let hints = [
        (
            "OCI permission denied",
            "the engine was refused what nodes need of the kernel, as its last words say: its user lacks a right or a limit that other machines give",
        ),
        (
            "permission denied",
            "you may not use the engine: join its group (`docker`), or use a rootless engine",
        ),
        (
            "Cannot connect to the Docker daemon",
            "start the engine (`systemctl start docker`), or name one with DOCKER_HOST",
        ),
        (
            "cannot access containerd socket",
            "start containerd (`systemctl start containerd`), or name its socket with CONTAINERD_ADDRESS or in the file of NERDCTL_TOML",
        ),
        (
            "rootless containerd not running",
            "start the rootless engine (`containerd-rootless-setuptool.sh install`), or run as root",
        ),
        (
            "some missing paths: /sys/fs/cgroup",
            "the node sees control groups of version 1 that were not there when it began: kind gives nodes of nerdctl no control-group namespace; use Docker, or a machine with version 2",
        ),
        (
            "already exist",
            "another kind cluster has this name; choose another one, or remove it with `kind delete cluster`",
        ),
        (
            "pull image",
            "the node image is not on this machine and cannot be fetched; name one that is there with --node-image",
        ),
        (
            "no space left",
            "make room on the disk that the engine keeps its images on",
        ),
        (
            "too many open files",
            "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches",
        ),
    ];
    hints
        .into_iter()
        .find(|(part, _)| text.contains(part))
        .map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nerdctl_and_its_nodes_say_has_a_hint_of_its_own() {
        for (said, hint) in [
            (
                r#"level=fatal msg="cannot access containerd socket \"/run/containerd/containerd.sock\": no such file or directory""#,
                "CONTAINERD_ADDRESS",
            ),
            (
                r#"level=fatal msg="rootless containerd not running? (hint: use `containerd-rootless-setuptool.sh install`""#,
                "run as root",
            ),
            (
                r#"err="failed to run Kubelet: invalid configuration: cgroup [\"kubelet\"] has some missing paths: /sys/fs/cgroup/hugetlb/kubelet.slice""#,
                "version 2",
            ),
        ] {
            assert!(hint_for(said).unwrap().contains(hint), "{said}");
        }
    }

    #[test]
    fn a_name_that_somebody_else_has_is_told_from_what_else_exists() {
        let said = |line: &str| is_taken(&[line.to_owned()]);
        assert!(said(
            "ERROR: failed to create cluster: node(s) already exist for a cluster with the name \"meshproof-dev\""
        ));
        // kind has made something by then.
        assert!(!said(
            "ERROR: failed to create cluster: a network with name kind already exists"
        ));
    }

    #[test]
    fn progress_is_told_without_ornaments() {
        assert_eq!(
            step(" • Preparing nodes 📦 📦  ...").as_deref(),
            Some("kind: Preparing nodes")
        );
        assert_eq!(step(" ✓ Preparing nodes 📦"), None);
        assert_eq!(step("ERROR: failed"), None);
    }

    #[test]
    fn the_node_at_which_kind_gave_up_is_told_with_what_kubeadm_said() {
        let lines: Vec<String> = "\
 • Joining worker nodes 🚜  ...
 ✗ Joining worker nodes 🚜
ERROR: failed to create cluster: failed to join node with kubeadm: command \"docker exec --privileged meshproof-dev-worker2 kubeadm join --config /kind/kubeadm.conf --v=6\" failed with error: exit status 1
Command Output: I1125 23:35:01.1 134 join.go:425] [preflight] found NodeName empty
[kubelet-check] The kubelet is not healthy after 4m0.001988068s

error: timeout
k8s.io/kubernetes/cmd/kubeadm/app/cmd/phases/workflow.(*Runner).Run.func1
\tk8s.io/kubernetes/cmd/kubeadm/app/cmd/phases/workflow/runner.go:262
runtime.goexit
\truntime/asm_amd64.s:1771
I1125 23:39:01.1 134 kubelet.go:1] waiting"
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            failed_node(&lines).as_deref(),
            Some("meshproof-dev-worker2")
        );
        let told = telling(lines.iter());
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].starts_with("ERROR:") && told[3] == "error: timeout");
        for without in [
            "ERROR: node(s) already exist",
            "ERROR: failed to generate kubeadm config content: failed to get file: command \"podman exec dev cat /kind/version\" failed",
        ] {
            assert_eq!(failed_node(&[without.to_owned()]), None);
        }
    }
}
