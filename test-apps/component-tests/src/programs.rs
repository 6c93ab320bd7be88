//! Programs of the mesh as processes: started, waited for, asked what they use, ended. Benches start them so, beside an
//! API server that is reached by `KUBECONFIG`.

use crate::kubernetes::{NAMESPACE, request_token};
use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::authentication::v1::TokenRequestSpec;
use kube::Client;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a program may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How often it is asked, since nobody tells.
const ASK: Duration = Duration::from_millis(50);
/// Clock ticks a second in `/proc`: 100 on every architecture that Rust runs on.
const TICKS: u64 = 100;
/// Pages of memory have this size on x86-64.
const PAGE: u64 = 4096;

/// Open files of a process beside those of its clients.
const OTHER_FILES: u64 = 1000;

/// Lets this process, and those that it starts from now on, have as many open files as the machine lets them: a client is
/// one of this process and one of the program that serves it. Returns how many that is.
///
/// # Errors
///
/// When so many clients take more.
pub fn allow_open_files(clients: usize) -> anyhow::Result<u64> {
    let (_, most) =
        getrlimit(Resource::RLIMIT_NOFILE).context("ask for the limit of open files")?;
    let needed = clients as u64 + OTHER_FILES;
    ensure!(
        needed <= most,
        "{clients} sidecars take {needed} open files, but a process may have {most} here (`ulimit -Hn`)"
    );
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of open files")?;
    Ok(most)
}

/// Where programs are, and where what they need is written.
pub struct Programs {
    programs: PathBuf,
    folder: PathBuf,
    logs: PathBuf,
}

/// One that runs; it is killed when this is dropped.
pub struct Program {
    name: &'static str,
    process: Child,
}

impl Programs {
    /// Where programs are, where files with keys are written (it is made), and where logs are.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn new([programs, folder, logs]: [PathBuf; 3]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self {
            programs,
            folder,
            logs,
        })
    }

    /// The node agent's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("sds.sock")
    }

    /// Writes a file and returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes a kubeconfig by which a program is its own service account, no more, and returns its path.
    ///
    /// # Errors
    ///
    /// When there is none to begin with, or the API server gives no token.
    pub async fn kubeconfig(&self, client: &Client, account: &str) -> anyhow::Result<String> {
        let own = std::env::var("KUBECONFIG").context("KUBECONFIG is not set")?;
        let text = std::fs::read_to_string(&own).with_context(|| format!("read {own}"))?;
        let mut config: serde_json::Value =
            serde_json::from_str(&text).context("read the kubeconfig")?;
        let token = request_token(client, NAMESPACE, account, TokenRequestSpec::default()).await?;
        config["users"][0]["user"] = serde_json::json!({"token": token});
        self.write(&format!("{account}.kubeconfig"), &config.to_string())
    }

    /// Starts a program and waits until its admin port says that it is ready.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends, or does not become ready.
    pub async fn start(
        &self,
        name: &'static str,
        admin_port: u16,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Program> {
        let log = self.logs.join(format!("{name}.log"));
        let errors = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let process = Command::new(self.programs.join(name))
            .env_clear()
            .env("LOG", "warn")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let mut program = Program { name, process };
        program.ready(admin_port, &log).await?;
        Ok(program)
    }
}

impl Program {
    async fn ready(&mut self, port: u16, log: &Path) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{port}/readyz");
        let asking = async {
            let mut ticks = tokio::time::interval(ASK);
            loop {
                ticks.tick().await;
                if let Ok(answer) = reqwest::get(&url).await
                    && answer.status().is_success()
                {
                    return;
                }
            }
        };
        tokio::select! {
            asked = tokio::time::timeout(READY, asking) => asked.with_context(|| {
                format!("{} was not ready after {} s (see {})", self.name, READY.as_secs(), log.display())
            }),
            ended = self.process.wait() => {
                bail!("{} ended with {} (see {})", self.name, ended.context("wait for it")?, log.display())
            }
        }
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let id = self
            .process
            .id()
            .with_context(|| format!("{} has ended", self.name))?;
        let path = format!("/proc/{id}/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }

    /// Ends it at once, and returns when it is gone and its ports are free.
    ///
    /// # Errors
    ///
    /// When it cannot be ended.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let ended = self.process.kill().await;
        ended.with_context(|| format!("end {}", self.name))
    }

    /// Processor time so far, of all its threads.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        let text = self.proc("stat")?;
        // The second field is the program's name in parentheses and may hold anything; user and system time are the 14th
        // and 15th field.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>().context("read processor time")?;
        }
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// Memory that is resident now, in bytes.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let text = self.proc("statm")?;
        let pages = text.split_whitespace().nth(1).unwrap_or_default();
        Ok(pages.parse::<u64>().context("read resident memory")? * PAGE)
    }
}
