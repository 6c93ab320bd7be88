//! The environment of a container: values, references, `$(NAME)`.

use crate::pod_context::PodContext;
use crate::resource_fields;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, ObjectFieldSelector, Pod, Secret};
use kube::Api;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The environment or the command of a container cannot be worked out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// An object cannot be read.
    #[error("read {kind} `{name}`")]
    Read {
        kind: &'static str,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server refuses to give an object, most often because there is none.
    #[error("read {kind} `{name}`: {answer}")]
    Refused {
        kind: &'static str,
        name: String,
        answer: String,
    },
    /// An object has no such key.
    #[error("find key `{key}` in {kind} `{name}`")]
    Key {
        kind: &'static str,
        name: String,
        key: String,
    },
    /// A reference that this kubelet does not follow.
    #[error("{0} is not supported")]
    Unsupported(String),
}

/// What references are resolved against.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) pod_address: Option<Ipv4Addr>,
    pub(crate) node_address: Option<Ipv4Addr>,
}

/// Reads every object that the environment refers to. An optional one that does not exist is empty.
pub(crate) async fn read_sources(
    context: &PodContext,
    container: &Container,
) -> Result<Sources, EnvironmentError> {
    let mut sources = Sources {
        pod_address: context.facts.borrow().address,
        node_address: Some(context.node.config.internal_ip),
        ..Sources::default()
    };
    let mut config_maps = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        if let Some(reference) = &from.config_map_ref {
            config_maps.insert(reference.name.clone(), reference.optional == Some(true));
        }
        if let Some(reference) = &from.secret_ref {
            secrets.insert(reference.name.clone(), reference.optional == Some(true));
        }
    }
    for from in container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref())
    {
        if let Some(reference) = &from.config_map_key_ref {
            config_maps.insert(reference.name.clone(), reference.optional == Some(true));
        }
        if let Some(reference) = &from.secret_key_ref {
            secrets.insert(reference.name.clone(), reference.optional == Some(true));
        }
    }
    for (name, optional) in config_maps {
        let data = read_config_map(context, &name, optional).await?;
        sources
            .config_maps
            .insert(name, data.and_then(|map| map.data).unwrap_or_default());
    }
    for (name, optional) in secrets {
        let data = read_secret(context, &name, optional)
            .await?
            .and_then(|secret| secret.data);
        let text = |(key, ByteString(value)): (String, ByteString)| {
            (key, String::from_utf8_lossy(&value).into_owned())
        };
        sources.secrets.insert(
            name,
            data.unwrap_or_default().into_iter().map(text).collect(),
        );
    }
    Ok(sources)
}

/// A config map of the pod's namespace.
pub(crate) async fn read_config_map(
    context: &PodContext,
    name: &str,
    optional: bool,
) -> Result<Option<ConfigMap>, EnvironmentError> {
    let api = Api::namespaced(context.node.client.clone(), &context.namespace);
    read(api, "configmap", name, optional).await
}

/// A secret of the pod's namespace.
pub(crate) async fn read_secret(
    context: &PodContext,
    name: &str,
    optional: bool,
) -> Result<Option<Secret>, EnvironmentError> {
    let api = Api::namespaced(context.node.client.clone(), &context.namespace);
    read(api, "secret", name, optional).await
}

async fn read<K>(
    api: Api<K>,
    kind: &'static str,
    name: &str,
    optional: bool,
) -> Result<Option<K>, EnvironmentError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.get(name).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if optional && status.code == 404 => Ok(None),
        // The whole answer is more than an event should say.
        Err(kube::Error::Api(status)) => Err(EnvironmentError::Refused {
            kind,
            name: name.to_owned(),
            answer: status.message.clone(),
        }),
        Err(error) => Err(EnvironmentError::Read {
            kind,
            name: name.to_owned(),
            source: Box::new(error),
        }),
    }
}

/// The container's variables in order, on top of `base` (the image's, then the cluster's own).
pub(crate) fn resolve(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    base: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let mut variables = Variables(base);
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let data = from
            .config_map_ref
            .as_ref()
            .and_then(|reference| sources.config_maps.get(&reference.name))
            .into_iter()
            .chain(
                from.secret_ref
                    .as_ref()
                    .and_then(|reference| sources.secrets.get(&reference.name)),
            );
        for (key, value) in data.flatten() {
            variables.set(&format!("{prefix}{key}"), value.clone());
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(pod, container, variable, sources, &variables)? {
            variables.set(&variable.name, value);
        }
    }
    Ok(variables.0)
}

fn value_of(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    sources: &Sources,
    earlier: &Variables,
) -> Result<Option<String>, EnvironmentError> {
    let Some(from) = &variable.value_from else {
        let value = variable.value.as_deref().unwrap_or_default();
        return Ok(Some(expand(value, |name| earlier.get(name))));
    };
    if let Some(field) = &from.field_ref {
        return field_value(pod, field, sources).map(Some);
    }
    if let Some(field) = &from.resource_field_ref {
        return resource_fields::value(pod, Some(container), field).map(Some);
    }
    let (kind, objects, name, key, optional) =
        match (&from.config_map_key_ref, &from.secret_key_ref) {
            (Some(from), _) => (
                "configmap",
                &sources.config_maps,
                &from.name,
                &from.key,
                from.optional,
            ),
            (None, Some(from)) => (
                "secret",
                &sources.secrets,
                &from.name,
                &from.key,
                from.optional,
            ),
            (None, None) => {
                let what = format!("fileKeyRef of variable `{}`", variable.name);
                return Err(EnvironmentError::Unsupported(what));
            }
        };
    match objects.get(name).and_then(|data| data.get(key)) {
        Some(value) => Ok(Some(value.clone())),
        None if optional == Some(true) => Ok(None),
        None => Err(EnvironmentError::Key {
            kind,
            name: name.clone(),
            key: key.clone(),
        }),
    }
}

/// What the downward API says about a field of the pod.
pub(crate) fn field_value(
    pod: &Pod,
    field: &ObjectFieldSelector,
    sources: &Sources,
) -> Result<String, EnvironmentError> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let path = field.field_path.as_str();
    let address = |address: Option<Ipv4Addr>| address.map(|ip| ip.to_string()).unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(EnvironmentError::Unsupported(format!("field `{path}`"))),
        };
        return Ok(map
            .as_ref()
            .and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "metadata.labels" => Some(pairs(metadata.labels.as_ref())),
        "metadata.annotations" => Some(pairs(metadata.annotations.as_ref())),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => Some(address(sources.pod_address)),
        "status.hostIP" | "status.hostIPs" => Some(address(sources.node_address)),
        _ => return Err(EnvironmentError::Unsupported(format!("field `{path}`"))),
    };
    Ok(value.unwrap_or_default())
}

/// `("metadata.labels", "app")` of `metadata.labels['app']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// A map as a downward API file has it.
fn pairs(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value:?}\n"))
        .collect()
}

/// Replaces `$(NAME)` by the variable's value; what is not known stays, and `$$` is one dollar.
pub(crate) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("$$") {
            expanded.push('$');
            rest = &rest[2..];
        } else if let Some((name, after)) = rest
            .strip_prefix("$(")
            .and_then(|inside| inside.split_once(')'))
        {
            match value(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&rest[..name.len() + 3]),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded.push_str(rest);
    expanded
}

/// Variables in the order in which they were set first.
struct Variables(Vec<(String, String)>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resolve_json(pod: serde_json::Value, container: serde_json::Value) -> Vec<String> {
        let sources = Sources {
            config_maps: BTreeMap::from([(
                "map".to_owned(),
                BTreeMap::from([("key".to_owned(), "of the map".to_owned())]),
            )]),
            pod_address: Some(Ipv4Addr::new(10, 1, 2, 3)),
            ..Sources::default()
        };
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let container: Container = serde_json::from_value(container).unwrap();
        let base = vec![("PATH".to_owned(), "/bin".to_owned())];
        resolve(&pod, &container, &sources, base)
            .unwrap()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn references_and_expansion() {
        let pod = json!({
            "metadata": {"name": "a", "labels": {"app": "shop"}},
            "spec": {"nodeName": "n1", "containers": []},
        });
        let container = json!({"name": "c",
            "envFrom": [{"prefix": "M_", "configMapRef": {"name": "map"}}],
            "env": [
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "key"}}},
                {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "x", "optional": true}}},
                {"name": "URL", "value": "http://$(IP):80/$(LATER)/$$(IP)"},
                {"name": "PATH", "value": "/opt:$(PATH)"},
            ],
        });
        assert_eq!(
            resolve_json(pod, container),
            [
                "PATH=/opt:/bin",
                "M_key=of the map",
                "APP=shop",
                "IP=10.1.2.3",
                "NODE=n1",
                "KEY=of the map",
                "URL=http://10.1.2.3:80/$(LATER)/$(IP)"
            ]
        );
    }

    #[test]
    fn a_dollar_alone_stays() {
        assert_eq!(expand("$ $( $x $", |_| None), "$ $( $x $");
    }

    #[test]
    fn what_is_missing_is_named() {
        let container: Container = serde_json::from_value(json!({"name": "c", "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}))
        .unwrap();
        let error =
            resolve(&Pod::default(), &container, &Sources::default(), Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "find key `k` in secret `s`");
    }
}
