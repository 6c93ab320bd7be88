//! The mesh's own word on who got a configuration.

use crate::definition::StatusForm;
use harness_model::history::DeliveryStatus;
use kube::api::DynamicObject;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads the status of an object; none while there is none.
pub(crate) fn read(
    object: &DynamicObject,
    form: &StatusForm,
) -> Result<Option<DeliveryStatus>, String> {
    if object.data.get("status").is_none_or(Value::is_null) {
        return Ok(None);
    }
    let number = |pointer: &str| match object.data.pointer(pointer) {
        // Counters may be left out while they are zero.
        None | Some(Value::Null) => Ok(0),
        Some(value) => value
            .as_u64()
            .ok_or_else(|| format!("{pointer} is {value}, which is no count")),
    };
    let generation_at = |pointer: &str| {
        object
            .data
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let mut rejected = BTreeMap::new();
    for entry in object
        .data
        .pointer(&form.rejected)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        let pod = text(&form.rejected_pod)
            .ok_or_else(|| format!("an entry of {} names no pod", form.rejected))?;
        let message = text(&form.rejected_message).unwrap_or_default();
        // One pod may have rejected several types of resources.
        rejected
            .entry(pod.to_owned())
            .and_modify(|all: &mut String| {
                all.push_str("; ");
                all.push_str(message);
            })
            .or_insert_with(|| message.to_owned());
    }
    Ok(Some(DeliveryStatus {
        observed_generation: generation_at(&form.observed_generation),
        generation: object.metadata.generation.unwrap_or_default(),
        matched: number(&form.matched)?,
        delivered: number(&form.delivered)?,
        acknowledged: number(&form.acknowledged)?,
        rejected,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form() -> StatusForm {
        StatusForm {
            kind: "PolicyConfig".to_owned(),
            observed_generation: "/status/observedGeneration".to_owned(),
            matched: "/status/matched".to_owned(),
            delivered: "/status/delivered".to_owned(),
            acknowledged: "/status/acknowledged".to_owned(),
            rejected: "/status/rejected".to_owned(),
            rejected_pod: "pod".to_owned(),
            rejected_message: "message".to_owned(),
        }
    }

    fn object(status: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "x/v1", "kind": "PolicyConfig",
            "metadata": {"name": "a", "generation": 3},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_missing_status_is_no_status_and_not_zero() {
        assert_eq!(read(&object(&Value::Null), &form()), Ok(None));
    }

    #[test]
    fn counters_and_rejections_are_read() {
        let status = json!({
            "observedGeneration": 2, "matched": 3, "delivered": 3, "acknowledged": 2,
            "rejected": [{"pod": "checkout-1", "message": "bad regex"}],
        });
        let read = read(&object(&status), &form()).unwrap().unwrap();
        assert_eq!((read.observed_generation, read.generation), (2, 3));
        assert_eq!((read.matched, read.acknowledged), (3, 2));
        assert_eq!(read.rejected["checkout-1"], "bad regex");
    }

    #[test]
    fn a_counter_that_is_no_number_is_an_error() {
        assert!(read(&object(&json!({"matched": "many"})), &form()).is_err());
    }
}
