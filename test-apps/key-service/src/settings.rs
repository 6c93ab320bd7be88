//! What the environment says.

use crate::pkcs11::TokenSettings;
use jiff::SignedDuration;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a key service keeps what is its own.
const FOLDER: &str = "/var/lib/mesh/key-service";
/// How long a token may take, unless something else is said: making a key takes some seconds on a slow one.
const TOKEN_LIMIT: Duration = Duration::from_secs(10);
/// So many processes are more than any token is the faster for.
const MOST_AT_ONCE: NonZeroUsize = NonZeroUsize::new(64).unwrap();

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
    /// `CLIENT_NAMES_FILE` (none): the names of those that may, one a line; without it all of them may.
    pub client_names_file: Option<PathBuf>,
    /// What keeps the keys.
    pub store: StoreSettings,
}

/// A back end.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// Keys that are sealed, and kept somewhere.
    Sealed {
        /// Where.
        keep: KeepSettings,
        /// `MASTER_KEY_FILE` (`/etc/key-service/master/key`): what seals them; at least 32 bytes that nobody can guess.
        master_key_file: PathBuf,
    },
    /// A token, wherever a variable that begins with `PKCS11_` is set.
    Token(TokenSettings),
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
    #[error("environment variable {name}: `{value}` is no {wanted}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// It is not there.
    #[error("environment variable {0} is not set, which says where the Secret of KEY_SECRET is")]
    Missing(&'static str),
    /// A token needs more.
    #[error(
        "environment variables that begin with PKCS11_ ask for a token, for which these are not set: {}",
        .0.join(", ")
    )]
    MissingForToken(Vec<&'static str>),
    /// There is one back end.
    #[error(
        "environment variables that begin with PKCS11_ ask for a token, which keeps the keys itself: unset {}",
        .0.join(", ")
    )]
    BesideToken(Vec<&'static str>),
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
            value.parse().map_err(|_| ReadSettingsError::Malformed {
                name,
                value,
                wanted: "address with port",
            })
        };
        Ok(Self {
            listen: address("LISTEN", "0.0.0.0:15017")?,
            admin_listen: address("ADMIN_LISTEN", "0.0.0.0:15018")?,
            tls_directory: text("TLS_DIRECTORY", "/etc/key-service/tls").into(),
            client_root_file: text("CLIENT_ROOT_FILE", "/etc/key-service/client/root.pem").into(),
            client_names_file: variable("CLIENT_NAMES_FILE").map(PathBuf::from),
            store: match TokenSettings::read(&variable)? {
                Some(token) => StoreSettings::Token(token),
                None => StoreSettings::Sealed {
                    keep: KeepSettings::read(&variable)?,
                    master_key_file: text("MASTER_KEY_FILE", "/etc/key-service/master/key").into(),
                },
            },
        })
    }
}

impl KeepSettings {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ReadSettingsError> {
        const NAMESPACE: &str = "POD_NAMESPACE";
        Ok(match variable("KEY_SECRET") {
            Some(name) => Self::Secret {
                namespace: variable(NAMESPACE).ok_or(ReadSettingsError::Missing(NAMESPACE))?,
                name,
            },
            None => {
                let folder = variable("KEY_FOLDER");
                Self::Folder(folder.map_or_else(|| FOLDER.into(), PathBuf::from))
            }
        })
    }
}

impl TokenSettings {
    /// None where no variable asks for a token.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ReadSettingsError> {
        const NEEDED: [&str; 3] = ["PKCS11_MODULE", "PKCS11_TOKEN", "PKCS11_PIN_FILE"];
        const MORE: [&str; 4] = [
            "PKCS11_TOOL",
            "PKCS11_LOCK_FILE",
            "PKCS11_TIMEOUT",
            "PKCS11_AT_ONCE",
        ];
        const BESIDE: [&str; 3] = ["KEY_SECRET", "KEY_FOLDER", "MASTER_KEY_FILE"];
        // A variable that is set to nothing is a mistake of a template, not a path.
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_asked_for = NEEDED.iter().chain(&MORE).any(|name| set(name).is_some());
        if !is_asked_for {
            return Ok(None);
        }
        let beside: Vec<_> = BESIDE.into_iter().filter(|n| set(n).is_some()).collect();
        if !beside.is_empty() {
            return Err(ReadSettingsError::BesideToken(beside));
        }
        let [Some(module), Some(token), Some(pin_file)] = NEEDED.map(set) else {
            let missing = NEEDED.into_iter().filter(|name| set(name).is_none());
            return Err(ReadSettingsError::MissingForToken(missing.collect()));
        };
        let [tool, lock_file, limit, at_once] = MORE.map(set);
        let at_once = at_once.unwrap_or_else(|| "1".to_owned());
        let at_once = match at_once.parse() {
            Ok(count) if count <= MOST_AT_ONCE => count,
            _ => {
                return Err(ReadSettingsError::Malformed {
                    name: "PKCS11_AT_ONCE",
                    value: at_once,
                    wanted: "count from 1 to 64",
                });
            }
        };
        let limit = match limit {
            None => TOKEN_LIMIT,
            Some(value) => {
                let duration = value.parse::<SignedDuration>().ok();
                let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
                duration.filter(|duration| !duration.is_zero()).ok_or(
                    ReadSettingsError::Malformed {
                        name: "PKCS11_TIMEOUT",
                        value,
                        wanted: "time such as `10s`",
                    },
                )?
            }
        };
        Ok(Some(Self {
            module: module.into(),
            token,
            pin_file: pin_file.into(),
            tool: tool.unwrap_or_else(|| "pkcs11-tool".to_owned()).into(),
            lock_file: lock_file
                .map_or_else(|| Path::new(FOLDER).join("token.lock"), PathBuf::from),
            at_once,
            limit,
            variables: Vec::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, ReadSettingsError> {
        Settings::read(|name| {
            let (_, value) = pairs.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    fn mistake(pairs: &[(&str, &str)]) -> String {
        read(pairs).expect_err("a mistake").to_string()
    }

    #[test]
    fn defaults_and_mistakes() {
        let settings = read(&[]).expect("defaults");
        assert_eq!(settings.listen.port(), identity_api::keys::PORT);
        assert!(matches!(settings.store, StoreSettings::Sealed { .. }));
        assert_eq!(settings.client_names_file, None);
        // Set to nothing it is a list that cannot be read, and not none: nobody is let in by mistake.
        let settings = read(&[("CLIENT_NAMES_FILE", "")]).expect("defaults");
        assert_eq!(settings.client_names_file, Some(PathBuf::new()));
        assert_eq!(
            mistake(&[("LISTEN", "here")]),
            "environment variable LISTEN: `here` is no address with port"
        );
        let missing = mistake(&[("KEY_SECRET", "keys")]);
        assert!(missing.contains("POD_NAMESPACE"), "{missing}");
    }

    #[test]
    fn a_token_needs_three_variables_and_no_other_place() {
        let token = [
            ("PKCS11_MODULE", "/m.so"),
            ("PKCS11_TOKEN", "keys"),
            ("PKCS11_PIN_FILE", "/pin"),
        ];
        let settings = read(&token).expect("complete");
        let StoreSettings::Token(read_token) = settings.store else {
            panic!("{settings:?}");
        };
        assert_eq!(read_token.token, "keys");
        assert_eq!(read_token.tool, Path::new("pkcs11-tool"));
        assert_eq!(read_token.limit, TOKEN_LIMIT);
        assert_eq!(read_token.at_once.get(), 1);

        let missing = mistake(&token[1..2]);
        assert!(
            missing.ends_with("not set: PKCS11_MODULE, PKCS11_PIN_FILE"),
            "{missing}"
        );
        // Only something that is no must: it asks for a token all the same.
        let missing = mistake(&[("PKCS11_TOOL", "/t"), ("PKCS11_MODULE", "")]);
        assert!(
            missing.ends_with("not set: PKCS11_MODULE, PKCS11_TOKEN, PKCS11_PIN_FILE"),
            "{missing}"
        );
        for beside in ["KEY_SECRET", "KEY_FOLDER", "MASTER_KEY_FILE"] {
            let both = mistake(&[&token[..], &[(beside, "x")]].concat());
            assert!(both.ends_with(&format!("unset {beside}")), "{both}");
        }
        for (name, value) in [
            ("PKCS11_TIMEOUT", "0s"),
            ("PKCS11_TIMEOUT", "-1s"),
            ("PKCS11_TIMEOUT", "soon"),
            ("PKCS11_AT_ONCE", "0"),
            ("PKCS11_AT_ONCE", "65"),
        ] {
            let told = mistake(&[&token[..], &[(name, value)]].concat());
            assert!(told.contains(name), "{told}");
        }
    }
}
