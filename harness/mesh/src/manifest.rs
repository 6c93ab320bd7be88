//! Rendered manifests as Kubernetes objects.

use crate::RUN_LABEL;
use crate::error::DeployMeshError;
use kube::api::DynamicObject;
use serde_json::Value;

/// Reads the documents of a rendered manifest and labels them as ours. Empty documents are passed over.
pub(crate) fn parse(
    file: &str,
    text: &str,
    run: &str,
) -> Result<Vec<DynamicObject>, DeployMeshError> {
    let wrong = |message: String| DeployMeshError::Manifest {
        file: file.to_owned(),
        message,
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| wrong(error.to_string()))?;
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| {
            let mut object: DynamicObject =
                serde_json::from_value(document).map_err(|error| wrong(error.to_string()))?;
            if object.types.is_none() || object.metadata.name.is_none() {
                return Err(wrong(
                    "a document without apiVersion, kind or metadata.name".to_owned(),
                ));
            }
            object
                .metadata
                .labels
                .get_or_insert_default()
                .insert(RUN_LABEL.to_owned(), run.to_owned());
            Ok(object)
        })
        .collect()
}

/// YAML as Kubernetes reads it: `y` and `on` are texts.
pub(crate) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_is_labelled_and_empty_ones_are_passed_over() {
        let text = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: b\n  labels: {x: y}\n";
        let objects = parse("n.yaml", text, "r1").unwrap();
        let names: Vec<_> = objects
            .iter()
            .map(|object| object.metadata.name.clone().unwrap())
            .collect();
        assert_eq!(names, ["a", "b"]);
        let labels = objects[1].metadata.labels.as_ref().unwrap();
        assert_eq!(labels["x"], "y");
        assert_eq!(labels[RUN_LABEL], "r1");
    }

    #[test]
    fn a_document_without_a_name_is_refused_with_its_file() {
        let error = parse("n.yaml", "apiVersion: v1\nkind: Namespace\n", "r1").unwrap_err();
        assert!(error.to_string().contains("n.yaml"), "{error}");
    }
}
