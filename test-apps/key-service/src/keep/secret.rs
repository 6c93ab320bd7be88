//! One Secret of the cluster, which is there after its pod and its node are gone.
//!
//! The deployment brings the Secret along, empty: who may only read and replace this one cannot make others.
//!
//! Invariant: the Secret is written only as it was read (its resource version is checked), so of two key services that
//! write at once one writes, and the other reads what came of it.

use super::{Keep, KeepError};
use api_client::Impatient;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// Its only key of ours.
pub const KEY: &str = "keys.sealed";
/// The API server answers within this, or does not.
const ANSWER: Duration = Duration::from_secs(2);
/// The same for who lists or signs: the authority waits for three seconds, and lists keys to see whether it can sign.
const LOOK: Duration = Duration::from_secs(1);
/// How long the first reading is tried: with a node everything on it starts again, the API server perhaps among it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Secret of a namespace.
pub struct KeptSecret {
    api: Api<Secret>,
    runtime: Handle,
    name: String,
    /// As it was read or written last.
    known: Mutex<Option<Secret>>,
}

impl KeptSecret {
    /// Uses the Secret of this name in the namespace; its methods must be called where blocking harms nobody.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, runtime: Handle) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            runtime,
            name: name.to_owned(),
            known: Mutex::default(),
        }
    }

    fn ask<T>(
        &self,
        within: Duration,
        answer: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
        let answer = async move { timeout(within, answer).await };
        Ok(self.runtime.block_on(answer)??)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Secret>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
        self.ask(ANSWER, self.api.get(&self.name))
    }

    /// The first reading, again as long as nobody answers.
    #[expect(
        clippy::disallowed_methods,
        reason = "that an API server would answer again is no event"
    )]
    fn read_patiently(&self) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
        let until = Instant::now() + PATIENCE;
        let mut pauses = Impatient::default();
        loop {
            let error = match self.read() {
                Ok(secret) => return Ok(secret),
                Err(error) => error,
            };
            let is_answer = matches!(
                error.downcast_ref::<kube::Error>(),
                Some(kube::Error::Api(status)) if (400..500).contains(&status.code)
            );
            let pause = pauses
                .next()
                .filter(|pause| Instant::now() + *pause < until);
            let Some(pause) = pause.filter(|_| !is_answer) else {
                return Err(error);
            };
            warn!(%error, "the Secret with the keys cannot be read yet");
            self.runtime.block_on(tokio::time::sleep(pause));
        }
    }
}

impl Keep for KeptSecret {
    fn load(&self) -> Result<Option<Vec<u8>>, KeepError> {
        let is_first = self.known().is_none();
        let secret = if is_first {
            self.read_patiently()
        } else {
            self.read()
        };
        let secret = secret.map_err(|error| KeepError::of(self.place(), error))?;
        let sealed = sealed(&secret);
        *self.known() = Some(secret);
        Ok(sealed)
    }

    fn look(&self) -> Result<Option<Vec<u8>>, KeepError> {
        let secret = self.ask(LOOK, self.api.get(&self.name));
        let secret = secret.map_err(|error| KeepError::of(self.place(), error))?;
        Ok(sealed(&secret))
    }

    fn save(&self, sealed: &[u8]) -> Result<(), KeepError> {
        let unusable = |error| KeepError::of(self.place(), error);
        let mut known = self.known();
        let Some(read) = known.as_ref() else {
            return Err(KeepError::Outdated(self.place()));
        };
        let mut secret = read.clone();
        secret
            .data
            .get_or_insert_default()
            .insert(KEY.to_owned(), ByteString(sealed.to_vec()));
        let params = PostParams::default();
        match self.ask(ANSWER, self.api.replace(&self.name, &params, &secret)) {
            Ok(written) => {
                *known = Some(written);
                Ok(())
            }
            Err(error) => match error.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) if status.code == 409 => {
                    Err(KeepError::Outdated(self.place()))
                }
                _ => Err(unusable(error)),
            },
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        format!("Secret {}", self.name)
    }
}

/// What is kept in a Secret; none where nothing is yet.
fn sealed(secret: &Secret) -> Option<Vec<u8>> {
    let bytes = secret.data.as_ref()?.get(KEY)?;
    Some(bytes.0.clone())
}

#[cfg(test)]
mod tests;
