//! The sidecar's admin interface, as far as the launcher needs it.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// The admin interface answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// An admin call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// Nothing listens (yet).
    #[error("connect to the admin interface")]
    Connect(#[source] std::io::Error),
    /// The exchange broke off.
    #[error("exchange HTTP with the admin interface")]
    Exchange(#[source] hyper::Error),
    /// No answer in time.
    #[error("the admin interface did not answer within {PATIENCE:?}")]
    Timeout,
}

/// The admin interface on a local port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin {
    port: u16,
}

impl Admin {
    pub(crate) fn new(port: u16) -> Self {
        Self { port }
    }

    /// The sidecar says that it takes traffic.
    pub(crate) async fn is_ready(self) -> bool {
        matches!(self.call(Method::GET, "/ready").await, Ok((200, _)))
    }

    /// Stops accepting: listeners drain, requests under way go on.
    pub(crate) async fn drain(self) -> Result<(), AdminError> {
        self.call(Method::POST, "/drain_listeners?graceful")
            .await
            .map(drop)
    }

    /// Requests under way at the sidecar's listeners.
    pub(crate) async fn active_requests(self) -> Result<u64, AdminError> {
        let path = "/stats?filter=^http%5C..*downstream_rq_active$";
        let (_, body) = self.call(Method::GET, path).await?;
        Ok(active(&String::from_utf8_lossy(&body)))
    }

    /// Ends the sidecar.
    pub(crate) async fn quit(self) -> Result<(), AdminError> {
        self.call(Method::POST, "/quitquitquit").await.map(drop)
    }

    async fn call(self, method: Method, path: &str) -> Result<(u16, Bytes), AdminError> {
        let exchange = async {
            let stream = TcpStream::connect(("127.0.0.1", self.port))
                .await
                .map_err(AdminError::Connect)?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(AdminError::Exchange)?;
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(http::header::HOST, "admin")
                .header(http::header::CONNECTION, "close")
                .body(Empty::<Bytes>::new())
                .expect("methods and paths are our own constants");
            let answer = async {
                let response = sender.send_request(request).await?;
                let status = response.status().as_u16();
                Ok((status, response.into_body().collect().await?.to_bytes()))
            };
            let (answer, _) = tokio::join!(answer, connection);
            answer.map_err(AdminError::Exchange)
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or(Err(AdminError::Timeout))
    }
}

/// The sum of `name: value` lines, without the admin interface's own connection manager.
fn active(stats: &str) -> u64 {
    stats
        .lines()
        .filter(|line| !line.starts_with("http.admin."))
        .filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_the_admin_interface_do_not_keep_the_sidecar_alive() {
        let stats = "http.admin.downstream_rq_active: 1\nhttp.inbound.downstream_rq_active: 2\n";
        assert_eq!(active(stats), 2);
    }
}
