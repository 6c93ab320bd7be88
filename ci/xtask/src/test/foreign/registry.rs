//! A registry as companies have them: its certificate is signed by an authority of its own, and it lets in only who has
//! a name. Nodes reach it, and so does whoever runs beside the engine.
//!
//! Invariant: it ends with this value, and with this process.

use crate::engine::Engine;
use crate::registry;
use anyhow::{Context as _, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Who is let in, as `htpasswd` stores it.
const HTPASSWD: &str = "meshproof:$2b$04$zmdi3ozMsXOA9G3jAL2yYu9QxLo/xrs/UrzAhnwDrqRFioIbiZXH.\n";

/// The same as HTTP's basic authentication tells it, with the password: `meshproof:a secret of the test` in base64.
const CREDENTIALS: &str = "bWVzaHByb29mOmEgc2VjcmV0IG9mIHRoZSB0ZXN0";

/// The path below which images are pushed.
const PATH: &str = "team/ci";

/// A running registry.
pub(super) struct PrivateRegistry {
    /// Host and port.
    address: String,
    program: Child,
    folder: tempfile::TempDir,
}

impl PrivateRegistry {
    /// Starts one beside the engine, at the address by which the nodes of kind reach their surroundings.
    pub(super) fn start(engine: &Engine, address: Ipv4Addr, install: bool) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for a registry")?;
        write_certificates(folder.path(), address)?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        save(&folder, "htpasswd", HTPASSWD)?;
        let settings = serde_json::json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
            "http": {
                "addr": format!("{address}:0"),
                "secret": "test",
                "tls": {"certificate": path("server.crt"), "key": path("server.key")},
            },
            "auth": {"htpasswd": {"realm": "test", "path": path("htpasswd")}},
        });
        // Every JSON text is a YAML text.
        save(&folder, "registry.yml", &settings.to_string())?;
        let mut program = engine
            .command("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(registry::program(install)?)
            .arg("serve")
            .arg(folder.path().join("registry.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the registry")?;
        let said = program
            .stderr
            .take()
            .context("the registry has no output")?;
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let address = lines.by_ref().find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', ' ', ',']).next()?.to_owned())
        });
        // What it says later must be read, or it stops when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        let started = Self {
            address: address.clone().unwrap_or_default(),
            program,
            folder,
        };
        address.context("the registry ended before it said where it listens")?;
        Ok(started)
    }

    /// What `--registry` is given.
    pub(super) fn prefix(&self) -> String {
        format!("{}/{PATH}", self.address)
    }

    /// Lets a program trust the registry and be somebody there, in the ways a person has.
    pub(super) fn introduce(&self, command: &mut Command) -> anyhow::Result<()> {
        let auths = serde_json::json!({ "auths": { &self.address: { "auth": CREDENTIALS } } });
        save(&self.folder, "config.json", &auths.to_string())?;
        command
            .env("DOCKER_CONFIG", self.folder.path())
            .env("SSL_CERT_FILE", self.authority());
        Ok(())
    }

    /// The same for a node. Who runs such a cluster gives nodes their credentials; pods of a run bring none.
    pub(super) fn introduce_node(&self, engine: &Engine, node: &str) -> anyhow::Result<()> {
        let folder = format!("/etc/containerd/certs.d/{}", self.address);
        let address = &self.address;
        let hosts = format!(
            "server = 'https://{address}'\n[host.'https://{address}']\ncapabilities = ['pull', 'resolve']\nca = '{folder}/ca.crt'\n[host.'https://{address}'.header]\nauthorization = 'Basic {CREDENTIALS}'\n"
        );
        let authority = std::fs::read_to_string(self.authority()).context("read the authority")?;
        for (name, text) in [("ca.crt", authority), ("hosts.toml", hosts)] {
            let mut write = engine
                .docker()
                .args(["exec", "--interactive", node])
                .args(["sh", "-c", r#"mkdir -p "$0" && cat >"$0/$1""#])
                .args([&folder, name])
                .stdin(Stdio::piped())
                .spawn()
                .context("start docker")?;
            let mut input = write.stdin.take().context("docker has no input")?;
            let written = input.write_all(text.as_bytes());
            drop(input);
            let status = write.wait().context("wait for docker")?;
            ensure!(
                status.success() && written.is_ok(),
                "write {folder}/{name} in the node {node}: docker ended with {status}"
            );
        }
        Ok(())
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        // It may have ended by itself, which the run has noticed.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn save(folder: &tempfile::TempDir, name: &str, text: &str) -> anyhow::Result<()> {
    std::fs::write(folder.path().join(name), text).with_context(|| format!("write {name}"))
}

/// Writes `ca.crt` and `server.{crt,key}`.
fn write_certificates(folder: &Path, address: Ipv4Addr) -> anyhow::Result<()> {
    let named = |name: &str| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    };
    let mut authority = named("meshproof test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().context("make a key")?;
    let certificate = authority.self_signed(&key).context("sign the authority")?;
    let issuer = Issuer::new(authority, key);
    let mut server = named("registry");
    server.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(address))];
    let key = KeyPair::generate().context("make a key")?;
    let signed = server
        .signed_by(&key, &issuer)
        .context("sign the registry")?;
    for (name, text) in [
        ("ca.crt", certificate.pem()),
        ("server.crt", signed.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}
