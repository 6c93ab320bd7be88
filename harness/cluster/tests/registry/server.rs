//! A registry of one test.

use crate::authority::{Authority, BY_TLS};
use crate::tokens::{ISSUER, SERVICE, TokenServer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Who may use a registry that is not open to everybody.
pub(crate) const USER: &str = "meshproof";

/// The password of [`USER`].
pub(crate) const PASSWORD: &str = "a secret of the test";

/// Both as `htpasswd` stores them.
const HTPASSWD: &str = "meshproof:$2b$04$zmdi3ozMsXOA9G3jAL2yYu9QxLo/xrs/UrzAhnwDrqRFioIbiZXH.\n";

/// A running registry; it ends with this value.
pub(crate) struct Server {
    /// Host and port.
    pub(crate) address: String,
    program: Child,
    folder: tempfile::TempDir,
}

/// How a registry is made: open to everybody and without TLS, but for what is said.
#[derive(Default)]
pub(crate) struct Settings {
    /// What stands under `auth` in its configuration.
    auth: Option<Value>,
    /// The files of its certificate and its key.
    certificate: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Only [`USER`] may push and pull; the file of passwords is put into a folder.
    pub(crate) fn for_one(self, folder: &Path) -> Self {
        let path = folder.join("htpasswd");
        std::fs::write(&path, HTPASSWD).expect("a temporary folder can be written");
        Self {
            auth: Some(json!({"htpasswd": {"realm": "test", "path": path}})),
            ..self
        }
    }

    /// Who has a token may do what the token says.
    pub(crate) fn for_tokens(self, of: &TokenServer) -> Self {
        Self {
            auth: Some(json!({"token": {
                "realm": of.realm(),
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": of.certificate,
            }})),
            ..self
        }
    }

    /// It speaks TLS, with a certificate that an authority has signed for [`BY_TLS`].
    pub(crate) fn certified_by(self, authority: &Authority) -> Self {
        Self {
            certificate: Some(authority.sign()),
            ..self
        }
    }
}

impl Server {
    /// Anybody may push and pull.
    pub(crate) fn open_to_everybody() -> Self {
        Self::start(Settings::default())
    }

    /// Only [`USER`] may; the file of passwords is put into a folder.
    pub(crate) fn open_to_one(folder: &Path) -> Self {
        Self::start(Settings::default().for_one(folder))
    }

    /// As the settings say.
    pub(crate) fn start(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let configuration = folder.path().join("registry.yml");
        let mut http = json!({"addr": "127.0.0.1:0", "secret": "test"});
        let speaks_tls = settings.certificate.is_some();
        if let Some((certificate, key)) = settings.certificate {
            http["tls"] = json!({"certificate": certificate, "key": key});
        }
        let mut text = json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("storage")}},
            "http": http,
        });
        if let Some(auth) = settings.auth {
            text["auth"] = auth;
        }
        // Every JSON text is a YAML text.
        std::fs::write(&configuration, text.to_string())
            .expect("a temporary folder can be written");
        let mut program = Command::new(program())
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the registry starts");
        let said = program.stderr.take().expect("it was asked for");
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let address = lines
            .by_ref()
            .find_map(|line| {
                let (_, rest) = line.split_once("listening on ")?;
                Some(rest.split(['"', ' ', ',']).next()?.to_owned())
            })
            .expect("the registry says where it listens");
        // What it says later must be read, or it stops when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        let address = match speaks_tls {
            true => address.replace("127.0.0.1", BY_TLS),
            false => address,
        };
        Self {
            address,
            program,
            folder,
        }
    }

    /// Every stored file, with its inode and the time of its last change: who stores a file again changes one of them.
    pub(crate) fn stored(&self) -> BTreeMap<PathBuf, (u64, i64, i64)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().join("storage")];
        while let Some(folder) = folders.pop() {
            // There is no folder before the first push.
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let entry = entry.expect("the folder can be read");
                let facts = entry.metadata().expect("nothing is removed meanwhile");
                if facts.is_dir() {
                    folders.push(entry.path());
                } else {
                    let state = (facts.ino(), facts.mtime(), facts.mtime_nsec());
                    found.insert(entry.path(), state);
                }
            }
        }
        found
    }

    /// What `docker login` leaves in a folder with this password; none: what is left without a login.
    pub(crate) fn log_in(&self, folder: &Path, password: Option<&str>) {
        let mut auths = serde_json::Map::new();
        if let Some(password) = password {
            let secret = STANDARD.encode(format!("{USER}:{password}"));
            auths.insert(self.address.clone(), serde_json::json!({"auth": secret}));
        }
        let text = serde_json::json!({"auths": auths}).to_string();
        std::fs::write(folder.join("config.json"), text)
            .expect("a temporary folder can be written");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// The program: `cargo xtask test` names one, else it is on the path.
fn program() -> PathBuf {
    std::env::var_os("MESHPROOF_DOCKER_REGISTRY")
        .map(PathBuf::from)
        .or_else(|| which::which("docker-registry").ok())
        .expect(
            "docker-registry is not there: use `cargo xtask test`, or install the Debian package `docker-registry`",
        )
}
