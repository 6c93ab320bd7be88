//! A key service in this process, for tests: keys in memory, over a connection in memory.

use crate::keys::Keys;
use hyper_util::rt::TokioIo;
use identity_api::keys::service::key_service_server::{KeyService, KeyServiceServer};
use identity_api::keys::{
    CreateKeyRequest, Key, ListKeysReply, ListKeysRequest, RotateKeyRequest, SignReply, SignRequest,
};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

/// Bytes of a connection that are on their way at once.
const BUFFER: usize = 64 * 1024;

/// A client of a new key service, which lives as long as the client.
pub(crate) fn keys() -> Keys {
    let (client, server) = tokio::io::duplex(BUFFER);
    let connections = futures::stream::iter([Ok::<_, std::io::Error>(server)]);
    let service = KeyServiceServer::new(Stub::default());
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(connections),
    );
    let client = Mutex::new(Some(client));
    let connector = tower::service_fn(move |_: http::Uri| {
        let client = client.lock().unwrap_or_else(PoisonError::into_inner).take();
        let refused = || std::io::Error::other("there is one connection");
        std::future::ready(client.map(TokioIo::new).ok_or_else(refused))
    });
    let channel = Endpoint::from_static("http://keys").connect_with_connector_lazy(connector);
    Keys::over(channel)
}

/// The versions of each key.
#[derive(Default)]
struct Stub(Mutex<BTreeMap<String, Vec<KeyPair>>>);

impl Stub {
    /// Makes the version after this one, if it is not there.
    fn make(&self, name: &str, after: usize) -> Response<Key> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = keys.entry(name.to_owned()).or_default();
        if versions.len() <= after {
            versions.push(KeyPair::generate().expect("a key"));
        }
        Response::new(key(name, versions.len(), &versions[versions.len() - 1]))
    }
}

fn key(name: &str, version: usize, pair: &KeyPair) -> Key {
    Key {
        name: name.to_owned(),
        version: u32::try_from(version).expect("few"),
        public_key: pair.subject_public_key_info(),
    }
}

#[tonic::async_trait]
impl KeyService for Stub {
    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<Key>, Status> {
        Ok(self.make(&request.get_ref().name, 0))
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<Key>, Status> {
        let RotateKeyRequest { name, after } = request.into_inner();
        Ok(self.make(&name, after as usize))
    }

    async fn list_keys(
        &self,
        _: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysReply>, Status> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.iter().flat_map(|(name, versions)| {
            let versions = (1..).zip(versions);
            versions.map(move |(version, pair)| key(name, version, pair))
        });
        Ok(Response::new(ListKeysReply {
            keys: keys.collect(),
        }))
    }

    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignReply>, Status> {
        let SignRequest {
            name,
            version,
            message,
        } = request.into_inner();
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = keys
            .get(&name)
            .and_then(|versions| versions.get((version as usize).checked_sub(1)?))
            .ok_or_else(|| Status::not_found("no such version"))?;
        let signature = pair.sign(&message).expect("a signature");
        Ok(Response::new(SignReply { signature }))
    }
}
