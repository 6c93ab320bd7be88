//! What a container may do: its security context, and what of it cannot be had here.

use harness_kernel::container::{CONTAINER_DEFAULT_CAPABILITIES, is_known_capability};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use std::collections::BTreeSet;

/// The part of a security context that is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) capabilities: Vec<String>,
    pub(crate) no_new_privileges: bool,
    pub(crate) read_only_root: bool,
}

/// A security context asks for what cannot be had; the text is for the pod's owner.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecurityError {
    /// There is one user in a node's user namespace.
    #[error("runAsUser {0} is refused: a node of this cluster has only one user, 0")]
    User(i64),
    /// The same for groups.
    #[error("runAsGroup {0} is refused: a node of this cluster has only one group, 0")]
    Group(i64),
    /// Not root, where there is only root.
    #[error("runAsNonRoot is refused: a node of this cluster has only one user, 0")]
    NonRoot,
    /// More than a node itself has.
    #[error("privileged is refused: add the capabilities that are needed by name")]
    Privileged,
    /// A name that Linux does not know.
    #[error("capability `{0}` does not exist")]
    Capability(String),
}

/// Works out what a container of that image user may do.
pub(crate) fn resolve(
    pod: &PodSpec,
    container: &Container,
    image_user: &str,
) -> Result<Security, SecurityError> {
    let of_pod = pod.security_context.as_ref();
    let own = container.security_context.as_ref();
    let user = own
        .and_then(|own| own.run_as_user)
        .or(of_pod.and_then(|pod| pod.run_as_user));
    let group = own
        .and_then(|own| own.run_as_group)
        .or(of_pod.and_then(|pod| pod.run_as_group));
    let non_root = own
        .and_then(|own| own.run_as_non_root)
        .or(of_pod.and_then(|pod| pod.run_as_non_root));
    let image_user = image_user.split(':').next().unwrap_or_default();
    if let Some(user) = user
        .or_else(|| image_user.parse().ok())
        .filter(|user| *user != 0)
    {
        return Err(SecurityError::User(user));
    }
    if let Some(group) = group.filter(|group| *group != 0) {
        return Err(SecurityError::Group(group));
    }
    if non_root == Some(true) {
        return Err(SecurityError::NonRoot);
    }
    if own.and_then(|own| own.privileged) == Some(true) {
        return Err(SecurityError::Privileged);
    }
    let changes = own.and_then(|own| own.capabilities.as_ref());
    let dropped = changes
        .and_then(|changes| changes.drop.as_deref())
        .unwrap_or_default();
    let added = changes
        .and_then(|changes| changes.add.as_deref())
        .unwrap_or_default();
    let dropped = dropped
        .iter()
        .map(|name| plain(name))
        .collect::<BTreeSet<_>>();
    let mut kept: BTreeSet<String> = CONTAINER_DEFAULT_CAPABILITIES
        .iter()
        .filter(|name| !dropped.contains("ALL") && !dropped.contains(**name))
        .map(|name| (*name).to_owned())
        .collect();
    for name in added.iter().map(|name| plain(name)) {
        if !is_known_capability(&name) {
            return Err(SecurityError::Capability(name));
        }
        kept.insert(name);
    }
    Ok(Security {
        capabilities: kept.into_iter().collect(),
        no_new_privileges: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        read_only_root: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
    })
}

fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(context: serde_json::Value) -> Result<Security, SecurityError> {
        let container =
            serde_json::from_value(json!({"name": "c", "securityContext": context})).unwrap();
        resolve(&PodSpec::default(), &container, "")
    }

    #[test]
    fn capabilities_are_added_and_dropped_by_name() {
        let all_but =
            of(json!({"capabilities": {"drop": ["ALL"], "add": ["CAP_NET_ADMIN"]}})).unwrap();
        assert_eq!(all_but.capabilities, ["NET_ADMIN"]);
        let less = of(json!({"capabilities": {"drop": ["chown"]}})).unwrap();
        assert!(!less.capabilities.contains(&"CHOWN".to_owned()));
        assert_eq!(
            less.capabilities.len(),
            CONTAINER_DEFAULT_CAPABILITIES.len() - 1
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        assert_eq!(
            of(json!({"runAsUser": 1000})),
            Err(SecurityError::User(1000))
        );
        assert_eq!(
            of(json!({"runAsNonRoot": true})),
            Err(SecurityError::NonRoot)
        );
        assert_eq!(
            of(json!({"privileged": true})),
            Err(SecurityError::Privileged)
        );
        assert!(of(json!({"runAsUser": 0})).is_ok());
        assert_eq!(
            resolve(&PodSpec::default(), &Container::default(), "65532:65532"),
            Err(SecurityError::User(65532))
        );
    }
}
