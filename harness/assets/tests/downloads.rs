//! Official releases from a server on this machine: what is published with its hash is used, anything else is not.

use flate2::Compression;
use flate2::write::GzEncoder;
use harness_assets::{Asset, AssetError, AssetOptions, Downloads, Progress, obtain_each};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Files by their path, and which of them were asked for.
#[derive(Clone, Default)]
struct Mirror {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    /// Serves until the test ends.
    fn start(&self) -> Downloads {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let mirror = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                mirror.answer(connection);
            }
        });
        Downloads::Mirror(format!("http://{address}/mirror/"))
    }

    fn answer(&self, mut connection: TcpStream) {
        let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
        let mut request = String::new();
        reader.read_line(&mut request).expect("a request");
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).expect("a header") <= 2 {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let content = self.files.lock().expect("files").get(&path).cloned();
        self.asked.lock().expect("asked").push(path);
        let (status, content) = match content {
            Some(content) => ("200 OK", content),
            None => ("404 Not Found", Vec::new()),
        };
        let length = content.len();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).expect("answer");
        connection.write_all(&content).expect("answer");
    }

    fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        let path = format!("/mirror/{path}");
        self.files
            .lock()
            .expect("files")
            .insert(path, content.into());
    }
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn options(cache: &Path, downloads: Downloads) -> AssetOptions {
    AssetOptions {
        folders: Vec::new(),
        cache: cache.to_owned(),
        offline: false,
        downloads,
    }
}

/// Where the scheduler is published.
fn scheduler() -> String {
    let version = harness_assets::KUBERNETES_VERSION;
    format!(
        "dl.k8s.io/{version}/bin/linux/{}/kube-scheduler",
        architecture()
    )
}

#[test]
fn a_program_and_an_archive_are_taken_with_the_hashes_beside_them() {
    let mirror = Mirror::default();
    let program = b"#!/bin/sh\necho scheduler\n";
    mirror.put(&scheduler(), *program);
    mirror.put(&format!("{}.sha256", scheduler()), hash(program));
    let version = "v3.6.8";
    let name = format!("etcd-{version}-linux-{}", architecture());
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let content = b"#!/bin/sh\necho etcd\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, format!("{name}/etcd"), &content[..])
        .expect("an entry");
    let archive = tar
        .into_inner()
        .and_then(GzEncoder::finish)
        .expect("an archive");
    let folder = format!("github.com/etcd-io/etcd/releases/download/{version}");
    let sums = format!(
        "{}  other.zip\n{}  {name}.tar.gz\n",
        hash(b"x"),
        hash(&archive)
    );
    mirror.put(&format!("{folder}/{name}.tar.gz"), archive);
    mirror.put(&format!("{folder}/SHA256SUMS"), sums);

    let cache = tempfile::tempdir().expect("a temporary folder");
    let options = options(cache.path(), mirror.start());
    let wanted = [Asset::Etcd, Asset::KubeScheduler];
    let found = obtain_each(&options, &wanted, &|_| ()).expect("both are published");
    assert_eq!(
        fs::read(&found[&Asset::KubeScheduler]).expect("it is there"),
        program
    );
    assert_eq!(
        fs::read(&found[&Asset::Etcd]).expect("it is there"),
        content
    );
    let notes = fs::read_to_string(cache.path().join("assets/downloads.json")).expect("noted");
    assert!(notes.contains(&hash(program)), "{notes}");

    let before = mirror.asked.lock().expect("asked").len();
    obtain_each(&options, &wanted, &|_| ()).expect("they are in the cache");
    assert_eq!(mirror.asked.lock().expect("asked").len(), before);
}

#[test]
fn kind_is_taken_with_the_list_of_one_beside_it() {
    let mirror = Mirror::default();
    let program = b"#!/bin/sh\necho kind\n";
    let name = format!("kind-linux-{}", architecture());
    let version = harness_assets::KIND_VERSION;
    let place = format!("github.com/kubernetes-sigs/kind/releases/download/{version}/{name}");
    mirror.put(&place, *program);
    let list = format!("{}  {name}\n", hash(program));
    mirror.put(&format!("{place}.sha256sum"), list);

    let cache = tempfile::tempdir().expect("a temporary folder");
    let options = options(cache.path(), mirror.start());
    let found = obtain_each(&options, &[Asset::Kind], &|_| ()).expect("it is published");
    assert_eq!(
        fs::read(&found[&Asset::Kind]).expect("it is there"),
        program
    );
}

#[test]
fn what_is_not_what_is_published_or_not_what_it_was_is_refused() {
    let mirror = Mirror::default();
    let cache = tempfile::tempdir().expect("a temporary folder");
    let options = options(cache.path(), mirror.start());
    let told = RefCell::new(Vec::new());
    let note = |progress: &Progress| told.borrow_mut().push(progress.clone());
    let obtained = || obtain_each(&options, &[Asset::KubeScheduler], &note);
    mirror.put(&scheduler(), *b"changed on the way");
    mirror.put(&format!("{}.sha256", scheduler()), hash(b"published"));
    let error = obtained().expect_err("the hash is another one");
    assert!(matches!(error, AssetError::WrongDownload { .. }), "{error}");
    assert!(error.to_string().contains(&scheduler()), "{error}");
    let is_making =
        |told: &Progress| matches!(told, Progress::NotReached { .. } | Progress::Making { .. });
    assert!(
        !told.borrow().iter().any(is_making),
        "what is wrong is not made instead"
    );

    mirror.put(&scheduler(), *b"published");
    let found = obtained().expect("it is what is published");
    let entry = found[&Asset::KubeScheduler]
        .parent()
        .expect("a folder")
        .to_owned();
    fs::remove_dir_all(entry).expect("forget the program, and keep what was noted");
    mirror.put(&scheduler(), *b"published anew");
    mirror.put(&format!("{}.sha256", scheduler()), hash(b"published anew"));
    let error = obtained().expect_err("the same version is another program now");
    assert!(matches!(error, AssetError::WrongDownload { .. }), "{error}");
}
