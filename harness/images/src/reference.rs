//! Image references as people write them, brought to one form.

/// Brings an image reference to the form the store uses: no default registry, always a tag or digest.
///
/// `docker.io/meshproof/probe-app:dev` and `meshproof/probe-app:dev` name the same image; so do `busybox` and
/// `docker.io/library/busybox:latest`.
///
/// ```
/// use harness_images::reference::normalize;
/// assert_eq!(normalize("docker.io/meshproof/probe-app:dev"), "meshproof/probe-app:dev");
/// assert_eq!(normalize("busybox"), "library/busybox:latest");
/// assert_eq!(normalize("registry.example:5000/team/app"), "registry.example:5000/team/app:latest");
/// ```
#[must_use]
pub fn normalize(reference: &str) -> String {
    let without_registry = ["docker.io/", "index.docker.io/"]
        .iter()
        .find_map(|prefix| reference.strip_prefix(prefix))
        .unwrap_or(reference);
    let mut name = without_registry.to_owned();
    if !name.contains('/') {
        name.insert_str(0, "library/");
    }
    let last_part = name.rsplit('/').next().unwrap_or_default();
    if !last_part.contains(':') && !last_part.contains('@') {
        name.push_str(":latest");
    }
    name
}

/// The reference with its registry, as containerd stores it.
pub(crate) fn with_registry(reference: &str) -> String {
    let name = normalize(reference);
    let first_part = name.split('/').next().unwrap_or_default();
    if first_part.contains('.') || first_part.contains(':') || first_part == "localhost" {
        name
    } else {
        format!("docker.io/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::{normalize, with_registry};

    #[test]
    fn digests_and_ports_are_not_taken_for_tags() {
        assert_eq!(normalize("a/b@sha256:00"), "a/b@sha256:00");
        assert_eq!(normalize("localhost:5000/a"), "localhost:5000/a:latest");
    }

    #[test]
    fn the_registry_is_added_only_where_none_is_named() {
        assert_eq!(
            with_registry("meshproof/a:dev"),
            "docker.io/meshproof/a:dev"
        );
        assert_eq!(
            with_registry("localhost:5000/a:dev"),
            "localhost:5000/a:dev"
        );
    }
}
