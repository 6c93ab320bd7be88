//! Images that nodes pull by a tag, which may mean another image tomorrow: nodes look again each time.

use kube::api::DynamicObject;
use serde_json::Value;
use std::collections::BTreeSet;

/// Has the containers that are of one of these images pull it each time, unless a digest says which it is.
pub(crate) fn each_time(objects: &mut [DynamicObject], pulled: &BTreeSet<String>) {
    for object in objects {
        in_value(&mut object.data, pulled);
    }
}

fn in_value(value: &mut Value, pulled: &BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| in_value(item, pulled)),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::Array(containers) if is_containers(name) => {
                        for container in containers {
                            in_container(container, pulled);
                        }
                    }
                    value => in_value(value, pulled),
                }
            }
        }
        _ => {}
    }
}

fn is_containers(field: &str) -> bool {
    ["containers", "initContainers"].contains(&field)
}

fn in_container(container: &mut Value, pulled: &BTreeSet<String>) {
    let image = container["image"].as_str().unwrap_or_default();
    if pulled.contains(image) && !image.contains('@') {
        container["imagePullPolicy"] = Value::from("Always");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_pulled_by_a_tag_is_pulled_each_time() {
        let digest = format!("r.example/c@sha256:{}", "0".repeat(64));
        let container = |image: &str| json!({ "image": image, "imagePullPolicy": "IfNotPresent" });
        let mut objects: Vec<DynamicObject> = vec![
            serde_json::from_value(json!({
                "metadata": {"name": "a"},
                "spec": {"template": {"spec": {
                    "initContainers": [container("r.example/a:1"), container("ours:dev")],
                    "containers": [container("r.example/b:1"), container(&digest)],
                }}},
            }))
            .unwrap(),
        ];
        let pulled = ["r.example/a:1", "r.example/b:1", &digest];
        each_time(&mut objects, &pulled.map(str::to_owned).into());
        let spec = &objects[0].data["spec"]["template"]["spec"];
        let policies = |field: &str| -> Vec<&str> {
            let containers = spec[field].as_array().unwrap().iter();
            containers
                .map(|container| container["imagePullPolicy"].as_str().unwrap())
                .collect()
        };
        assert_eq!(policies("initContainers"), ["Always", "IfNotPresent"]);
        assert_eq!(policies("containers"), ["Always", "IfNotPresent"]);
    }
}
