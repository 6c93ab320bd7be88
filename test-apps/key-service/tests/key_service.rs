//! The key service as a client sees it, over loopback with real TLS: who is let in, what it answers, what the audit log
//! says.

#[path = "shared/authority.rs"]
mod authority;
#[path = "shared/service.rs"]
mod service;

use authority::Front;
use fake_api::prometheus::samples;
use identity_api::keys::{CreateKeyRequest, ListKeysRequest, RotateKeyRequest, SignRequest};
use key_service::behaviour::{Behaviour, Faithful};
use key_service::run::{KeyService, RunError};
use key_service::settings::{KeepSettings, StoreSettings};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use service::{Authority, NAMES, Running, log, settings};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

/// A sealed store in the folder, and its master key beside it.
fn sealed(folder: &Path) -> StoreSettings {
    let master_key_file = folder.join("master");
    if !master_key_file.exists() {
        std::fs::write(&master_key_file, [7; 32]).expect("written");
    }
    StoreSettings::Sealed {
        keep: KeepSettings::Folder(folder.join("keys")),
        master_key_file,
    }
}

/// The outcome of a call that a client with this certificate makes: with TLS 1.3 a client learns with its first
/// answer only that it was refused.
async fn outcome(running: &Running, pair: Option<(String, String)>) -> Result<(), String> {
    let mut client = running
        .client(pair)
        .await
        .map_err(|error| error.to_string())?;
    let answer = client.list_keys(ListKeysRequest {}).await;
    answer.map(drop).map_err(|status| status.to_string())
}

#[tokio::test]
async fn only_clients_below_its_root_are_served() {
    let running = Running::start(sealed).await;
    assert!(outcome(&running, None).await.is_err(), "no certificate");
    let stranger = Authority::new().pair(&["stranger.svc"]);
    assert!(
        outcome(&running, Some(stranger)).await.is_err(),
        "other root"
    );
    let server = running.servers.pair(&["server.svc"]);
    assert!(
        outcome(&running, Some(server)).await.is_err(),
        "servers' root"
    );
    let client = running.clients.pair(&["only.svc"]);
    assert_eq!(outcome(&running, Some(client)).await, Ok(()));
    // Whom TLS refuses does not come so far that there is a call.
    assert!(!log().contains("stranger.svc"), "{}", log());
}

/// Without either look at who calls.
struct Open;

impl Behaviour for Open {
    fn asks_for_certificates(&self) -> bool {
        false
    }

    fn serves_unlisted(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn it_is_tls_alone_that_turns_those_without_a_certificate_away() {
    let listed = |folder: &Path| {
        std::fs::write(folder.join(NAMES), "authority.svc").expect("written");
        sealed(folder)
    };
    let running = Running::behaving(Arc::new(Open), listed).await;
    assert_eq!(outcome(&running, None).await, Ok(()));
    let stranger = Authority::new().pair(&["stranger.svc"]);
    assert_eq!(outcome(&running, Some(stranger)).await, Ok(()));
    let running = Running::start(listed).await;
    assert!(outcome(&running, None).await.is_err());
}

#[tokio::test]
async fn each_call_is_in_the_audit_log_once_with_its_caller_whether_it_is_served_or_refused() {
    const SERVED: &str = "audited.svc";
    const REFUSED: &str = "audited-stranger.svc";
    let running = Running::start(|folder| {
        std::fs::write(folder.join(NAMES), SERVED).expect("written");
        sealed(folder)
    })
    .await;
    for (caller, is_served) in [(SERVED, true), (REFUSED, false)] {
        let client = running.client(Some(running.clients.pair(&[caller]))).await;
        let mut client = client.expect("TLS lets it in");
        let name = || "root".to_owned();
        let (version, after, message) = (1, 1, vec![7]);
        let outcomes = [
            client
                .create_key(CreateKeyRequest { name: name() })
                .await
                .map(drop),
            client
                .rotate_key(RotateKeyRequest {
                    name: name(),
                    after,
                })
                .await
                .map(drop),
            client
                .sign(SignRequest {
                    name: name(),
                    version,
                    message,
                })
                .await
                .map(drop),
            client.list_keys(ListKeysRequest {}).await.map(drop),
        ];
        let refusal = format!("`{caller}` is not in the list of clients");
        for outcome in outcomes {
            let told = outcome.map_err(|status| status.message().to_owned());
            let wanted = if is_served {
                Ok(())
            } else {
                Err(refusal.clone())
            };
            assert_eq!(told, wanted);
        }
        let log = log();
        let word = if is_served { "ok" } else { &refusal };
        // Of a call that made nothing there is no version, unless it asked for one.
        let made = |version: u32| if is_served { version } else { 0 };
        for (method, key, version) in [
            ("CreateKey", "root", made(1)),
            ("RotateKey", "root", made(2)),
            ("Sign", "root", 1),
            ("ListKeys", "", 0),
        ] {
            let of_caller = format!("audit: call caller=\"{caller}\" method=\"{method}\"");
            let entry = format!("{of_caller} key=\"{key}\" version={version} outcome=\"{word}\"");
            assert_eq!(log.matches(&of_caller).count(), 1, "{method} in\n{log}");
            assert!(log.contains(&entry), "{entry} is not in\n{log}");
        }
    }
}

/// Serves as designed, and writes nothing down.
struct Silent;

impl Behaviour for Silent {
    fn writes_audit(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn it_is_one_decision_whether_calls_are_written_down() {
    const CALLER: &str = "unaudited.svc";
    let running = Running::behaving(Arc::new(Silent), sealed).await;
    let pair = running.clients.pair(&[CALLER]);
    assert_eq!(outcome(&running, Some(pair)).await, Ok(()));
    let entry = format!("audit: call caller=\"{CALLER}\"");
    assert!(!log().contains(&entry), "{}", log());
    let running = Running::start(sealed).await;
    let pair = running.clients.pair(&[CALLER]);
    assert_eq!(outcome(&running, Some(pair)).await, Ok(()));
    assert!(log().contains(&entry), "{}", log());
}

/// Serves as designed, and writes down what was asked for, but not by whom.
struct Discreet;

impl Behaviour for Discreet {
    fn audit_names_callers(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn it_is_one_decision_whether_callers_are_named() {
    const CALLER: &str = "unnamed.svc";
    let entries = || log().matches("audit: call method=").count();
    assert_eq!(entries(), 0, "{}", log());
    let running = Running::behaving(Arc::new(Discreet), sealed).await;
    let pair = running.clients.pair(&[CALLER]);
    assert_eq!(outcome(&running, Some(pair)).await, Ok(()));
    assert_eq!(entries(), 1, "{}", log());
    assert!(!log().contains(CALLER), "{}", log());
}

#[tokio::test]
async fn it_makes_keys_signs_and_writes_each_call_down() {
    let running = Running::start(sealed).await;
    let mut client = running
        .client(Some(running.clients.pair(&["authority.svc"])))
        .await
        .expect("connected");
    let create = |name: &str| CreateKeyRequest {
        name: name.to_owned(),
    };
    let key = client
        .create_key(create("root"))
        .await
        .expect("made")
        .into_inner();
    let again = client.create_key(create("root")).await.expect("the same");
    assert_eq!(key, again.into_inner());
    let rotate = |after| RotateKeyRequest {
        name: "root".to_owned(),
        after,
    };
    let second = client
        .rotate_key(rotate(1))
        .await
        .expect("made")
        .into_inner();
    assert_eq!(second.version, 2);
    let again = client.rotate_key(rotate(1)).await.expect("the same");
    assert_eq!(second, again.into_inner());

    let sign = |version, length| SignRequest {
        name: "root".to_owned(),
        version,
        message: vec![7; length],
    };
    let signature = client.sign(sign(1, 64 * 1024)).await.expect("signed");
    let point = &key.public_key[key.public_key.len() - 65..];
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&[7; 64 * 1024], &signature.into_inner().signature)
        .expect("its signature");

    let refusals = [
        (client.sign(sign(3, 1)).await.map(drop), Code::NotFound),
        (
            client.sign(sign(1, 64 * 1024 + 1)).await.map(drop),
            Code::InvalidArgument,
        ),
        (
            client.create_key(create("Root\n")).await.map(drop),
            Code::InvalidArgument,
        ),
        (client.rotate_key(rotate(3)).await.map(drop), Code::NotFound),
    ];
    for (outcome, code) in refusals {
        assert_eq!(outcome.expect_err("refused").code(), code);
    }

    let log = log();
    for (method, key, version, outcome) in [
        ("CreateKey", "root", 1, "ok"),
        ("RotateKey", "root", 2, "ok"),
        ("Sign", "root", 1, "ok"),
        (
            "Sign",
            "root",
            3,
            "find version 3 of key `root`: the newest is 2",
        ),
        (
            "CreateKey",
            "",
            0,
            "a key's name is 1 to 63 lower-case letters, digits and `-`",
        ),
    ] {
        let entry = format!(
            "audit: call caller=\"authority.svc\" method=\"{method}\" key=\"{key}\" version={version} outcome=\"{outcome}\""
        );
        assert!(log.contains(&entry), "{entry} is not in\n{log}");
    }
}

#[tokio::test]
async fn an_authority_that_is_denied_says_so_and_issues_again_when_it_is_allowed() {
    let serve_only = |folder: &Path, names: &str| {
        std::fs::write(folder.join(NAMES), names).expect("written");
    };
    let running = Running::start(|folder| {
        serve_only(folder, "denied.svc");
        sealed(folder)
    })
    .await;
    let folder = running.folder.path();
    let front = Front::new(running.authority("denied.svc")).await;
    let before = front.issue().await.expect("a certificate");

    serve_only(folder, "another.svc");
    let refusal = front.issue().await.expect_err("denied");
    // The list is the operator's: neither did the agent do anything wrong, nor is anybody away. It tries again.
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    let reason = "`denied.svc` is not in the list of clients";
    let told = format!("ask the key service to sign: {reason}");
    assert_eq!(refusal.message(), told);
    let log = log();
    let entry = |outcome| {
        format!(
            "audit: call caller=\"denied.svc\" method=\"Sign\" key=\"intermediate\" version=1 outcome=\"{outcome}\""
        )
    };
    assert_eq!(log.matches(&entry("ok")).count(), 1, "{log}");
    // It is asked once: what was denied would be denied again.
    assert_eq!(log.matches(&entry(reason)).count(), 1, "{log}");
    let mut client = running
        .client(Some(running.clients.pair(&["denied.svc"])))
        .await
        .expect("TLS lets it in");
    for outcome in [
        client.list_keys(ListKeysRequest {}).await.map(drop),
        client
            .create_key(CreateKeyRequest {
                name: "root".to_owned(),
            })
            .await
            .map(drop),
    ] {
        let status = outcome.expect_err("denied");
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, reason)
        );
    }

    // Without a list that can be read nobody is served.
    std::fs::remove_file(folder.join(NAMES)).expect("removed");
    let refusal = client.list_keys(ListKeysRequest {}).await;
    assert_eq!(refusal.expect_err("no list").code(), Code::Unavailable);

    serve_only(folder, "another.svc\ndenied.svc");
    let after = front.issue().await.expect("a certificate again");
    assert_eq!(
        before.chain[1], after.chain[1],
        "below the same intermediate"
    );
}

/// What a key service tells Prometheus.
async fn counted(running: &Running) -> BTreeMap<String, u64> {
    let stream = TcpStream::connect(running.admin_address).await;
    let mut stream = stream.expect("connected");
    let request = b"GET /metrics HTTP/1.0\r\n\r\n";
    stream.write_all(request).await.expect("asked");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("answered");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    samples(text)
}

#[tokio::test]
async fn what_is_issued_and_what_is_denied_is_counted_here_and_by_the_authority() {
    const CLIENT: &str = "counted.svc";
    let running = Running::start(|folder| {
        std::fs::write(folder.join(NAMES), CLIENT).expect("written");
        sealed(folder)
    })
    .await;
    let front = Front::new(running.authority(CLIENT)).await;
    let counts = async || {
        let here = counted(&running).await;
        let there = samples(&front.metrics());
        let signed = |what: &str| {
            let sample = format!("mesh_key_service_{what}_total{{method=\"Sign\"}}");
            here[sample.as_str()]
        };
        let asked = |what: &str| {
            let sample = format!("mesh_certificate_authority_{what}_total");
            there[sample.as_str()]
        };
        let here = [signed("answered"), signed("refused")];
        (here, [asked("issued"), asked("refused")])
    };
    // The root and the intermediate, both by the root.
    assert_eq!(counts().await, ([2, 0], [0, 0]));
    front.issue().await.expect("a certificate");
    assert_eq!(counts().await, ([3, 0], [1, 0]));
    front.issue().await.expect("another certificate");
    assert_eq!(counts().await, ([4, 0], [2, 0]));
    std::fs::write(running.folder.path().join(NAMES), "another.svc").expect("written");
    front.issue().await.expect_err("denied");
    assert_eq!(counts().await, ([4, 1], [2, 1]));
}

#[tokio::test]
async fn it_ends_within_a_second_though_clients_stay() {
    let running = Running::start(sealed).await;
    let mut client = running
        .client(Some(running.clients.pair(&["staying.svc"])))
        .await
        .expect("connected");
    client.list_keys(ListKeysRequest {}).await.expect("a list");
    let admin = tokio::net::TcpStream::connect(running.admin_address)
        .await
        .expect("connected");
    let started = Instant::now();
    running.end.send(()).expect("it runs");
    running
        .served
        .await
        .expect("no panic")
        .expect("it was asked to end");
    assert!(started.elapsed() < Duration::from_secs(1));
    drop(admin);

    // Nothing of it is left: another one opens the same folder.
    let again = KeyService::open(
        &settings(running.folder.path(), sealed(running.folder.path())),
        Arc::new(Faithful),
    )
    .await;
    assert!(again.is_ok(), "{:?}", again.err());
}

#[tokio::test]
async fn with_another_master_key_it_does_not_start() {
    let running = Running::start(sealed).await;
    running.end.send(()).expect("it runs");
    let _ = running.served.await.expect("no panic");
    let master = running.folder.path().join("master");
    std::fs::write(&master, [1; 32]).expect("written");
    let error = KeyService::open(
        &settings(running.folder.path(), sealed(running.folder.path())),
        Arc::new(Faithful),
    )
    .await;
    assert!(
        matches!(error.as_ref().err(), Some(RunError::Store(_))),
        "{:?}",
        error.err()
    );
    std::fs::write(&master, [1; 31]).expect("written");
    let error = KeyService::open(
        &settings(running.folder.path(), sealed(running.folder.path())),
        Arc::new(Faithful),
    )
    .await;
    assert!(matches!(error.err(), Some(RunError::MasterKey(_))));
}
