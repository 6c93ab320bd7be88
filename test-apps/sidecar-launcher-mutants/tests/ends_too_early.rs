//! The sidecar that ends too early, beside an application that stops listening.

use sidecar_launcher::behaviour::{Behaviour as _, Faithful};
use sidecar_launcher_mutants::Mutation;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// How long it may take: all of it are events, so only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn only_who_ends_too_early_ends_when_its_application_takes_nothing_new() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("is bound").port();
    let others = [
        Mutation::Forgets.has_to_end(port),
        Faithful.has_to_end(port),
    ];
    let others = others.map(tokio::spawn);
    let early = tokio::spawn(Mutation::EndsTooEarly.has_to_end(port));
    // By the second look the first one has been answered.
    for _ in 0..2 {
        let looks = timeout(PATIENCE, listener.accept()).await;
        drop(looks.expect("in time").expect("a connection"));
    }
    assert!(!early.is_finished(), "it is listened");
    drop(listener);
    let ends = timeout(PATIENCE, early).await;
    ends.expect("in time").expect("no panic");
    for other in others {
        assert!(!other.is_finished());
        other.abort();
    }
}
