//! What the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that differs from one deployment to another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `NODE_NAME`: the node whose pods are served.
    pub node_name: String,
    /// `WORKLOAD_NAMESPACE` (`mesh-workloads`): where the pods that are served are.
    pub workload_namespace: String,
    /// `SOCKET` (`/run/mesh/node-agent/sds.sock`): where SDS is served.
    pub socket: PathBuf,
    /// `SOCKET_MODE` (`0600`), octal: who may connect. Sidecars run as the same user.
    pub socket_mode: u32,
    /// `ADMIN_LISTEN` (`0.0.0.0:15019`).
    pub admin_listen: SocketAddr,
    /// `TRUST_DOMAIN` (`mesh.local`): the beginning of every SPIFFE ID.
    pub trust_domain: String,
    /// `CERTIFICATE_LIFETIME` (`60`), whole seconds: how long a certificate is asked to be valid.
    pub certificate_lifetime: Duration,
    /// `AUTHORITY_ADDRESS` (`certificate-authority.mesh-system.svc:15013`), `host:port`; its certificate names the host.
    pub authority_address: String,
    /// `AUTHORITY_ROOT_FILE` (`/etc/mesh/authority/root.pem`): the root that signed the authority's server certificate.
    pub authority_root_file: PathBuf,
    /// `TOKEN_FILE` (`/var/run/secrets/mesh/token`): the agent's own token for the authority.
    pub token_file: PathBuf,
}

/// A setting is missing or malformed.
#[derive(Debug, thiserror::Error)]
pub enum ReadSettingsError {
    /// It is not there.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// It is not of the right form.
    #[error("environment variable {name}: `{value}` is no {form}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it ought to be.
        form: &'static str,
    },
}

impl Settings {
    /// Reads settings through `variable`, which tells a variable's value.
    ///
    /// # Errors
    ///
    /// The first variable that is missing or malformed.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ReadSettingsError> {
        let or = |name: &str, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
        Ok(Self {
            node_name: variable("NODE_NAME").ok_or(ReadSettingsError::Missing("NODE_NAME"))?,
            workload_namespace: or("WORKLOAD_NAMESPACE", "mesh-workloads"),
            socket: or("SOCKET", "/run/mesh/node-agent/sds.sock").into(),
            socket_mode: parsed(
                "SOCKET_MODE",
                or("SOCKET_MODE", "0600"),
                "octal mode",
                |text| {
                    u32::from_str_radix(text, 8)
                        .ok()
                        .filter(|mode| *mode <= 0o777)
                },
            )?,
            admin_listen: parsed(
                "ADMIN_LISTEN",
                or("ADMIN_LISTEN", "0.0.0.0:15019"),
                "address with port",
                |text| text.parse().ok(),
            )?,
            trust_domain: or("TRUST_DOMAIN", "mesh.local"),
            certificate_lifetime: parsed(
                "CERTIFICATE_LIFETIME",
                or("CERTIFICATE_LIFETIME", "60"),
                "positive number of seconds",
                |text| {
                    let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds > 0)?;
                    Some(Duration::from_secs(seconds.into()))
                },
            )?,
            authority_address: or(
                "AUTHORITY_ADDRESS",
                "certificate-authority.mesh-system.svc:15013",
            ),
            authority_root_file: or("AUTHORITY_ROOT_FILE", "/etc/mesh/authority/root.pem").into(),
            token_file: or("TOKEN_FILE", "/var/run/secrets/mesh/token").into(),
        })
    }
}

fn parsed<T>(
    name: &'static str,
    value: String,
    form: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, ReadSettingsError> {
    parse(&value).ok_or(ReadSettingsError::Malformed { name, value, form })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(
        pairs: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<String> + 'static {
        move |name: &str| {
            pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn defaults() {
        let settings = Settings::read(with(&[("NODE_NAME", "n")])).expect("complete");
        assert_eq!(settings.socket_mode, 0o600);
        assert_eq!(settings.admin_listen.port(), 15019);
        assert_eq!(settings.certificate_lifetime, Duration::from_secs(60));
        let port = identity_api::authority::PORT.to_string();
        assert!(settings.authority_address.ends_with(&port));
    }

    #[test]
    fn mistakes_are_named() {
        let missing = Settings::read(with(&[])).expect_err("incomplete");
        assert_eq!(
            missing.to_string(),
            "environment variable NODE_NAME is not set"
        );
        let malformed = [
            ("SOCKET_MODE", "0999", "octal mode"),
            ("SOCKET_MODE", "7777", "octal mode"),
            ("ADMIN_LISTEN", "here", "address with port"),
            ("CERTIFICATE_LIFETIME", "0", "positive number of seconds"),
            ("CERTIFICATE_LIFETIME", "1m", "positive number of seconds"),
        ];
        for (name, value, form) in malformed {
            let read = Settings::read(|asked| match asked {
                "NODE_NAME" => Some("n".to_owned()),
                _ => (asked == name).then(|| value.to_owned()),
            });
            assert_eq!(
                read.expect_err("malformed").to_string(),
                format!("environment variable {name}: `{value}` is no {form}")
            );
        }
    }
}
