//! What scenario files may say is what the API of the reference mesh takes, no more and no less.

use harness_model::configuration::limits;
use serde_json::Value;

#[test]
fn limits_of_configurations_are_those_of_the_api() {
    let mesh = &fixtures::meshes::ALL[0];
    let mut files = mesh.files.iter();
    let file = files.find(|(name, _)| name.ends_with("policyconfigs.yaml"));
    let (_, text) = file.expect("the mesh has its resource definitions");
    let definition: Value = serde_saphyr::from_str(text).expect("it is YAML");
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let rule = "rules/items/properties";
    for (path, limit) in [
        (
            "toggles/maxProperties".to_owned(),
            limits::TOGGLES.to_string(),
        ),
        (
            "toggles/additionalProperties/maxLength".to_owned(),
            limits::TOGGLE_VALUE.to_string(),
        ),
        ("rules/maxItems".to_owned(), limits::RULES.to_string()),
        (
            format!("{rule}/to/maxItems"),
            limits::DESTINATIONS.to_string(),
        ),
        (
            format!("{rule}/to/items/properties/weight/maximum"),
            limits::WEIGHT.to_string(),
        ),
        (
            format!("{rule}/match/properties/headers/maxItems"),
            limits::HEADERS.to_string(),
        ),
        (
            format!("{rule}/match/properties/headers/items/properties/name/maxLength"),
            limits::HEADER_NAME.to_string(),
        ),
        (
            format!("{rule}/match/properties/headers/items/properties/value/maxLength"),
            limits::HEADER_VALUE.to_string(),
        ),
        (
            format!("{rule}/match/properties/pathPrefix/maxLength"),
            limits::PATH.to_string(),
        ),
        (
            format!("{rule}/match/properties/pathRegex/maxLength"),
            limits::PATH.to_string(),
        ),
        (
            format!("{rule}/timeoutMs/maximum"),
            limits::TIMEOUT_MS.to_string(),
        ),
        (
            format!("{rule}/retry/properties/times/maximum"),
            limits::RETRIES.to_string(),
        ),
        (
            format!("{rule}/retry/properties/statuses/maxItems"),
            limits::STATUSES.to_string(),
        ),
        (
            "tls/properties/allow/maxItems".to_owned(),
            limits::CALLERS.to_string(),
        ),
    ] {
        let stated = definition.pointer(&format!("{schema}/{path}"));
        // Some of them are written as fractions, 10.0 for instance.
        let number = stated.and_then(Value::as_f64);
        let number = number.map(|number| number.to_string());
        assert_eq!(number, Some(limit), "{path}");
    }
}
