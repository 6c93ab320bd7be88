//! From a container of a pod to the order for its shim: image, command, environment, mounts, security.

use crate::environment::{self, expand};
use crate::limits;
use crate::mounts;
use crate::pod_context::PodContext;
use crate::security;
use harness_images::store::Image;
use harness_kernel::container::{ContainerSpec, ProcessSpec};
use harness_kernel::control_group::Group;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use std::error::Error;
use std::path::PathBuf;

/// A container cannot be started for now: the reason and message of its waiting state.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    fn configuration(error: &dyn Error) -> Self {
        Self {
            reason: "CreateContainerConfigError",
            message: chain(error),
        }
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Works out how a container is started, and makes its control group. `run` numbers its starts.
pub(crate) async fn prepare(
    context: &PodContext,
    container: &Container,
    run: i32,
) -> Result<(ContainerSpec, Image, Option<Group>), Refusal> {
    let pod = context.pod();
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let name = container.image.as_deref().unwrap_or_default();
    let image = context
        .node
        .images
        .resolve(name)
        .await
        .map_err(|error| Refusal {
            reason: match container.image_pull_policy.as_deref() {
                Some("Never") => "ErrImageNeverPull",
                _ => "ErrImagePull",
            },
            message: chain(&error),
        })?;
    let security = security::resolve(spec, container, &image.user)
        .map_err(|error| Refusal::configuration(&error))?;
    let sources = environment::read_sources(context, container)
        .await
        .map_err(|error| Refusal::configuration(&error))?;
    let base = base_environment(context, &pod, &image);
    let variables = environment::resolve(&pod, container, &sources, base)
        .map_err(|error| Refusal::configuration(&error))?;
    let value = |name: &str| {
        variables
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let arguments = command(container, &image)
        .iter()
        .map(|argument| expand(argument, value))
        .collect();
    let own = context.folder.join("containers").join(&container.name);
    let mounts = mounts::of(context, container, &own, &variables)
        .map_err(|error| Refusal::configuration(&error))?;
    let working_directory = container
        .working_dir
        .clone()
        .filter(|folder| !folder.is_empty())
        .unwrap_or(image.working_dir.clone());
    let scratch = own.join(run.to_string());
    std::fs::create_dir_all(&scratch).map_err(|error| Refusal {
        reason: "CreateContainerError",
        message: format!("make {}: {error}", scratch.display()),
    })?;
    let network_namespace = context
        .sandbox
        .get()
        .map(|sandbox| sandbox.path())
        .unwrap_or_default();
    let group = limits::group(context, container, run)?;
    let order = ContainerSpec {
        network_namespace,
        hostname: host_name(&pod),
        rootfs: image.rootfs.clone(),
        scratch,
        read_only_root: security.read_only_root,
        mounts,
        process: ProcessSpec {
            arguments,
            environment: variables,
            working_directory: PathBuf::from(working_directory),
            capabilities: security.capabilities,
            no_new_privileges: security.no_new_privileges,
            control_groups: group.as_ref().map(Group::entrances).unwrap_or_default(),
        },
    };
    Ok((order, image, group))
}

/// The host name inside a pod.
pub(crate) fn host_name(pod: &Pod) -> String {
    let chosen = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let name = chosen
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    // Linux allows 64 bytes, and Kubernetes one less.
    name.chars().take(63).collect()
}

/// The file in which a container leaves its last words.
pub(crate) fn termination_log(context: &PodContext, container: &Container) -> PathBuf {
    context
        .folder
        .join("containers")
        .join(&container.name)
        .join("termination-log")
}

fn base_environment(context: &PodContext, pod: &Pod, image: &Image) -> Vec<(String, String)> {
    let mut base = image.env.clone();
    if !base.iter().any(|(name, _)| name == "PATH") {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        base.push(("PATH".to_owned(), path.to_owned()));
    }
    base.push(("HOSTNAME".to_owned(), host_name(pod)));
    if let Some((address, port)) = context.node.services.current().api_server() {
        base.push(("KUBERNETES_SERVICE_HOST".to_owned(), address.to_string()));
        base.push(("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string()));
        base.push(("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), port.to_string()));
    }
    base
}

fn command(container: &Container, image: &Image) -> Vec<String> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    match (given(&container.command), given(&container.args)) {
        (Some(command), arguments) => [command, arguments.unwrap_or_default()].concat(),
        (None, Some(arguments)) => [image.entrypoint.clone(), arguments].concat(),
        (None, None) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn command_of(container: serde_json::Value) -> String {
        let image = Image {
            digest: String::new(),
            rootfs: PathBuf::new(),
            entrypoint: vec!["entry".to_owned()],
            cmd: vec!["default".to_owned()],
            env: Vec::new(),
            working_dir: "/".to_owned(),
            user: String::new(),
        };
        command(&serde_json::from_value(container).unwrap(), &image).join(" ")
    }

    #[test]
    fn command_and_arguments_combine_as_in_kubernetes() {
        assert_eq!(command_of(json!({"name": "c"})), "entry default");
        assert_eq!(
            command_of(json!({"name": "c", "args": ["own"]})),
            "entry own"
        );
        assert_eq!(command_of(json!({"name": "c", "command": ["own"]})), "own");
        assert_eq!(
            command_of(json!({"name": "c", "command": ["a"], "args": ["b"]})),
            "a b"
        );
    }

    #[test]
    fn host_names_fit() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "x".repeat(80)}})).unwrap();
        assert_eq!(host_name(&pod).len(), 63);
    }
}
