//! What the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that differs from one deployment to another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `POD_NAME`: the identifier in every response and the identity in the election.
    pub pod_name: String,
    /// `POD_NAMESPACE`: where the replicas and the Lease are.
    pub pod_namespace: String,
    /// `CLUSTER_NAME`: the cluster that every sidecar of this control plane is in.
    pub cluster_name: String,
    /// `WORKLOAD_NAMESPACE` (`mesh-workloads`): where workloads, scopes and policies are.
    pub workload_namespace: String,
    /// `TRUST_DOMAIN` (`mesh.local`): of the workloads' SPIFFE IDs.
    pub trust_domain: String,
    /// `XDS_LISTEN` (`0.0.0.0:15012`).
    pub xds_listen: SocketAddr,
    /// `ADMIN_LISTEN` (`0.0.0.0:15014`).
    pub admin_listen: SocketAddr,
    /// `TLS_DIRECTORY` (`/etc/control-plane/tls`): holds `tls.crt` and `tls.key`.
    pub tls_directory: PathBuf,
}

/// A setting is missing or malformed.
#[derive(Debug, thiserror::Error)]
pub enum ReadSettingsError {
    /// It is not there.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// It is not an address.
    #[error("environment variable {name}: `{value}` is no address with port")]
    NoAddress {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
    },
}

impl Settings {
    /// Reads settings through `variable`, which tells a variable's value.
    ///
    /// # Errors
    ///
    /// The first variable that is missing or malformed.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ReadSettingsError> {
        let needed = |name| variable(name).ok_or(ReadSettingsError::Missing(name));
        let address = |name: &'static str, default: &str| {
            let value = variable(name).unwrap_or_else(|| default.to_owned());
            value
                .parse()
                .map_err(|_| ReadSettingsError::NoAddress { name, value })
        };
        Ok(Self {
            pod_name: needed("POD_NAME")?,
            pod_namespace: needed("POD_NAMESPACE")?,
            cluster_name: needed("CLUSTER_NAME")?,
            workload_namespace: variable("WORKLOAD_NAMESPACE")
                .unwrap_or_else(|| "mesh-workloads".into()),
            trust_domain: variable("TRUST_DOMAIN").unwrap_or_else(|| "mesh.local".into()),
            xds_listen: address("XDS_LISTEN", "0.0.0.0:15012")?,
            admin_listen: address("ADMIN_LISTEN", "0.0.0.0:15014")?,
            tls_directory: variable("TLS_DIRECTORY")
                .unwrap_or_else(|| "/etc/control-plane/tls".into())
                .into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_mistakes() {
        let with = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, v)| (*v).to_owned())
            }
        };
        let settings = Settings::read(with(&[
            ("POD_NAME", "a"),
            ("POD_NAMESPACE", "b"),
            ("CLUSTER_NAME", "c"),
        ]));
        assert_eq!(settings.expect("complete").xds_listen.port(), 15012);
        let missing = Settings::read(with(&[("POD_NAME", "a")])).expect_err("incomplete");
        assert_eq!(
            missing.to_string(),
            "environment variable POD_NAMESPACE is not set"
        );
        let malformed = Settings::read(with(&[
            ("POD_NAME", "a"),
            ("POD_NAMESPACE", "b"),
            ("CLUSTER_NAME", "c"),
            ("XDS_LISTEN", "here"),
        ]));
        assert_eq!(
            malformed.expect_err("malformed").to_string(),
            "environment variable XDS_LISTEN: `here` is no address with port"
        );
    }
}
