//! The downward API's `resourceFieldRef`: what a container may use, as a number in its environment or in a file.
//!
//! Programs size themselves by them, whether limits are in force or not.

use crate::environment::EnvironmentError;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// What the node says it has: resource and quantity. A container without a limit may use all of it.
pub(crate) fn of_the_node() -> [(&'static str, String); 3] {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    [
        ("cpu", processors.max(8).to_string()),
        ("memory", "16Gi".to_owned()),
        ("ephemeral-storage", "32Gi".to_owned()),
    ]
}

/// The value of a field such as `limits.memory`, in units of its divisor, rounded up. `own` is the container that asks,
/// for itself unless the selector names another.
pub(crate) fn value(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
) -> Result<String, EnvironmentError> {
    let field = &selector.resource;
    let unsupported = || EnvironmentError::Unsupported(format!("resource field `{field}`"));
    let container = match &selector.container_name {
        Some(name) => named(pod, name),
        None => own,
    };
    let resources = container
        .ok_or_else(unsupported)?
        .resources
        .clone()
        .unwrap_or_default();
    let stated = |of: Option<BTreeMap<String, Quantity>>, resource: &str| {
        of.and_then(|of| of.get(resource).map(|quantity| quantity.0.clone()))
    };
    let quantity = match field.split_once('.') {
        Some(("limits", resource)) => stated(resources.limits, resource).or_else(|| {
            let mut of_the_node = of_the_node().into_iter();
            of_the_node.find_map(|(name, quantity)| (name == resource).then_some(quantity))
        }),
        Some(("requests", resource)) => {
            Some(stated(resources.requests, resource).unwrap_or_else(|| "0".to_owned()))
        }
        _ => None,
    };
    let thousandths = quantity
        .and_then(|quantity| thousandths(&quantity))
        .ok_or_else(unsupported)?;
    let divisor = selector
        .divisor
        .as_ref()
        .and_then(|divisor| self::thousandths(&divisor.0))
        .filter(|divisor| *divisor > 0)
        .unwrap_or(1000);
    Ok(round_up(thousandths, divisor).to_string())
}

fn named<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    let inits = spec.init_containers.iter().flatten();
    inits
        .chain(&spec.containers)
        .find(|container| container.name == name)
}

/// A quantity such as `1.5Gi`, `250m` or `1e3` in thousandths, rounded up.
pub(crate) fn thousandths(quantity: &str) -> Option<i128> {
    let is_of_number = |char: char| char.is_ascii_digit() || char == '.';
    let end = quantity
        .find(|char| !is_of_number(char))
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (times, per): (i128, i128) = match unit {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    };
    let decimals = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let over = digits.checked_mul(times)?.checked_mul(1000)?;
    Some(round_up(over, per.checked_mul(decimals)?))
}

fn round_up(value: i128, by: i128) -> i128 {
    value / by + i128::from(value % by > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_in_every_form() {
        let table = [
            ("2", 2_000),
            ("250m", 250),
            ("1.5", 1_500),
            ("1.5Gi", 1_610_612_736_000),
            ("64M", 64_000_000_000),
            ("1e3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("100n", 1),
        ];
        for (text, value) in table {
            assert_eq!(thousandths(text), Some(value), "{text}");
        }
        assert_eq!(thousandths("many"), None);
    }

    #[test]
    fn fields_are_counted_in_units_of_the_divisor() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "main", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}},
            {"name": "free"},
        ]}}))
        .unwrap();
        let of = |container: &str, selector: serde_json::Value| {
            let selector = serde_json::from_value(selector).unwrap();
            value(&pod, named(&pod, container), &selector)
        };
        assert_eq!(of("main", json!({"resource": "limits.cpu"})).unwrap(), "2");
        let milli = json!({"resource": "limits.cpu", "divisor": "1m"});
        assert_eq!(of("main", milli).unwrap(), "1500");
        let mebi = json!({"resource": "limits.memory", "divisor": "1Mi"});
        assert_eq!(of("main", mebi.clone()).unwrap(), "64");
        assert_eq!(of("free", mebi).unwrap(), "16384", "all of the node");
        let request = json!({"resource": "requests.cpu", "divisor": "0"});
        assert_eq!(of("free", request).unwrap(), "0");
        let other = json!({"resource": "limits.cpu", "divisor": "1m", "containerName": "main"});
        assert_eq!(of("free", other).unwrap(), "1500");
        assert!(of("main", json!({"resource": "limits.magic"})).is_err());
    }
}
