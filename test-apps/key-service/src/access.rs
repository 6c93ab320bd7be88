//! Which clients may call: a list of names that an operator can change while the key service runs.
//!
//! TLS lets in who has a certificate below the root of clients; the list says which of them are served. It is read for
//! each call, so a change counts at once and nothing has to start again.
//!
//! Invariant: while the list cannot be read nobody is served.

use std::path::PathBuf;

/// The list.
#[derive(Clone, Debug)]
pub struct Access {
    file: Option<PathBuf>,
}

/// A client is not served.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It is not in the list.
    #[error("`{0}` is not in the list of clients")]
    Denied(String),
    /// Nobody can say whether it is.
    #[error("the list of clients cannot be read")]
    Read(#[source] std::io::Error),
}

impl Access {
    /// The names are in this file, one a line; lines that begin with `#` are comments. Without a file everybody is served
    /// whom TLS lets in.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Who is in the list now, without comments; none where everybody is served.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn names(&self) -> Result<Option<Vec<String>>, AccessError> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let text = tokio::fs::read_to_string(file)
            .await
            .map_err(AccessError::Read)?;
        let names = text.lines().map(str::trim);
        let names = names.filter(|name| !name.is_empty() && !name.starts_with('#'));
        Ok(Some(names.map(str::to_owned).collect()))
    }

    /// Asks whether a client of this name is served now.
    ///
    /// # Errors
    ///
    /// When it is not, or the list cannot be read.
    pub async fn check(&self, caller: &str) -> Result<(), AccessError> {
        match self.names().await? {
            Some(names) if !names.iter().any(|name| name == caller) => {
                Err(AccessError::Denied(caller.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_whole_names_of_the_list_are_served_and_a_change_counts_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("names");
        let access = Access::new(Some(file.clone()));
        std::fs::write(&file, "# Who signs.\nauthority.svc\n\n  other.svc \r\n").expect("written");
        let names = access.names().await.expect("a list");
        assert_eq!(
            names,
            Some(vec!["authority.svc".to_owned(), "other.svc".to_owned()])
        );
        for name in ["authority.svc", "other.svc"] {
            assert!(access.check(name).await.is_ok(), "{name}");
        }
        for name in [
            "authority",
            "authority.svc.b",
            "# Who signs.",
            "",
            "OTHER.svc",
        ] {
            let error = access.check(name).await.expect_err(name);
            assert!(matches!(&error, AccessError::Denied(denied) if denied == name));
        }
        std::fs::write(&file, "other.svc").expect("written");
        let error = access
            .check("authority.svc")
            .await
            .expect_err("not any more");
        let told = "`authority.svc` is not in the list of clients";
        assert_eq!(error.to_string(), told);
    }

    #[tokio::test]
    async fn without_a_list_all_are_served_and_with_one_that_cannot_be_read_nobody_is() {
        assert!(Access::new(None).check("anybody").await.is_ok());
        let access = Access::new(Some("/nowhere/names".into()));
        let error = access.check("authority.svc").await.expect_err("no list");
        assert!(matches!(error, AccessError::Read(_)));
    }
}
