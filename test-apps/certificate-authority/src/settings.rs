//! What the environment says.

use jiff::SignedDuration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that differs from one deployment to another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `POD_NAMESPACE`: where the replicas and their ConfigMap are.
    pub pod_namespace: String,
    /// `WORKLOAD_NAMESPACE` (`mesh-workloads`): whose pods get certificates.
    pub workload_namespace: String,
    /// `TRUST_BUNDLE_NAMESPACES` (empty): a label selector for the namespaces in which the trust bundle is published; an
    /// empty one selects all. A namespace that is not selected any more keeps what it has.
    pub trust_bundle_namespaces: String,
    /// `TRUST_DOMAIN` (`mesh.local`): what every SPIFFE ID begins with.
    pub trust_domain: String,
    /// `NODE_AGENT_ACCOUNT` (`mesh-system/node-agent`): namespace and name of the service account that may ask.
    pub node_agent_account: String,
    /// `MAX_LIFETIME` (`24h`): the longest that a pod's certificate is valid.
    pub max_lifetime: Duration,
    /// `ROLL_AFTER` (`5s`): how long a new root is in the trust bundle before anything leads to it.
    pub roll_after: Duration,
    /// `LISTEN` (`0.0.0.0:15013`).
    pub listen: SocketAddr,
    /// `ADMIN_LISTEN` (`0.0.0.0:15016`).
    pub admin_listen: SocketAddr,
    /// `TLS_DIRECTORY` (`/etc/certificate-authority/tls`): holds `tls.crt` and `tls.key` for node agents to see.
    pub tls_directory: PathBuf,
    /// The key service.
    pub key_service: KeyServiceSettings,
}

/// How the key service is reached.
#[derive(Clone, Debug)]
pub struct KeyServiceSettings {
    /// `KEY_SERVICE_ADDRESS` (`key-service.mesh-system.svc:15017`): name and port; its certificate must be for the name.
    pub address: String,
    /// `KEY_SERVICE_ROOT_FILE` (`/etc/certificate-authority/key-service/root.pem`): who signed its certificate.
    pub root_file: PathBuf,
    /// `KEY_SERVICE_TLS_DIRECTORY` (`/etc/certificate-authority/key-service`): holds `tls.crt` and `tls.key` for it to see.
    pub tls_directory: PathBuf,
}

/// A setting is missing or malformed.
#[derive(Debug, thiserror::Error)]
pub enum ReadSettingsError {
    /// It is not there.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// It is not what it must be.
    #[error("environment variable {name}: `{value}` is no {wanted}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
}

impl Settings {
    /// Reads settings through `variable`, which tells a variable's value.
    ///
    /// # Errors
    ///
    /// The first variable that is missing or malformed.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ReadSettingsError> {
        let text = |name: &str, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
        let malformed = |name, value: &str, wanted| ReadSettingsError::Malformed {
            name,
            value: value.to_owned(),
            wanted,
        };
        let address = |name: &'static str, default: &str| {
            let value = text(name, default);
            let address = value.parse::<SocketAddr>();
            address.map_err(|_| malformed(name, &value, "address with port"))
        };
        let duration = |name: &'static str, default: &str| {
            let value = text(name, default);
            let duration = value.parse::<SignedDuration>().ok();
            duration
                .and_then(|duration| Duration::try_from(duration).ok())
                .ok_or_else(|| malformed(name, &value, "time such as `90s` or `24h`"))
        };
        let account = text("NODE_AGENT_ACCOUNT", "mesh-system/node-agent");
        if account.split('/').filter(|part| !part.is_empty()).count() != 2 {
            return Err(malformed("NODE_AGENT_ACCOUNT", &account, "NAMESPACE/NAME"));
        }
        Ok(Self {
            pod_namespace: variable("POD_NAMESPACE")
                .ok_or(ReadSettingsError::Missing("POD_NAMESPACE"))?,
            workload_namespace: text("WORKLOAD_NAMESPACE", "mesh-workloads"),
            trust_bundle_namespaces: text("TRUST_BUNDLE_NAMESPACES", "").trim().to_owned(),
            trust_domain: text("TRUST_DOMAIN", "mesh.local"),
            node_agent_account: account,
            max_lifetime: duration("MAX_LIFETIME", "24h")?,
            roll_after: duration("ROLL_AFTER", "5s")?,
            listen: address("LISTEN", "0.0.0.0:15013")?,
            admin_listen: address("ADMIN_LISTEN", "0.0.0.0:15016")?,
            tls_directory: text("TLS_DIRECTORY", "/etc/certificate-authority/tls").into(),
            key_service: KeyServiceSettings {
                address: text("KEY_SERVICE_ADDRESS", "key-service.mesh-system.svc:15017"),
                root_file: text(
                    "KEY_SERVICE_ROOT_FILE",
                    "/etc/certificate-authority/key-service/root.pem",
                )
                .into(),
                tls_directory: text(
                    "KEY_SERVICE_TLS_DIRECTORY",
                    "/etc/certificate-authority/key-service",
                )
                .into(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, ReadSettingsError> {
        Settings::read(|name| {
            let mut pairs = pairs.iter();
            let (_, value) = pairs.find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    #[test]
    fn defaults_and_mistakes() {
        let settings = read(&[("POD_NAMESPACE", "a")]).expect("complete");
        assert_eq!(settings.listen.port(), identity_api::authority::PORT);
        assert_eq!(settings.max_lifetime, Duration::from_secs(24 * 60 * 60));
        assert_eq!(settings.roll_after, Duration::from_secs(5));
        assert_eq!(settings.trust_bundle_namespaces, "", "all of them");
        let told = |pairs: &[(&str, &str)]| read(pairs).expect_err("no").to_string();
        assert_eq!(told(&[]), "environment variable POD_NAMESPACE is not set");
        for (name, value) in [
            ("LISTEN", "here"),
            ("MAX_LIFETIME", "long"),
            ("ROLL_AFTER", "-5s"),
            ("NODE_AGENT_ACCOUNT", "node-agent"),
        ] {
            let error = told(&[("POD_NAMESPACE", "a"), (name, value)]);
            let expected = format!("environment variable {name}: `{value}` is no ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
