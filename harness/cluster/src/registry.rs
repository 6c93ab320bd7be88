//! An image registry that the nodes of a cluster pull from.
//!
//! Images are pushed as they are and named by the digest of their manifest, so that pods run exactly what was pushed, and
//! what the registry has already is not sent again.
//!
//! Invariant: credentials go to the registry they were stored for, and by plain HTTP only where the user said so or the
//! registry is on loopback.

mod credentials;
mod push;

pub use push::{PushError, Registry};

use oci_client::Reference;
use std::fmt;
use std::net::IpAddr;

/// What stands in front of an image's name: a registry, and where wanted a path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    registry: String,
    /// Empty, or ends with a slash.
    path: String,
    protocol: Protocol,
}

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TLS, but plain HTTP where the registry is on loopback.
    Secure,
    /// Plain HTTP, which the user asked for.
    Plain,
}

/// A text is no prefix for images.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no registry with a path: {reason}")]
pub struct PrefixError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Prefix {
    /// Reads `registry.example:5000/team`.
    ///
    /// # Errors
    ///
    /// When it names no registry, is a URL, carries a tag, or has letters that image names do not have.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, PrefixError> {
        let wrong = |reason| PrefixError {
            text: text.to_owned(),
            reason,
        };
        if text.contains("://") {
            return Err(wrong("leave out what stands before the host"));
        }
        if text.contains('@') {
            return Err(wrong(
                "it has an `@`, but images get their digests when they are pushed",
            ));
        }
        let (registry, path) = text.split_once('/').unwrap_or((text, ""));
        if registry.is_empty() {
            return Err(wrong("it begins without a host"));
        }
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(wrong(
                "its first part is no host, which has a dot or a port, or is `localhost`",
            ));
        }
        if text.ends_with('/') {
            return Err(wrong("it ends with a slash"));
        }
        if path.contains(':') {
            return Err(wrong("it has a tag"));
        }
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let of_an_image: Result<Reference, _> = format!("{registry}/{path}name").parse();
        if !of_an_image.is_ok_and(|reference| reference.registry() == registry) {
            return Err(wrong(
                "a host is letters, digits, dots and a port, and the path after it lower-case letters and digits with `.`, `_` or `-` between them",
            ));
        }
        Ok(Self {
            registry: registry.to_owned(),
            path,
            protocol,
        })
    }

    /// Host and port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// An image below this prefix.
    fn image(&self, name: &str, digest: &str) -> Reference {
        Reference::with_digest(
            self.registry.clone(),
            format!("{}{name}", self.path),
            digest.to_owned(),
        )
    }

    /// Whether it is spoken to without TLS.
    fn is_plain(&self) -> bool {
        let host = self
            .registry
            .rsplit_once(':')
            .map_or(self.registry.as_str(), |(host, _)| host);
        let on_loopback = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        self.protocol == Protocol::Plain || on_loopback
    }
}

/// Checks that a text names one image: with its tag, its digest, or both.
///
/// # Errors
///
/// What is wrong with it, in words.
pub fn check_reference(text: &str) -> Result<(), &'static str> {
    if text.contains("://") {
        return Err("it has a scheme, and names of images have none");
    }
    let last = text.rsplit('/').next().unwrap_or_default();
    if !last.contains([':', '@']) {
        return Err("it has neither a tag nor a digest");
    }
    match text.parse::<Reference>() {
        Ok(_) => Ok(()),
        Err(_) => Err(
            "an image's name is lower-case letters and digits with `.`, `_`, `-` and `/` between them, and after it `:TAG` or `@sha256:` and 64 digits",
        ),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{path}", self.registry)
    }
}

/// The last part of an image's name, without tag and digest: what it is called below a prefix.
fn short_name(reference: &str) -> &str {
    let last = reference.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_registry_with_or_without_a_path() {
        for text in [
            "localhost:5000",
            "localhost",
            "registry.example/team/ci",
            "10.0.0.1:5000/a",
        ] {
            let prefix = Prefix::parse(text, Protocol::Secure).unwrap();
            assert_eq!(prefix.to_string(), text);
            let digest = format!("sha256:{}", "0".repeat(64));
            let name = prefix.image("probe-app", &digest).to_string();
            assert_eq!(name, format!("{text}/probe-app@{digest}"));
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_the_reason() {
        for (text, reason) in [
            ("https://registry.example", "before the host"),
            ("team/ci", "no host"),
            ("", "without a host"),
            ("/team", "without a host"),
            ("registry.example/team/", "slash"),
            ("registry.example/", "slash"),
            ("registry.example/team:dev", "tag"),
            ("registry.example/team@sha256:00", "@"),
            ("registry.example/Team", "lower-case"),
            ("registry.example:port/team", "a host is"),
            ("registry.example/a b", "lower-case"),
        ] {
            let error = Prefix::parse(text, Protocol::Secure).unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_image_is_named_with_its_tag_or_digest() {
        let digest = format!("team/app@sha256:{}", "0".repeat(64));
        for text in [
            "app:1",
            "team/app:1",
            "registry.example:5000/team/app:1.2",
            &digest,
        ] {
            assert_eq!(check_reference(text), Ok(()), "{text}");
        }
        for (text, reason) in [
            ("app", "neither a tag"),
            ("registry.example:5000/team/app", "neither a tag"),
            ("https://registry.example/app:1", "scheme"),
            ("Team/App:1", "lower-case"),
            ("team/app:", "lower-case"),
            ("team/app@sha256:00", "64 digits"),
        ] {
            let told = check_reference(text).expect_err(text);
            assert!(told.contains(reason), "{text}: {told}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_and_those_who_ask_for_it() {
        let is_plain = |text, protocol| Prefix::parse(text, protocol).unwrap().is_plain();
        assert!(is_plain("localhost:5000", Protocol::Secure));
        assert!(is_plain("127.0.0.2:5000/a", Protocol::Secure));
        assert!(!is_plain("10.0.0.1:5000", Protocol::Secure));
        assert!(!is_plain("localhost.example", Protocol::Secure));
        assert!(is_plain("10.0.0.1:5000", Protocol::Plain));
    }

    #[test]
    fn images_keep_the_last_part_of_their_names() {
        assert_eq!(short_name("meshproof/probe-app:dev"), "probe-app");
        assert_eq!(short_name("example.org:5000/a/b@sha256:00"), "b");
        assert_eq!(short_name("busybox"), "busybox");
    }
}
