//! Which workload of the reference mesh speaks which form of xDS.

use super::*;
use std::collections::BTreeSet;

#[test]
fn with_both_forms_of_xds_each_application_and_each_data_center_has_both() {
    let mut definition = MeshDefinition::load("reference").unwrap();
    definition
        .variables
        .insert("xds".to_owned(), "mixed".to_owned());
    let file = "workloads.yaml";
    let text = context(&definition)
        .render_manifest(&definition, file, None)
        .unwrap();
    let mut forms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in manifest::parse(file, &text, "r1").unwrap() {
        let template = &object.data["spec"]["template"];
        let labels = &template["metadata"]["labels"];
        // Neither is there for what is no Deployment, and canaries have no home.
        let (Some(application), Some(home)) = (labels["app"].as_str(), labels["home"].as_str())
        else {
            continue;
        };
        let containers = template["spec"]["initContainers"].as_array().unwrap();
        let mut variables = containers
            .iter()
            .filter_map(|container| container["env"].as_array())
            .flatten();
        let form = variables.find(|variable| variable["name"] == "XDS_FORM");
        let form = form.and_then(|form| form["value"].as_str()).unwrap();
        let whose = [
            application.to_owned(),
            home.to_owned(),
            format!("{application}@{home}"),
        ];
        for one in whose {
            forms.entry(one).or_default().insert(form.to_owned());
        }
    }
    let both: BTreeSet<String> = ["delta", "sotw"].map(str::to_owned).into();
    for one in [
        "frontend",
        "checkout",
        "inventory",
        "zone-a",
        "zone-b",
        "zone-c",
    ] {
        assert_eq!(forms[one], both, "{one}");
    }
    // Whom `delivery-scope/rejected` addresses: the seeded bug `delta-rejections-ignored` shows nowhere else.
    assert!(forms["checkout@zone-a"].contains("delta"), "{forms:?}");
    // Who goes on knowing a service with `delta-keeps-removed`: of the callers in `routing/service-withdrawn` this one alone.
    assert!(forms["frontend@zone-b"].contains("delta"), "{forms:?}");
}
