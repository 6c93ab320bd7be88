//! Comes to a key service with a certificate of choice, or without one, and tells how that ends.
//!
//! Invariant: it asks which keys there are, which changes nothing, and drops the answer unread. Only a server whose own
//! certificate is right is asked, so that an end of somebody else is none of the key service.

use super::client::{NothingToShow, Shown};
use super::noting::Noting;
use super::server::trusted;
use super::{DIAL, EXCHANGE, dialled, end_of, shaken, showing};
use crate::identity::{issue, told};
use hyper_util::rt::TokioIo;
use identity_api::keys::ListKeysRequest;
use identity_api::keys::service::key_service_client::KeyServiceClient;
use probe_api::handshake::HandshakeEnd;
use probe_api::identity::{IdentityAnswer, IdentityAsk};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tonic::Status;
use tonic::transport::Endpoint;

/// What gRPC is spoken over (RFC 9113, 3.2).
const ALPN: &[u8] = b"h2";

/// Makes one attempt. `certificate` is how what is shown is obtained; none where nothing is.
pub(crate) async fn ask(
    address: &str,
    server_name: String,
    root: &str,
    certificate: Option<IdentityAsk>,
) -> IdentityAnswer {
    let shown = match certificate {
        Some(ask) => own(ask).await.map(Some),
        None => Ok(None),
    };
    match shown {
        Ok(shown) => come(address, server_name, root, shown.as_ref()).await,
        Err(NothingToShow(reason)) => IdentityAnswer::Unanswered(reason),
    }
}

/// What an authority issues for this.
async fn own(ask: IdentityAsk) -> Result<Shown, NothingToShow> {
    Shown::issued(issue(ask).await.map_err(NothingToShow)?)
}

async fn come(
    address: &str,
    server_name: String,
    root: &str,
    shown: Option<&Shown>,
) -> IdentityAnswer {
    let unanswered = IdentityAnswer::Unanswered;
    let address = match address.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(error) => return unanswered(format!("dial `{address}`: {error}")),
    };
    let name = match ServerName::try_from(server_name) {
        Ok(name) => name,
        Err(error) => return unanswered(told(&error)),
    };
    let configuration = match configuration(root, shown) {
        Ok(configuration) => configuration,
        Err(reason) => return unanswered(reason),
    };
    let call = call(address, name, configuration);
    match tokio::time::timeout(DIAL + EXCHANGE, call).await {
        Ok(Ok(())) => IdentityAnswer::Served,
        Ok(Err(answer)) => answer,
        Err(_) => unanswered("no answer in time".to_owned()),
    }
}

/// A client that verifies the server.
fn configuration(root: &str, shown: Option<&Shown>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| told(&error))?
        .with_root_certificates(trusted(root.as_bytes())?);
    let mut configuration = showing(builder, shown).map_err(|error| told(&error))?;
    configuration.alpn_protocols = vec![ALPN.to_vec()];
    Ok(configuration)
}

async fn call(
    address: SocketAddr,
    name: ServerName<'static>,
    configuration: ClientConfig,
) -> Result<(), IdentityAnswer> {
    let stream = dialled(address).await.map_err(ended)?;
    let (stream, noted) = shaken(stream, name, configuration).await.map_err(ended)?;
    list(stream).await.map_err(|status| match noted.take() {
        Some(error) => ended(end_of(&error)),
        // It came over a connection that TLS has let through, so it is an answer, whatever it says.
        None if status.source().is_none() => IdentityAnswer::Denied {
            code: format!("{:?}", status.code()),
            message: status.message().to_owned(),
        },
        None => IdentityAnswer::Unanswered(told(&status)),
    })
}

/// Asks over this connection, which is the only one: another would end as this one does.
async fn list(stream: Noting) -> Result<(), Status> {
    let mut stream = Some(TokioIo::new(stream));
    let once = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::other("the connection has ended")) }
    });
    let channel = Endpoint::from_static("http://key-service")
        .connect_with_connector(once)
        .await
        .map_err(|error| Status::from_error(Box::new(error)))?;
    let mut client = KeyServiceClient::new(channel);
    client.list_keys(ListKeysRequest {}).await?;
    Ok(())
}

fn ended(end: HandshakeEnd) -> IdentityAnswer {
    match end {
        HandshakeEnd::Answered(_) => IdentityAnswer::Served,
        HandshakeEnd::Alert(code) => IdentityAnswer::Alert(code),
        HandshakeEnd::Closed(reason) => {
            IdentityAnswer::Unanswered(format!("closed without an alert: {reason}"))
        }
        HandshakeEnd::Unanswered(reason) => IdentityAnswer::Unanswered(reason),
    }
}

#[cfg(test)]
mod tests;
