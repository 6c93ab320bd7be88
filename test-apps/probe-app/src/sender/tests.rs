//! The probe's callers against its own application ports.

use super::*;
use crate::application;
use crate::application::bytes::{Manner, QUESTION};
use crate::application::counted::Counted;
use crate::own_tls::{self, OwnTls};
use probe_api::request::PeerView;
use probe_api::state::Identity;
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn identity() -> Arc<Identity> {
    Arc::new(Identity {
        pod: "own".to_owned(),
        ..Identity::default()
    })
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn http_port() -> u16 {
    let (listener, port) = listener().await;
    let router = application::router(identity(), Counted::default())
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, router).into_future());
    port
}

async fn bytes_port(manner: Manner) -> u16 {
    let (listener, port) = listener().await;
    let serve = application::bytes::serve(listener, manner, identity(), Told::default());
    tokio::spawn(serve);
    port
}

async fn sent(protocol: Protocol, port: u16) -> RequestResult {
    let spec = RequestSpec {
        url: format!("http://127.0.0.1:{port}/"),
        protocol,
        headers: [("x-sent".to_owned(), "yes".to_owned())].into(),
        timeout_ms: 5000,
    };
    let sender = Sender::new(&spec, Connections::Usual, &Told::default()).unwrap();
    sender.send(7, Due::now(), true).await.result
}

async fn answered(protocol: Protocol, port: u16) -> Answer {
    match sent(protocol, port).await {
        RequestResult::Answered(answer) => *answer,
        failed => panic!("{protocol:?}: {failed:?}"),
    }
}

#[tokio::test]
async fn each_protocol_arrives_as_it_was_sent() {
    let port = http_port().await;
    for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Grpc] {
        let answer = answered(protocol, port).await;
        let peer = answer.peer.expect("a probe answers");
        assert_eq!(answer.status, 200);
        assert_eq!(peer.protocol, protocol.as_told());
        assert_eq!(peer.identity.pod, "own");
        assert_eq!(peer.headers["x-sent"], "yes");
        assert_eq!(peer.headers[SEQUENCE_HEADER], "7");
    }
    for manner in [
        Manner::Asked,
        Manner::Greeting,
        Manner::Tls(OwnTls::new(None).unwrap()),
    ] {
        let protocol = manner.protocol();
        let port = bytes_port(manner).await;
        let answer = answered(protocol, port).await;
        let told = answer.peer.expect("a probe answers").protocol;
        assert_eq!(told, protocol.as_told());
    }
}

/// As it comes when a sidecar takes the application for another sidecar.
#[tokio::test]
async fn tls_of_a_caller_within_that_of_its_sidecar_is_answered() {
    let port = bytes_port(Manner::Tls(OwnTls::new(None).unwrap())).await;
    let connector = own_tls::connector().unwrap();
    let name = ServerName::try_from("application.test").unwrap();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    let around = connector.connect(name.clone(), stream).await.unwrap();
    let mut within = connector.connect(name, around).await.unwrap();
    within.write_all(QUESTION).await.unwrap();
    within.flush().await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut within)
        .read_line(&mut line)
        .await
        .unwrap();
    let peer: PeerView = serde_json::from_str(&line).unwrap();
    assert_eq!(peer.identity.pod, "own");
    assert_eq!(peer.certificate, own_tls::shown(within.get_ref().1));
}

#[tokio::test]
async fn a_caller_says_nothing_before_it_is_greeted_and_nothing_outside_of_tls() {
    let port = bytes_port(Manner::Asked).await;
    let spec = RequestSpec {
        url: format!("http://127.0.0.1:{port}/"),
        protocol: Protocol::ServerFirst,
        headers: [].into(),
        timeout_ms: 200,
    };
    let sender = Sender::new(&spec, Connections::Usual, &Told::default()).unwrap();
    let waits = sender.send(0, Due::now(), false).await.result;
    let RequestResult::Failed { kind, message } = waits else {
        panic!("whoever is to greet has not");
    };
    assert_eq!(kind, FailureKind::Timeout, "{message}");
    let RequestResult::Failed { kind, message } = sent(Protocol::ApplicationTls, port).await else {
        panic!("there is no TLS");
    };
    assert_eq!(kind, FailureKind::Reset, "{message}");
}

#[tokio::test]
async fn a_call_that_was_refused_has_the_status_of_its_code() {
    let (listener, port) = listener().await;
    // As a sidecar answers in the callee's place: only headers (gRPC over HTTP/2, `Trailers-Only`).
    let refuse = axum::Router::new().fallback(async || {
        let words = [
            ("content-type", "application/grpc"),
            ("grpc-status", "14"),
            ("x-why", "nobody"),
        ];
        axum::response::AppendHeaders(words)
    });
    tokio::spawn(axum::serve(listener, refuse).into_future());
    let answer = answered(Protocol::Grpc, port).await;
    assert_eq!((answer.status, answer.peer), (503, None));
    assert_eq!(answer.headers["x-why"], "nobody");
}

#[tokio::test]
async fn a_connection_that_ends_early_is_no_answer() {
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    for protocol in [
        Protocol::Grpc,
        Protocol::Tcp,
        Protocol::ServerFirst,
        Protocol::ApplicationTls,
    ] {
        let RequestResult::Failed { kind, message } = sent(protocol, port).await else {
            panic!("{protocol:?} is answered by nobody");
        };
        assert_eq!(kind, FailureKind::Reset, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_counted_and_answered_as_it_asks() {
    use tower::ServiceExt;
    let counted = Counted::default();
    let router = application::router(identity(), counted.clone());
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let request = ::http::Request::builder()
        .header("x-probe-count", "batch")
        .header("x-probe-answer-status", "500")
        .header("x-probe-answer-after-ms", "800")
        .extension(axum::extract::ConnectInfo(remote))
        .body(axum::body::Body::empty())
        .unwrap();
    let start = Instant::now();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 500);
    assert!(start.elapsed() >= Duration::from_millis(800));
    assert_eq!(counted.of("batch"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_comes_as_long_after_its_beginning_as_is_asked_for() {
    use tower::ServiceExt;
    let router = application::router(identity(), Counted::default());
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let request = ::http::Request::builder()
        .header("x-probe-answer-end-after-ms", "800")
        .extension(axum::extract::ConnectInfo(remote))
        .body(axum::body::Body::empty())
        .unwrap();
    let start = Instant::now();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(start.elapsed() < Duration::from_millis(800));
    let text = axum::body::to_bytes(answer.into_body(), usize::MAX);
    let text = text.await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(800));
    let view: probe_api::request::PeerView = serde_json::from_slice(&text).unwrap();
    assert_eq!(view.identity.pod, "own");
}

/// A sender that keeps what it goes over to this port.
fn keeping(protocol: Protocol, port: u16) -> Sender {
    let spec = RequestSpec {
        url: format!("http://127.0.0.1:{port}/"),
        protocol,
        headers: [].into(),
        timeout_ms: 5000,
    };
    Sender::new(&spec, Connections::Kept, &Told::default()).unwrap()
}

/// Which one carried the answer, and the address that the callee knows it by.
async fn carried(sender: &Sender) -> (u64, String) {
    let result = sender.send(0, Due::now(), true).await.result;
    let RequestResult::Answered(answer) = result else {
        panic!("{result:?}");
    };
    let number = answer.connection.expect("one that is kept");
    (number, answer.peer.expect("a probe answers").remote_address)
}

#[tokio::test]
async fn what_is_kept_carries_one_request_after_another() {
    let ports = [
        (Protocol::Tcp, bytes_port(Manner::Asked).await),
        (Protocol::Grpc, http_port().await),
    ];
    for (protocol, port) in ports {
        let sender = keeping(protocol, port);
        let first = carried(&sender).await;
        assert_eq!(first.0, 0);
        // Also those that are due while another one is under way.
        let both = tokio::join!(carried(&sender), carried(&sender));
        assert_eq!(both, (first.clone(), first), "{protocol:?}");
    }
}

/// Passes connections on, each for as long as it is let.
async fn forwarding(to: u16) -> (u16, tokio::sync::watch::Sender<u64>) {
    let (listener, port) = listener().await;
    let ended = tokio::sync::watch::Sender::new(0);
    let ends = ended.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut ends = ends.subscribe();
            tokio::spawn(async move {
                let far = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, to));
                let mut far = far.await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = ends.changed() => {}
                }
                drop((near, far));
                drop(ends);
            });
        }
    });
    (port, ended)
}

#[tokio::test]
async fn another_one_is_opened_when_what_was_kept_has_ended() {
    let ports = [
        (Protocol::Tcp, bytes_port(Manner::Asked).await),
        (Protocol::Grpc, http_port().await),
    ];
    for (protocol, port) in ports {
        let (port, ended) = forwarding(port).await;
        let sender = keeping(protocol, port);
        assert_eq!(carried(&sender).await.0, 0);
        ended.send_modify(|count| *count += 1);
        // Nobody listens to it any more when it is closed.
        while ended.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
        let mut after = sender.send(1, Due::now(), true).await.result;
        // The end may come to this side while the request is under way: then it is lost, and no other is.
        if matches!(after, RequestResult::Failed { .. }) {
            after = sender.send(2, Due::now(), true).await.result;
        }
        let RequestResult::Answered(answer) = after else {
            panic!("{protocol:?}: {after:?}");
        };
        assert_eq!(answer.connection, Some(1), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_request_under_way_is_lost_with_what_was_kept_and_not_sent_again() {
    let (listener, port) = listener().await;
    let accepted = tokio::spawn(async move {
        let mut accepted = 0;
        while accepted < 2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            accepted += 1;
            // It hears the question, and closes.
            let mut question = [0; application::bytes::QUESTION.len()];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut question)
                .await
                .unwrap();
        }
    });
    let sender = keeping(Protocol::Tcp, port);
    for sequence in 0..2 {
        let result = sender.send(sequence, Due::now(), true).await.result;
        assert!(
            matches!(
                result,
                RequestResult::Failed {
                    kind: FailureKind::Reset,
                    ..
                }
            ),
            "{result:?}"
        );
    }
    accepted.await.unwrap();
}

#[test]
fn nothing_else_can_be_kept() {
    for protocol in [
        Protocol::Http1,
        Protocol::Http2,
        Protocol::ServerFirst,
        Protocol::ApplicationTls,
    ] {
        let spec = RequestSpec {
            url: "http://127.0.0.1:1/".to_owned(),
            protocol,
            headers: [].into(),
            timeout_ms: 1,
        };
        let refused = Sender::new(&spec, Connections::Kept, &Told::default());
        assert!(refused.unwrap_err().contains("only tcp and grpc"));
    }
}
