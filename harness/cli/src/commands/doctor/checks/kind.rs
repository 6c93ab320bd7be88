//! What `--cluster kind` needs. The local cluster needs none of it, so nothing here is missing: it is a warning.

use super::super::Check;
use harness_cluster::kind;

/// What kind recommends for clusters with several nodes, and its usual defaults are below.
const INSTANCES: u64 = 512;
const WATCHES: u64 = 65_536;

/// All of them.
pub(super) fn all() -> Vec<Check> {
    vec![engine(), inotify()]
}

fn engine() -> Check {
    let name = "container engine";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let found = match runtime {
        Ok(runtime) => runtime.block_on(kind::check_engine()),
        Err(error) => return Check::warning(name, error.to_string(), "look at it yourself"),
    };
    match found {
        Ok(engine) => Check::ok(name, format!("{engine} answers, for --cluster kind")),
        Err(error) => {
            let reason = std::error::Error::source(&error)
                .map(|source| source.to_string())
                .and_then(|text| text.lines().last().map(str::to_owned))
                .unwrap_or_default();
            Check::warning(
                name,
                format!("none for --cluster kind: {reason}"),
                error
                    .hint
                    .unwrap_or_else(|| "install Docker or Podman".to_owned()),
            )
        }
    }
}

/// Each node of a kind cluster runs a whole systemd, kubelet and containerd as the same user.
fn inotify() -> Check {
    let name = "inotify";
    let limits = ["max_user_instances", "max_user_watches"].map(kind::inotify_limit);
    let [Some(instances), Some(watches)] = limits else {
        return Check::warning(name, "the limits are not told", "mount /proc");
    };
    let found = format!("{instances} instances, {watches} watches");
    if instances >= INSTANCES && watches >= WATCHES {
        return Check::ok(name, found);
    }
    // What is enough already must not be lowered.
    let (instances, watches) = (instances.max(INSTANCES), watches.max(WATCHES));
    Check::warning(
        name,
        found,
        format!(
            "enough for one small cluster, embedded or of kind; for more: sysctl -w fs.inotify.max_user_instances={instances} fs.inotify.max_user_watches={watches}"
        ),
    )
}
