//! A whole key service on a token, and the certificate authority's client in front of it.

use crate::conformance::verifies;
use crate::service::{Running, log};
use crate::soft_hsm::{LABEL, PIN, SoftHsm, module, tool};
use certificate_authority::certificate::{Authority, Draft};
use certificate_authority::keys::{INTERMEDIATE, ROOT};
use certificate_authority::public_key::PublicKey;
use identity_api::keys::{CreateKeyRequest, ListKeysRequest, RotateKeyRequest, SignRequest};
use key_service::settings::StoreSettings;
use key_service::store::KeyVersion;
use rcgen::{KeyPair, PublicKeyData as _};
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use x509_parser::parse_x509_certificate;

async fn start(token: &SoftHsm) -> Running {
    let settings = token.settings();
    Running::start(|_| StoreSettings::Token(settings)).await
}

#[test]
fn a_key_service_serves_the_keys_of_a_token() {
    let token = SoftHsm::new();
    token.block_on(async {
        let running = start(&token).await;
        let pair = running.clients.pair(&["token.svc"]);
        let mut client = running.client(Some(pair)).await.expect("connected");
        let create = CreateKeyRequest {
            name: "root".to_owned(),
        };
        let first = client.create_key(create).await.expect("made").into_inner();
        let rotate = RotateKeyRequest {
            name: "root".to_owned(),
            after: 1,
        };
        client.rotate_key(rotate).await.expect("made");
        let sign = |version| SignRequest {
            name: "root".to_owned(),
            version,
            message: vec![7; 1000],
        };
        let signature = client.sign(sign(1)).await.expect("signed").into_inner();
        let key = KeyVersion {
            name: first.name.parse().expect("a name"),
            version: first.version,
            public_key: first.public_key,
        };
        assert!(verifies(&key, &[7; 1000], &signature.signature));
        let refused = client.sign(sign(3)).await.expect_err("no such version");
        assert_eq!(refused.code(), Code::NotFound);
        let before = client.list_keys(ListKeysRequest {}).await.expect("a list");

        // Causes are for the operator, and another try may do.
        let away = token.path("away");
        std::fs::rename(token.tokens(), &away).expect("moved");
        let refused = client.sign(sign(1)).await.expect_err("no token");
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::Unavailable, "use the token")
        );
        std::fs::rename(&away, token.tokens()).expect("moved back");
        let counted = metrics(running.admin_address).await;
        let refused = "mesh_key_service_refused_total{method=\"Sign\"} 2\n";
        assert!(counted.contains(refused), "{counted}");
        running.end.send(()).expect("it runs");
        running.served.await.expect("no panic").expect("ended");

        let running = start(&token).await;
        let pair = running.clients.pair(&["token.svc"]);
        let mut client = running.client(Some(pair)).await.expect("connected");
        let after = client.list_keys(ListKeysRequest {}).await.expect("a list");
        assert_eq!(after.into_inner(), before.into_inner());
        client.sign(sign(2)).await.expect("signed");
    });
    let log = log();
    for wanted in [
        "audit: call caller=\"token.svc\" method=\"Sign\" key=\"root\" version=1 outcome=\"ok\"",
        "method=\"Sign\" key=\"root\" version=1 outcome=\"use the token\"",
        "the token failed",
    ] {
        assert!(log.contains(wanted), "{wanted} is not in\n{log}");
    }
    assert!(!log.contains(PIN), "{log}");
}

async fn metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = b"GET /metrics HTTP/1.0\r\n\r\n";
    stream.write_all(request).await.expect("asked");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("answered");
    answer
}

#[test]
fn root_and_intermediate_are_signed_by_the_token() {
    let token = SoftHsm::new();
    token.block_on(async {
        let running = start(&token).await;
        let keys = running.authority("authority.svc");

        let now = SystemTime::now();
        let root_key = keys.obtain(ROOT, 1).await.expect("made");
        let root = Draft::root("root", root_key, now);
        let root = keys.sign(&root, ROOT, 1).await.expect("signed");
        let root_authority = Authority::read(&root.pem()).expect("an authority");
        let key = keys.obtain(INTERMEDIATE, 1).await.expect("made");
        let draft = Draft::intermediate("intermediate", key, &root_authority, now);
        let draft = draft.expect("the root is valid");
        let intermediate = keys.sign(&draft, ROOT, 1).await.expect("signed");
        let issuer = Authority::read(&intermediate.pem()).expect("an authority");
        let own = KeyPair::generate().expect("a key");
        let own = PublicKey::read(&own.subject_public_key_info()).expect("a public key");
        let identity = "spiffe://mesh.local/ns/a/sa/b"
            .parse()
            .expect("an identity");
        let pod = Draft::pod(&identity, own, &issuer, now, Duration::from_secs(60));
        let pod = pod.expect("the intermediate is valid");
        let pod = keys.sign(&pod, INTERMEDIATE, 1).await.expect("signed");

        // By somebody else than who has made them.
        let chain = [&root, &root, &intermediate, &pod].map(|one| one.der());
        for pair in chain.windows(2) {
            let (_, issuer) = parse_x509_certificate(pair[0]).expect("read");
            let (_, subject) = parse_x509_certificate(pair[1]).expect("read");
            subject
                .verify_signature(Some(issuer.public_key()))
                .expect("its issuer's signature");
        }
        // A new version by the rule of the authority, on the same token.
        keys.obtain(ROOT, 2).await.expect("made");
        assert_eq!(keys.newest(ROOT).await.expect("a list"), 2);
    });
}

/// The program itself, as a deployment starts it; it ends by itself, since something is wrong.
fn program(token: &SoftHsm, variables: &[(&str, String)]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_key-service"))
        .envs(token.variables())
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output();
    output.expect("started")
}

#[test]
fn the_program_says_what_is_wrong_with_the_token_and_ends() {
    let token = SoftHsm::new();
    let wrong = token.path("wrong-pin");
    std::fs::write(&wrong, "40817-pin-of-nobody").expect("written");
    let variables = |pin_file| {
        vec![
            ("PKCS11_MODULE", module().display().to_string()),
            ("PKCS11_TOKEN", LABEL.to_owned()),
            ("PKCS11_PIN_FILE", pin_file),
            ("PKCS11_TOOL", tool().display().to_string()),
            (
                "PKCS11_LOCK_FILE",
                token.path("token.lock").display().to_string(),
            ),
        ]
    };
    let wrong = variables(wrong.display().to_string());
    // With the right PIN it comes as far as its certificates, which are not there.
    let right = variables(token.path("pin").display().to_string());
    let folder = ("KEY_FOLDER", "/nowhere".to_owned());
    let no_tls = ("TLS_DIRECTORY", "/nowhere".to_owned());
    for (variables, wanted) in [
        (wrong.clone(), "CKR_PIN_INCORRECT"),
        ([right.clone(), vec![folder]].concat(), "unset KEY_FOLDER"),
        (right[..1].to_vec(), "PKCS11_TOKEN, PKCS11_PIN_FILE"),
        ([right, vec![no_tls]].concat(), "read /nowhere/tls.crt"),
    ] {
        let output = program(&token, &variables);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(wanted), "{wanted} is not in {said}");
        assert!(!said.contains("40817") && !said.contains(PIN), "{said}");
    }
}
