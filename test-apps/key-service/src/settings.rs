//! What the environment says.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that differs from one deployment to another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `LISTEN` (`0.0.0.0:15017`).
    pub listen: SocketAddr,
    /// `ADMIN_LISTEN` (`0.0.0.0:15018`).
    pub admin_listen: SocketAddr,
    /// `TLS_DIRECTORY` (`/etc/key-service/tls`): holds `tls.crt` and `tls.key`.
    pub tls_directory: PathBuf,
    /// `CLIENT_ROOT_FILE` (`/etc/key-service/client/root.pem`): whose clients may call.
    pub client_root_file: PathBuf,
    /// Where the sealed keys are kept.
    pub keep: KeepSettings,
    /// `MASTER_KEY_FILE` (`/etc/key-service/master/key`): what seals them; at least 32 bytes that nobody can guess.
    pub master_key_file: PathBuf,
}

/// A place for the sealed keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepSettings {
    /// `KEY_SECRET`: a Secret of this name, in the namespace `POD_NAMESPACE`.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// `KEY_FOLDER` (`/var/lib/mesh/key-service`), where there is no `KEY_SECRET`: a folder.
    Folder(PathBuf),
}

/// A setting is missing or malformed.
#[derive(Debug, thiserror::Error)]
pub enum ReadSettingsError {
    /// It is not what it must be.
    #[error("environment variable {name}: `{value}` is no address with port")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// It is not there.
    #[error("environment variable {0} is not set, which says where the Secret of KEY_SECRET is")]
    Missing(&'static str),
}

impl Settings {
    /// Reads settings through `variable`, which tells a variable's value.
    ///
    /// # Errors
    ///
    /// The first variable that is malformed.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ReadSettingsError> {
        let text = |name: &str, default: &str| variable(name).unwrap_or_else(|| default.to_owned());
        let address = |name: &'static str, default: &str| {
            let value = text(name, default);
            value
                .parse()
                .map_err(|_| ReadSettingsError::Malformed { name, value })
        };
        const NAMESPACE: &str = "POD_NAMESPACE";
        let keep = match variable("KEY_SECRET") {
            Some(name) => KeepSettings::Secret {
                namespace: variable(NAMESPACE).ok_or(ReadSettingsError::Missing(NAMESPACE))?,
                name,
            },
            None => KeepSettings::Folder(text("KEY_FOLDER", "/var/lib/mesh/key-service").into()),
        };
        Ok(Self {
            listen: address("LISTEN", "0.0.0.0:15017")?,
            admin_listen: address("ADMIN_LISTEN", "0.0.0.0:15018")?,
            tls_directory: text("TLS_DIRECTORY", "/etc/key-service/tls").into(),
            client_root_file: text("CLIENT_ROOT_FILE", "/etc/key-service/client/root.pem").into(),
            keep,
            master_key_file: text("MASTER_KEY_FILE", "/etc/key-service/master/key").into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_mistakes() {
        let settings = Settings::read(|_| None).expect("defaults");
        assert_eq!(settings.listen.port(), identity_api::keys::PORT);
        let malformed =
            Settings::read(|name| (name == "LISTEN").then(|| "here".to_owned())).expect_err("no");
        assert_eq!(
            malformed.to_string(),
            "environment variable LISTEN: `here` is no address with port"
        );
        let secret = |name: &str| (name == "KEY_SECRET").then(|| "keys".to_owned());
        let missing = Settings::read(secret).expect_err("no namespace");
        assert!(missing.to_string().contains("POD_NAMESPACE"), "{missing}");
    }
}
