//! Serving a port that takes requests.
//!
//! Invariant: at its end a port takes nothing new, and what it has taken is answered.

use axum::Router;
use axum::serve::ListenerExt as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until it is told to end, and then until what is under way is answered.
///
/// # Errors
///
/// When the port cannot be served any more.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    ending: CancellationToken,
) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not switch delayed sending off");
        }
    });
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(ending.cancelled_owned())
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::watch;

    /// Says that somebody has asked, and answers when it may.
    fn held_back(asked: watch::Sender<bool>, may_answer: watch::Receiver<bool>) -> Router {
        let answer = async move || {
            asked.send_replace(true);
            // The sender lives as long as the test.
            let _ = may_answer.clone().wait_for(|may| *may).await;
            "whole"
        };
        Router::new().route("/", get(answer))
    }

    #[tokio::test]
    async fn what_is_under_way_at_the_end_is_answered_and_nothing_new_is_taken() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, mut is_asked) = watch::channel(false);
        let (may_answer, answers) = watch::channel(false);
        let ending = CancellationToken::new();
        let served = serve(listener, held_back(asked, answers), ending.clone());
        let served = tokio::spawn(served);
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
        connection.write_all(request).await.unwrap();
        drop(is_asked.wait_for(|asked| *asked).await.unwrap());

        ending.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!served.is_finished(), "one is under way");
        may_answer.send_replace(true);
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("whole"), "{text}");
        served.await.unwrap().unwrap();
    }
}
