//! What a container may use: `resources.limits` of memory and processors, as a control group where the node can make some.
//!
//! Invariant: where it cannot, containers run without limits, and the node says so in a condition.

use crate::container_order::{Refusal, chain};
use crate::pod_context::PodContext;
use crate::resource_fields::thousandths;
use harness_kernel::control_group::{Group, Limits};
use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

/// The node's condition that says whether limits are in force.
const CONDITION: &str = "ResourceLimits";

/// Makes the group of a container's `run`-th start; none where it has no limits, or the node cannot make groups.
pub(crate) fn group(
    context: &PodContext,
    container: &Container,
    run: i32,
) -> Result<Option<Group>, Refusal> {
    let Ok(home) = &context.node.config.control_groups else {
        return Ok(None);
    };
    let name = format!("{}-{}-{run}", context.uid, container.name);
    home.group(&name, &limits(container))
        .map_err(|error| Refusal {
            reason: "CreateContainerError",
            message: chain(&error),
        })
}

/// Takes a container's group away, when its last process has ended.
pub(crate) fn remove(group: &Group) {
    if let Err(error) = group.remove() {
        // It goes with the cluster at the latest.
        tracing::warn!(%error, "a control group is not removed");
    }
}

fn limits(container: &Container) -> Limits {
    let stated = container.resources.as_ref();
    let stated = stated.and_then(|resources| resources.limits.as_ref());
    let of = |resource: &str| thousandths(&stated?.get(resource)?.0);
    // As in Kubernetes, a limit of nothing is none.
    let some = |value| u64::try_from(value).ok().filter(|value| *value > 0);
    Limits {
        memory: of("memory").and_then(|value| some(value / 1000)),
        cpu: of("cpu").and_then(some),
    }
}

/// Type, status, reason and message of the node's condition.
pub(crate) fn condition<T>(control_groups: &Result<T, String>) -> [Value; 4] {
    match control_groups {
        Ok(_) => [
            json!(CONDITION),
            json!("True"),
            json!("ControlGroupsWritable"),
            json!("limits of memory and processors are in force"),
        ],
        Err(reason) => [
            json!(CONDITION),
            json!("False"),
            json!("ControlGroupsNotWritable"),
            json!(format!("limits are not in force: {reason}")),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_bytes_and_thousandths_of_a_processor() {
        let of = |limits: Value| {
            let container = json!({"name": "c", "resources": {"limits": limits}});
            limits_of(&container)
        };
        let some = |memory, cpu| Limits { memory, cpu };
        assert_eq!(
            of(json!({"memory": "64Mi", "cpu": "1500m"})),
            some(Some(64 << 20), Some(1_500))
        );
        assert_eq!(of(json!({"memory": "1k"})), some(Some(1_000), None));
        assert_eq!(
            of(json!({"cpu": 2, "ephemeral-storage": "1Gi"})),
            some(None, Some(2_000))
        );
        assert_eq!(of(json!({"memory": "0", "cpu": "0"})), Limits::default());
        assert_eq!(limits_of(&json!({"name": "c"})), Limits::default());
    }

    fn limits_of(container: &Value) -> Limits {
        limits(&serde_json::from_value(container.clone()).expect("a container"))
    }
}
