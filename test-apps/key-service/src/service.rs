//! The gRPC service: lets in whom it may, asks the store, and writes each call into the audit log.
//!
//! An entry of the audit log is an event of target `audit` with `caller`, `method`, `key`, `version` (the one that was
//! asked for, or else answered; 0 where there is none) and `outcome` (`ok`, or why not).

use crate::access::{Access, AccessError};
use crate::behaviour::Behaviour;
use crate::caller;
use crate::metrics::Metrics;
use crate::store::{KeyName, KeyStore, KeyStoreError, KeyVersion};
use identity_api::keys::service::key_service_server::KeyService;
use identity_api::keys::{
    CreateKeyRequest, Key, ListKeysReply, ListKeysRequest, RotateKeyRequest, SignReply, SignRequest,
};
use std::error::Error;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

/// The most bytes that are signed at once.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// The service in front of a store.
pub struct Keys {
    store: Arc<dyn KeyStore>,
    access: Access,
    behaviour: Arc<dyn Behaviour>,
    metrics: Arc<Metrics>,
}

/// One call, for the audit log.
struct Call {
    caller: String,
    method: &'static str,
    key: String,
    version: u32,
}

impl Call {
    fn of<T>(request: &Request<T>, method: &'static str) -> Self {
        let certificates = request.peer_certs();
        let own = certificates.as_ref().and_then(|chain| chain.first());
        Self {
            // TLS lets nobody in without, unless the behaviour says so; a missing one would be a mistake of this program.
            caller: own.map_or_else(|| "nobody".to_owned(), |own| caller::name_of(own)),
            method,
            key: String::new(),
            version: 0,
        }
    }
}

impl Keys {
    /// A service in front of this store, for clients that have access.
    #[must_use]
    pub fn new(
        store: Arc<dyn KeyStore>,
        access: Access,
        behaviour: Arc<dyn Behaviour>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            access,
            behaviour,
            metrics,
        }
    }

    /// Does it for a caller that may call, where blocking harms nobody.
    async fn ask<T: Send + 'static>(
        &self,
        caller: &str,
        act: impl FnOnce(&dyn KeyStore) -> Result<T, KeyStoreError> + Send + 'static,
    ) -> Result<T, Status> {
        match self.access.check(caller).await {
            Err(AccessError::Denied(_)) if self.behaviour.serves_unlisted() => {}
            Err(error @ AccessError::Denied(_)) => {
                return Err(Status::permission_denied(error.to_string()));
            }
            Err(error @ AccessError::Read(_)) => {
                warn!(error = &error as &dyn Error, "nobody is served");
                return Err(Status::unavailable(error.to_string()));
            }
            Ok(()) => {}
        }
        let store = self.store.clone();
        let outcome = tokio::task::spawn_blocking(move || act(&*store)).await;
        outcome
            .map_err(|_| Status::internal("the store of keys has failed"))?
            .map_err(|error| refusal(&error))
    }

    fn told<T>(&self, call: &Call, outcome: Result<T, Status>) -> Result<Response<T>, Status> {
        let word = match &outcome {
            Ok(_) => {
                self.metrics.answered(call.method);
                "ok"
            }
            Err(status) => {
                self.metrics.refused(call.method);
                status.message()
            }
        };
        if self.behaviour.writes_audit() {
            let names_caller = self.behaviour.audit_names_callers();
            info!(
                target: "audit",
                caller = names_caller.then_some(call.caller.as_str()),
                method = call.method,
                key = call.key.as_str(),
                version = call.version,
                outcome = word,
                "call"
            );
        }
        outcome.map(Response::new)
    }
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<Key>, Status> {
        let mut call = Call::of(&request, "CreateKey");
        let outcome = async {
            let name = key_name(&request.get_ref().name, &mut call)?;
            let key = self
                .ask(&call.caller, move |store| store.create(&name))
                .await?;
            call.version = key.version;
            Ok(message(key))
        };
        let outcome = outcome.await;
        self.told(&call, outcome)
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<Key>, Status> {
        let mut call = Call::of(&request, "RotateKey");
        let outcome = async {
            let after = request.get_ref().after;
            let name = key_name(&request.get_ref().name, &mut call)?;
            let key = self
                .ask(&call.caller, move |store| store.rotate(&name, after))
                .await?;
            call.version = key.version;
            Ok(message(key))
        };
        let outcome = outcome.await;
        self.told(&call, outcome)
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysReply>, Status> {
        let call = Call::of(&request, "ListKeys");
        let outcome = self.ask(&call.caller, |store| store.list()).await;
        let outcome = outcome.map(|keys| ListKeysReply {
            keys: keys.into_iter().map(message).collect(),
        });
        self.told(&call, outcome)
    }

    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignReply>, Status> {
        let mut call = Call::of(&request, "Sign");
        let outcome = async {
            let SignRequest {
                name,
                version,
                message,
            } = request.into_inner();
            call.version = version;
            let name = key_name(&name, &mut call)?;
            if message.len() > MESSAGE_LIMIT {
                let told = format!(
                    "{} bytes are more than the {MESSAGE_LIMIT} that are signed at once",
                    message.len()
                );
                return Err(Status::invalid_argument(told));
            }
            let name = self.behaviour.signs_with(name);
            let signature = self
                .ask(&call.caller, move |store| {
                    store.sign(&name, version, &message)
                })
                .await?;
            Ok(SignReply { signature })
        };
        let outcome = outcome.await;
        self.told(&call, outcome)
    }
}

fn key_name(text: &str, call: &mut Call) -> Result<KeyName, Status> {
    let name: KeyName = text
        .parse()
        .map_err(|error| Status::invalid_argument(format!("{error}")))?;
    call.key = name.to_string();
    Ok(name)
}

fn message(key: KeyVersion) -> Key {
    Key {
        name: key.name.to_string(),
        version: key.version,
        public_key: key.public_key,
    }
}

fn refusal(error: &KeyStoreError) -> Status {
    let text = error.to_string();
    match error {
        KeyStoreError::NoKey(_) | KeyStoreError::NoVersion { .. } => Status::not_found(text),
        KeyStoreError::Make(_) | KeyStoreError::Keep(_) | KeyStoreError::Read(_) => {
            // Paths and causes are for the operator, not for callers.
            warn!(error = error as &dyn Error, "the store of keys failed");
            Status::internal(text)
        }
        // A token that is away, or busy, may be back for the next try.
        KeyStoreError::Token(_) => {
            warn!(error = error as &dyn Error, "the token failed");
            Status::unavailable(text)
        }
    }
}
