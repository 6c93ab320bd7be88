//! Pushing images to a real registry: Debian's `docker-registry`, on a loopback port of its own.

mod server;

use harness_cluster::ImageArchive;
use harness_cluster::registry::{Prefix, Protocol, Registry};
use harness_images::archive::Archive;
use harness_images::pack::{FileSpec, ImageSpec, pack};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use server::{PASSWORD, Server};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

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
    for wrong in [None, Some("another password")] {
        server.log_in(folder.path(), wrong);
        let error = registry(&server, folder.path())
            .push(&images)
            .await
            .expect_err("it lets nobody else in");
        assert_eq!(error.reasons, ["we may not push there"], "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("docker login")));
    }
    assert_eq!(server.stored(), BTreeMap::new());
    server.log_in(folder.path(), Some(PASSWORD));
    let names = registry(&server, folder.path()).push(&images).await;
    assert_eq!(names.expect("it is pushed").len(), 1);
    assert!(!server.stored().is_empty());
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
