//! Who we are to a registry: what `docker login` stored.

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use oci_client::secrets::RegistryAuth;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// The key under which Docker keeps the credentials of its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What a helper says when it knows nothing of a registry.
const UNKNOWN_TO_HELPER: &str = "credentials not found";

/// The folder of Docker's configuration: `DOCKER_CONFIG`, else `~/.docker`.
pub(super) fn folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&variable("HOME")?).join(".docker")))
}

/// The credentials for a registry in a folder's `config.json`, asked of a helper where it names one; anonymous without.
///
/// # Errors
///
/// When the file or the helper cannot be understood, or what they have is a kind of token that is not supported.
pub(super) fn of(registry: &str, folder: Option<&Path>) -> Result<RegistryAuth, String> {
    let Some(path) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(RegistryAuth::Anonymous);
    };
    let failed = |reason: &str| {
        let path = path.display();
        format!("its credentials cannot be taken from {path}: {reason}")
    };
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        file => file.map_err(|error| failed(&error.to_string()))?,
    };
    let server = match registry {
        "docker.io" | "index.docker.io" => DOCKER_HUB,
        other => other,
    };
    match get_credential_from_reader(BufReader::new(file), server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => {
            Ok(RegistryAuth::Basic(name, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => Err(failed(
            "it has an identity token, and only user names with passwords are known here",
        )),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains(UNKNOWN_TO_HELPER) =>
        {
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => Err(failed(error.to_string().trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str) -> Result<RegistryAuth, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        of("registry.example", Some(folder.path()))
    }

    #[test]
    fn what_docker_login_stored_is_found() {
        // `me:a secret` in base64.
        let text = r#"{"auths": {"registry.example": {"auth": "bWU6YSBzZWNyZXQ="}}}"#;
        let basic = RegistryAuth::Basic("me".to_owned(), "a secret".to_owned());
        assert_eq!(stored(text), Ok(basic));
    }

    #[test]
    fn who_stored_nothing_is_anonymous() {
        let other = r#"{"auths": {"other.example": {"auth": "bWU6YSBzZWNyZXQ="}}}"#;
        assert_eq!(stored(other), Ok(RegistryAuth::Anonymous));
        let empty = tempfile::tempdir().unwrap();
        let nothing = of("registry.example", Some(empty.path()));
        assert_eq!(nothing, Ok(RegistryAuth::Anonymous));
        assert_eq!(of("registry.example", None), Ok(RegistryAuth::Anonymous));
    }

    #[test]
    fn a_damaged_file_is_told_and_not_taken_for_an_empty_one() {
        let error = stored("{").unwrap_err();
        assert!(error.contains("config.json"), "{error}");
        let token = r#"{"auths": {"registry.example": {"identitytoken": "a token"}}}"#;
        let error = stored(token).unwrap_err();
        assert!(error.contains("identity token"), "{error}");
    }
}
