//! Pushing images to a real registry: Debian's `docker-registry`, on a loopback port of its own.

mod authority;
mod server;
mod tokens;

use authority::Authority;

use harness_cluster::ImageArchive;
use harness_cluster::registry::{Prefix, Protocol, Registry};
use harness_images::archive::Archive;
use harness_images::pack::{FileSpec, ImageSpec, pack};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use server::{PASSWORD, Server, Settings};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};
use tokens::TokenServer;

/// An image with one file of these contents.
fn image(folder: &Path, name: &str, contents: &str) -> ImageArchive {
    let source = folder.join(format!("{name}.txt"));
    std::fs::write(&source, contents).expect("a temporary folder can be written");
    let reference = format!("meshproof/{name}:dev");
    let spec = ImageSpec {
        reference: reference.clone(),
        files: vec![FileSpec {
            target: "/contents".into(),
            source,
            mode: 0o644,
        }],
        folders: Vec::new(),
        entrypoint: vec!["/contents".to_owned()],
        cmd: Vec::new(),
        env: Vec::new(),
    };
    let archive = folder.join(format!("{name}-{contents}.tar"));
    pack(&spec, &archive).expect("an image can be packed");
    ImageArchive { archive, reference }
}

/// What the program does at its start. It fails only when it was done already.
fn with_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn registry(server: &Server, docker_config: &Path) -> Registry {
    with_cryptography();
    let prefix = format!("{}/team", server.address);
    let prefix = Prefix::parse(&prefix, Protocol::Secure).expect("it is a prefix");
    Registry::with_docker_config(prefix, Some(docker_config)).expect("its credentials are read")
}

/// What is stored under a name is, byte for byte, what is in the archive.
async fn is_stored(name: &str, image: &ImageArchive) {
    let archive = Archive::open(&image.archive).expect("the archive is whole");
    let content = archive.content().expect("the archive is whole");
    let reference: Reference = name.parse().expect("it is a name");
    assert_eq!(reference.digest(), Some(content.digest.as_str()));
    let client = Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    });
    let (manifest, digest) = client
        .pull_manifest_raw(&reference, &RegistryAuth::Anonymous, &[&content.media_type])
        .await
        .expect("the manifest is there");
    assert_eq!(digest, content.digest);
    assert_eq!(manifest, content.manifest);
    for blob in &content.blobs {
        let mut pulled = Vec::new();
        client
            .pull_blob(&reference, blob.digest.as_str(), &mut pulled)
            .await
            .expect("the blob is there");
        let mut packed = Vec::new();
        archive
            .open_blob(blob)
            .and_then(|mut blob| blob.read_to_end(&mut packed))
            .expect("the archive is whole");
        assert_eq!(pulled, packed);
    }
}

/// Who has no name, or a wrong password, is told so, and nothing is stored.
async fn lets_nobody_else_push(server: &Server, folder: &Path, images: &[ImageArchive]) {
    for wrong in [None, Some("another password")] {
        server.log_in(folder, wrong);
        let error = registry(server, folder)
            .push(images)
            .await
            .expect_err("it lets nobody else in");
        assert_eq!(error.reasons, ["we may not push there"], "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("docker login")));
    }
    assert_eq!(server.stored(), BTreeMap::new());
}

#[tokio::test]
async fn what_is_pushed_is_pulled_by_its_digest_and_not_sent_again() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Server::open_to_everybody();
    let registry = registry(&server, folder.path());
    let images = ["probe-app", "sidecar"].map(|name| image(folder.path(), name, name));
    let names = registry.push(&images).await.expect("they are pushed");
    assert_eq!(names.len(), 2);
    for (image, short) in images.iter().zip(["probe-app", "sidecar"]) {
        let name = &names[&image.reference];
        let start = format!("{}/team/{short}@sha256:", server.address);
        assert!(name.starts_with(&start), "{name}");
        is_stored(name, image).await;
    }
    let before = server.stored();
    assert!(!before.is_empty());
    let again = registry.push(&images).await.expect("they are there");
    assert_eq!(again, names);
    assert_eq!(server.stored(), before, "something was sent again");

    // Other contents have another name.
    let changed = image(folder.path(), "probe-app", "changed");
    let pushed = registry.push(std::slice::from_ref(&changed)).await;
    let pushed = pushed.expect("it is pushed");
    assert_ne!(pushed[&changed.reference], names[&changed.reference]);
    is_stored(&pushed[&changed.reference], &changed).await;
    is_stored(&names[&images[0].reference], &images[0]).await;
    assert_ne!(server.stored(), before);
}

#[tokio::test]
async fn a_registry_that_wants_a_name_is_given_the_one_of_docker_login() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Server::open_to_one(folder.path());
    let images = [image(folder.path(), "probe-app", "one")];
    lets_nobody_else_push(&server, folder.path(), &images).await;
    server.log_in(folder.path(), Some(PASSWORD));
    let names = registry(&server, folder.path()).push(&images).await;
    assert_eq!(names.expect("it is pushed").len(), 1);
    assert!(!server.stored().is_empty());
}

/// Names the registry for a test that is started as a process of its own: only the environment of a process says which
/// authorities it trusts.
const PUSH_TO: &str = "MESHPROOF_TEST_PUSH_TO";

/// Starts a test of this program alone, which shall push to a registry with what is in a folder.
fn start_again(test: &str, server: &Server, folder: &Path, trusted: &Path) -> Output {
    Command::new(std::env::current_exe().expect("this is a program"))
        .args(["--exact", test, "--nocapture"])
        .env(PUSH_TO, &server.address)
        .env("DOCKER_CONFIG", folder)
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("this program starts")
}

#[expect(
    clippy::print_stdout,
    reason = "whoever has started it reads how it went"
)]
/// What a process does that was started again: pushes as the program does, and says how it went.
async fn push_as_told(address: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    with_cryptography();
    let prefix = Prefix::parse(&format!("{address}/team"), Protocol::Secure);
    let images = [image(folder.path(), "probe-app", "one")];
    let registry = Registry::new(prefix.expect("it is a prefix"));
    let pushed = match registry {
        Ok(registry) => registry.push(&images).await,
        Err(error) => Err(error),
    };
    match pushed {
        Ok(names) => println!("pushed {names:?}"),
        Err(error) => println!(
            "not pushed: {error}; hint: {}",
            error.hint.unwrap_or("none")
        ),
    }
}

#[tokio::test]
async fn an_authority_that_the_environment_names_is_trusted_and_no_other() {
    if let Ok(address) = std::env::var(PUSH_TO) {
        return push_as_told(&address).await;
    }
    let test = "an_authority_that_the_environment_names_is_trusted_and_no_other";
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let authority = Authority::called("one");
    let settings = Settings::default().for_one(folder.path());
    let server = Server::start(settings.certified_by(&authority));
    let push = |trusted: &Path| {
        let output = start_again(test, &server, folder.path(), trusted);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };

    // Before anybody is asked who they are, and so before a password is sent.
    server.log_in(folder.path(), Some(PASSWORD));
    // Of the same name it may be the one before or after.
    for (name, reason) in [("another", "UnknownIssuer"), ("one", "BadSignature")] {
        let said = push(&Authority::called(name).certificate());
        assert!(said.contains(reason), "{said}");
        assert!(said.contains("hint: name the authority"), "{said}");
        assert!(said.contains("SSL_CERT_FILE"), "{said}");
    }
    let said = push(&folder.path().join("nothing"));
    assert!(said.contains("not pushed"), "{said}");
    assert!(said.contains("SSL_CERT_FILE"), "{said}");

    for wrong in [None, Some("another password")] {
        server.log_in(folder.path(), wrong);
        let said = push(&authority.certificate());
        assert!(said.contains("we may not push there"), "{said}");
        assert!(said.contains("docker login"), "{said}");
    }
    assert_eq!(server.stored(), BTreeMap::new());

    server.log_in(folder.path(), Some(PASSWORD));
    let said = push(&authority.certificate());
    assert!(said.contains("pushed {"), "{said}");
    let name = format!("{}/team/probe-app@sha256:", server.address);
    assert!(said.contains(&name), "{said}");
    assert!(!server.stored().is_empty());
}

#[tokio::test]
async fn a_registry_that_works_with_tokens_is_given_one_for_each_image() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let tokens = TokenServer::start().await;
    let server = Server::start(Settings::default().for_tokens(&tokens));
    let images = ["probe-app", "sidecar"].map(|name| image(folder.path(), name, name));
    lets_nobody_else_push(&server, folder.path(), &images).await;
    let before = tokens.asked().len();
    server.log_in(folder.path(), Some(PASSWORD));
    let names = registry(&server, folder.path()).push(&images).await;
    assert_eq!(names.expect("they are pushed").len(), 2);
    assert!(!server.stored().is_empty());
    let asked = &tokens.asked()[before..];
    assert!(
        asked
            .iter()
            .all(|asked| asked.service == tokens::SERVICE && asked.named),
        "{asked:?}"
    );
    for short in ["probe-app", "sidecar"] {
        let scope = format!("repository:team/{short}:pull,push");
        assert!(asked.iter().any(|asked| asked.scope == scope), "{asked:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_told_once() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // Bound and not listened on: nobody else gets the port, and connections are refused.
    let held = tokio::net::TcpSocket::new_v4().expect("there are sockets");
    held.bind(([127, 0, 0, 1], 0).into())
        .expect("there are ports");
    let address = held.local_addr().expect("it is bound");
    let prefix = Prefix::parse(&address.to_string(), Protocol::Secure).expect("it is a prefix");
    with_cryptography();
    let registry =
        Registry::with_docker_config(prefix, None).expect("there are no credentials to read");
    let images = ["probe-app", "sidecar"].map(|name| image(folder.path(), name, name));
    let error = registry.push(&images).await.expect_err("nobody listens");
    assert_eq!(error.reasons.len(), 1, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn every_image_that_cannot_be_pushed_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Server::open_to_everybody();
    let damaged = |name: &str| {
        let archive = folder.path().join(format!("{name}.tar"));
        std::fs::write(&archive, "no image").expect("a temporary folder can be written");
        ImageArchive {
            archive,
            reference: format!("meshproof/{name}:dev"),
        }
    };
    let images = [
        damaged("sidecar"),
        image(folder.path(), "probe-app", "one"),
        damaged("capture-init"),
    ];
    let error = registry(&server, folder.path())
        .push(&images)
        .await
        .expect_err("two are no images");
    let about: Vec<&str> = error
        .reasons
        .iter()
        .filter_map(|reason| reason.split(':').next())
        .collect();
    assert_eq!(about, ["sidecar", "capture-init"], "{error}");
}
